"""The worker's life: every job is answered or failed, and the model is never shared."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_service.engine import Engine
from asr_service.jobs import Audio, Excerpt, Job, WorkerHypothesis
from asr_service.model import CtcRow, Heard
from common.errors import Overloaded
from tests.asr_service.fakes import (
    POISON,
    RESIDENT,
    UNDECODABLE,
    FakeModel,
    engine_of,
    running,
    saying,
)


def made(max_rows: int = 4, lane: int = 8, final_s: float = 0.5) -> tuple[Engine, FakeModel]:
    model = FakeModel()
    engine, _ = engine_of(model, max_rows=max_rows, lane=lane, final_s=final_s)
    return engine, model


def ctc(engine: Engine, audio: Audio, *, final: bool = True) -> asyncio.Task[WorkerHypothesis]:
    newest = partial(Excerpt, audio)
    return asyncio.create_task(engine.recognize("s", newest, "it", RESIDENT, final=final))


def universal(
    engine: Engine, n_steps: int, *, final: bool = True
) -> asyncio.Task[WorkerHypothesis]:
    newest = partial(Excerpt, saying(n_steps))
    return asyncio.create_task(engine.recognize("u", newest, "it", None, final=final))


async def outcome(awaitable: Awaitable[WorkerHypothesis]) -> str:
    """The text, or the kind of error."""
    try:
        return (await asyncio.wait_for(awaitable, 10)).text
    except Exception as error:
        return type(error).__name__


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 it is of another thread
            await asyncio.sleep(0.005)


async def test_the_answer_says_what_was_heard() -> None:
    engine, _ = made()
    async with running(engine):
        heard = await ctc(engine, saying(4, 8000))
    assert heard.text == "c"
    assert [(word.text, word.start_ms, word.end_ms) for word in heard.words] == [("c", 0, 100)]
    assert heard.audio_ms == 500
    assert 0 <= heard.queue_ms < 5000
    assert 0 < heard.compute_ms < 5000
    assert heard.confidence == pytest.approx(1)


async def test_silence_has_no_confidence() -> None:
    engine, _ = made()
    async with running(engine):
        heard = await ctc(engine, saying(0))
    assert (heard.text, heard.words, heard.confidence) == ("", (), 0.0)


async def test_jobs_that_wait_share_a_batch() -> None:
    engine, model = made(max_rows=4)
    tasks = [ctc(engine, saying(2 + number)) for number in range(6)]
    async with running(engine):
        await asyncio.gather(*tasks)
    assert [len(batch) for batch in model.batches] == [4, 2]
    assert "".join([(await task).text for task in tasks]) == "abcdef"


async def test_every_job_is_answered_or_failed() -> None:
    engine, _ = made(max_rows=3)
    luck = random.Random(3)
    tasks = []
    async with running(engine):
        for number in range(60):
            match luck.randrange(6):
                case 0:
                    tasks.append(ctc(engine, POISON))
                case 1:
                    tasks.append(ctc(engine, UNDECODABLE))
                case 2 | 3:
                    tasks.append(universal(engine, 1 + number % 7))
                case _:
                    tasks.append(ctc(engine, saying(3), final=number % 2 == 0))
            if luck.random() < 0.3:
                await asyncio.sleep(0.002)
            if luck.random() < 0.2:
                luck.choice(tasks).cancel()
        done, pending = await asyncio.wait(tasks, timeout=20)
        assert not pending
        found = {await outcome(task) for task in done if not task.cancelled()}
        assert found == {"b", "universal", "RuntimeError", "IndexError"}
        assert await outcome(ctc(engine, saying(2))) == "a"


async def test_a_failing_batch_fails_alone() -> None:
    engine, model = made(max_rows=2)
    tasks = [ctc(engine, POISON), ctc(engine, saying(2)), ctc(engine, saying(3))]
    async with running(engine):
        assert [await outcome(task) for task in tasks] == ["RuntimeError", "RuntimeError", "b"]
        assert await outcome(ctc(engine, saying(4))) == "c"
    assert len(model.batches) == 3


async def test_what_cannot_be_decoded_fails_alone() -> None:
    engine, model = made(max_rows=2)
    tasks = [ctc(engine, UNDECODABLE), ctc(engine, saying(2))]
    async with running(engine):
        first, second = [await outcome(task) for task in tasks]
    assert first == "IndexError"
    assert second == "a"
    assert len(model.batches) == 1


async def test_cancelled_jobs_never_reach_the_model() -> None:
    engine, model = made(max_rows=1)
    model.gate.clear()
    async with running(engine):
        first = ctc(engine, saying(2))
        await model.entered()
        second, third = ctc(engine, saying(3)), ctc(engine, saying(4))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        model.gate.set()
        assert await outcome(third) == "c"
        assert await outcome(first) == "a"
    assert [int(batch[0].audio[0]) for batch in model.batches] == [2, 4]


async def test_a_job_cancelled_in_the_model_harms_no_other() -> None:
    engine, model = made()
    model.gate.clear()
    tasks = [ctc(engine, saying(2)), ctc(engine, saying(3)), universal(engine, 2)]
    async with running(engine):
        await model.entered()
        tasks[0].cancel()
        tasks[2].cancel()
        await asyncio.sleep(0)
        model.gate.set()
        assert await outcome(tasks[1]) == "b"
        assert await outcome(ctc(engine, saying(4))) == "c"


async def test_a_cancelled_universal_decoding_is_stepped_no_further() -> None:
    engine, model = made()
    async with running(engine):
        task = universal(engine, 100_000)
        await model.entered(3)
        task.cancel()
        await asyncio.sleep(0.02)
        steps = model.calls.count("step")
        await asyncio.sleep(0.05)
        assert model.calls.count("step") <= steps + 1
        assert await outcome(ctc(engine, saying(2))) == "a"


async def test_a_batch_waits_for_one_universal_step_at_most() -> None:
    engine, model = made()
    async with running(engine):
        long = universal(engine, 100_000)
        await model.entered(4)
        for _ in range(10):
            before = len(model.calls)
            task = ctc(engine, saying(2))
            await asyncio.sleep(0)  # submitted; a step may be under way, and is in `calls` already
            assert await outcome(task) == "a"
            assert model.calls[before:].index("encode") <= 1
        assert not long.done()
        steps = model.calls.count("step")
        await until(lambda: model.calls.count("step") > steps)
        long.cancel()


async def test_a_steady_stream_of_batches_does_not_starve_the_universal_path() -> None:
    engine, model = made(max_rows=1)
    tasks = [ctc(engine, saying(2)) for _ in range(30)]
    async with running(engine):
        slow = universal(engine, 5)
        assert await outcome(slow) == "universal"
        await asyncio.gather(*tasks)
    first = model.calls.index("step")
    assert model.calls[first : first + 10].count("step") >= 4


async def test_universal_decodings_share_their_steps() -> None:
    engine, model = made()
    tasks = [universal(engine, count) for count in (3, 5, 4)]
    async with running(engine):
        assert [await outcome(task) for task in tasks] == ["universal"] * 3
    assert model.calls.count("step") <= 6


async def test_a_final_that_would_be_late_searches_no_further() -> None:
    """A partial goes on: it is late whenever it comes."""
    engine, model = made(final_s=0.02)
    async with running(engine):
        assert await outcome(universal(engine, 10**9)) == "universal"
        assert await outcome(universal(engine, 50, final=False)) == "universal"
    assert 1 + 50 < model.calls.count("step") < 10**6


async def test_a_failing_step_fails_its_decodings_and_the_engine_goes_on() -> None:
    engine, model = made()
    model.fail_steps = True
    async with running(engine):
        assert await outcome(universal(engine, 3)) == "RuntimeError"
        model.fail_steps = False
        assert await outcome(universal(engine, 3)) == "universal"
        assert await outcome(ctc(engine, saying(2))) == "a"


async def test_a_failing_result_fails_alone() -> None:
    engine, model = made()
    model.fail_results = True
    tasks = [universal(engine, 2), universal(engine, 2), universal(engine, 9)]
    async with running(engine):
        found = [await outcome(task) for task in tasks]
    assert found == ["RuntimeError", "universal", "universal"]


async def test_shutdown_fails_the_rest() -> None:
    engine, model = made(max_rows=2)
    async with running(engine) as loop:
        stepping = universal(engine, 100_000)
        await model.entered(3)
        model.gate.clear()
        await asyncio.sleep(0.02)
        tasks = [stepping, *(ctc(engine, saying(2)) for _ in range(5))]
        await asyncio.sleep(0)
        loop.cancel()
        await asyncio.sleep(0)
        model.gate.set()
        assert [await outcome(task) for task in tasks] == ["Overloaded"] * 6


async def test_shutdown_within_a_batch() -> None:
    engine, model = made()
    model.gate.clear()
    async with running(engine) as loop:
        task = ctc(engine, saying(2))
        await model.entered()
        loop.cancel()
        await asyncio.sleep(0)
        model.gate.set()
        assert await outcome(task) == "Overloaded"


async def test_after_shutdown_nothing_is_accepted() -> None:
    engine, _ = made()
    async with running(engine):
        pass
    with pytest.raises(Overloaded, match="shutting down"):
        await asyncio.wait_for(ctc(engine, saying(2)), 5)


async def test_times_are_those_of_the_span() -> None:
    engine, _ = made()
    async with running(engine):
        heard = await engine.recognize(
            "s", lambda: Excerpt(saying(4, 8000), start_ms=2500), "it", RESIDENT, final=False
        )
    assert [(word.start_ms, word.end_ms) for word in heard.words] == [(2500, 2600)]
    assert heard.audio_ms == 3000


async def test_only_finals_hear_boosted_phrases() -> None:
    engine, model = made(max_rows=1)
    async with running(engine):
        for final in (True, False):
            await engine.recognize(
                "s",
                lambda: Excerpt(saying(2)),
                "it",
                RESIDENT,
                final=final,
                boosted_phrases=("il volume",),
            )
    assert [batch[0].boosted_phrases for batch in model.batches] == [("il volume",), ()]


async def test_a_partial_that_waits_hears_what_comes_meanwhile() -> None:
    engine, model = made(max_rows=1)
    model.gate.clear()
    audio = saying(3)
    async with running(engine):
        first = ctc(engine, saying(2))
        await model.entered()
        partial_ = asyncio.create_task(
            engine.recognize("p", lambda: Excerpt(audio), "it", RESIDENT, final=False)
        )
        await asyncio.sleep(0)
        audio = saying(5, 24_000)
        model.gate.set()
        assert (await partial_).text == "d"
        assert (await partial_).audio_ms == 1500
        await first


async def test_too_much_is_refused_and_a_cancelled_job_makes_room() -> None:
    model = FakeModel()
    engine, _ = engine_of(model, max_rows=1, max_jobs=1)
    model.gate.clear()
    async with running(engine):
        under_way = ctc(engine, saying(2))
        await model.entered()
        waiting = ctc(engine, saying(3))
        await asyncio.sleep(0)
        assert await outcome(ctc(engine, saying(4))) == "Overloaded"
        waiting.cancel()
        await asyncio.sleep(0)
        other = ctc(engine, saying(5))
        await asyncio.sleep(0)
        model.gate.set()
        assert [await outcome(under_way), await outcome(other)] == ["a", "d"]


async def test_the_lane_is_bounded_and_finals_come_into_it_first() -> None:
    engine, model = made(lane=2)
    tasks = [universal(engine, 6, final=False) for _ in range(3)]
    tasks += [universal(engine, 4) for _ in range(3)]
    async with running(engine):
        assert {await outcome(task) for task in tasks} == {"universal"}
    assert max(model.stepped) == 2
    finals = [[job.final for job in batch] for batch in model.batches]
    assert finals[0] == [True, True]
    assert [final for batch in finals for final in batch] == [True] * 3 + [False] * 3
    # Partials fill half of the lane: they never share it with each other.
    assert all(batch.count(False) <= 1 for batch in finals)


async def test_between_two_batches_there_is_one_step_or_one_result() -> None:
    engine, model = made(max_rows=1)
    tasks = [universal(engine, 3 + number % 2) for number in range(6)]
    tasks += [ctc(engine, saying(2)) for _ in range(40)]
    async with running(engine):
        assert {await outcome(task) for task in tasks} == {"universal", "a"}
    # All were there from the start, so until the last one a batch was waiting all the time.
    calls = " ".join(model.calls)
    while_waiting = calls[: calls.rindex("encode")].split("encode")
    assert {turn.strip() for turn in while_waiting} == {"", "step", "result"}


async def test_a_cancelled_universal_partial_leaves_its_place_to_a_final() -> None:
    engine, model = made(lane=1)
    async with running(engine):
        endless = universal(engine, 100_000, final=False)
        await model.entered(3)
        final = universal(engine, 2)
        await asyncio.sleep(0.01)
        assert not final.done()
        endless.cancel()
        assert await outcome(final) == "universal"


async def test_admission_is_told_how_long_finals_waited_and_when_there_is_nothing_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = FakeModel()
    engine, admission = engine_of(model)
    waits: list[float] = []
    monkeypatch.setattr(admission, "waited", waits.append)
    model.gate.clear()
    async with running(engine):
        await until(lambda: admission.idle)
        tasks = [ctc(engine, saying(2)), ctc(engine, saying(3), final=False)]
        await model.entered()
        await until(lambda: not admission.idle)
        model.gate.set()
        await asyncio.gather(*tasks)
        await until(lambda: admission.idle)
        slow = universal(engine, 100_000)
        await model.entered(3)
        await until(lambda: not admission.idle)
        slow.cancel()
        await until(lambda: admission.idle)
    assert len(waits) == 2
    assert all(0 <= wait < 5 for wait in waits)


async def test_batches_wait_when_decoding_falls_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()

    def slowly(job: Job, row: CtcRow) -> Heard:
        assert gate.wait(10)
        return Heard("slow", (), 1.0)

    monkeypatch.setattr("asr_service.engine.ctc_result", slowly)
    engine, model = made(max_rows=1)
    tasks = [ctc(engine, saying(2)) for _ in range(10)]
    async with running(engine):
        await model.entered(3)
        await asyncio.sleep(0.02)
        assert len(model.batches) == 3
        gate.set()
        assert {await outcome(task) for task in tasks} == {"slow"}


Step = tuple[str, int]


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["ctc", "universal", "poison", "cancel", "pause"]), st.integers(0, 9)
        ),
        max_size=30,
    ),
    stop=st.booleans(),
)
@settings(deadline=None, max_examples=25)
def test_whatever_happens_every_call_returns(steps: list[Step], stop: bool) -> None:
    """And nothing is left in the queue or the lane."""

    async def live() -> None:
        engine, _ = engine_of(FakeModel(), max_rows=2, max_jobs=8, lane=2)
        tasks: list[asyncio.Task[WorkerHypothesis]] = []
        async with running(engine) as loop:
            for what, number in steps:
                match what:
                    case "ctc":
                        tasks.append(ctc(engine, saying(2 + number % 8), final=number % 2 == 0))
                    case "universal":
                        tasks.append(universal(engine, number, final=number % 2 == 0))
                    case "poison":
                        tasks.append(ctc(engine, POISON))
                    case "cancel" if tasks:
                        tasks[number % len(tasks)].cancel()
                    case _:
                        await asyncio.sleep(0.001)
            if stop:
                await asyncio.sleep(0)
                loop.cancel()
            if tasks:
                _, pending = await asyncio.wait(tasks, timeout=20)
                assert not pending
            for task in tasks:
                if not task.cancelled() and (error := task.exception()) is not None:
                    assert isinstance(error, (Overloaded, RuntimeError))
        assert len(engine._schedule) == 0
        assert len(engine._lane) == 0
        assert not engine._answering

    asyncio.run(live())
