"""One span: audio comes in, hypotheses go out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import numpy as np
import pytest

from asr_service.engine import Engine
from asr_service.jobs import Audio, Excerpt, WorkerHypothesis
from asr_service.residency import Resident
from asr_service.span import Answer, Finalize, Span
from common.errors import InvalidRequest, LimitExceeded, Overloaded
from speech.ctc.paths import TimedWord

Request = Audio | Finalize


class FakeEngine(Engine):
    """Answers when told to, with the number of samples it was given."""

    def __init__(self) -> None:
        self.waiting: list[tuple[bool, Audio, asyncio.Future[WorkerHypothesis]]] = []
        self.n_under_way = 0
        self.most_under_way = 0
        self.asked: list[tuple[bool, int]] = []
        self.boosted: list[tuple[str, ...]] = []
        self.compute_ms = 0.0
        self.at_once = True
        self.fail_partials = False

    async def recognize(
        self,
        span_id: str,
        newest: Callable[[], Excerpt],
        language: str,
        resident: Resident | None,
        *,
        final: bool,
        boosted_phrases: tuple[str, ...] = (),
    ) -> WorkerHypothesis:
        audio = newest().audio
        self.asked.append((final, len(audio)))
        self.boosted.append(boosted_phrases)
        self.n_under_way += 1
        self.most_under_way = max(self.most_under_way, self.n_under_way)
        try:
            if self.fail_partials and not final:
                raise RuntimeError("a row beside this one was bad")
            if not self.at_once:
                future: asyncio.Future[WorkerHypothesis] = asyncio.Future()
                self.waiting.append((final, audio, future))
                return await future
            await asyncio.sleep(0)
            return self.heard(audio)
        finally:
            self.n_under_way -= 1

    def heard(self, audio: Audio) -> WorkerHypothesis:
        text = str(len(audio))
        return WorkerHypothesis(text, (), 1.0, len(audio) // 16, 0.0, self.compute_ms)


class Conversation:
    """Feeds a span, and collects its answers."""

    def __init__(self, *, interval_s: float | None = 0.1, max_samples: int = 160_000) -> None:
        self.engine = FakeEngine()
        self.span = Span(
            "s", "it", None, self.engine, partial_interval_s=interval_s, max_samples=max_samples
        )
        self._requests: asyncio.Queue[Request | None] = asyncio.Queue()
        self.answers: list[Answer] = []
        self.task = asyncio.create_task(self._run())

    async def _source(self) -> AsyncIterator[Request]:
        while (request := await self._requests.get()) is not None:
            yield request

    async def _run(self) -> None:
        async with aclosing(self.span.run(self._source())) as answers:
            async for answer in answers:
                self.answers.append(answer)

    async def say(self, *requests: Request | None) -> None:
        for request in requests:
            self._requests.put_nowait(request)
        for _ in range(40):
            await asyncio.sleep(0)

    async def ended(self) -> list[Answer]:
        await self.say(None)
        await asyncio.wait_for(self.task, 5)
        return self.answers


def audio(n_samples: int) -> Audio:
    return np.arange(n_samples, dtype=np.float32)


async def test_a_finalize_is_answered_with_its_sequence_and_samples() -> None:
    talk = Conversation(interval_s=None)
    await talk.say(audio(3000), audio(1000), Finalize(7, 3500))
    (answer,) = await talk.ended()
    assert answer.sequence == 7
    assert answer.hypothesis.text == "3500"
    assert talk.engine.asked == [(True, 3500)]


async def test_the_first_samples_are_decoded_and_more_may_follow() -> None:
    talk = Conversation(interval_s=None)
    talk.engine.at_once = False
    await talk.say(audio(2000), Finalize(1, 1000))
    _, heard, future = talk.engine.waiting.pop()
    assert np.array_equal(heard, audio(1000))
    await talk.say(audio(500))
    future.set_result(talk.engine.heard(heard))
    await talk.say(Finalize(2, 2500))
    _, heard, future = talk.engine.waiting.pop()
    assert np.array_equal(heard, np.concatenate([audio(2000), audio(500)]))
    future.set_result(talk.engine.heard(heard))
    assert [answer.sequence for answer in await talk.ended()] == [1, 2]


async def test_a_newer_finalize_replaces_an_older_one() -> None:
    talk = Conversation(interval_s=None)
    talk.engine.at_once = False
    await talk.say(audio(2000), Finalize(1, 1000))
    _, _, older = talk.engine.waiting.pop()
    await talk.say(audio(500), Finalize(2, 2500))
    assert older.cancelled()
    assert talk.engine.n_under_way == 1
    _, heard, future = talk.engine.waiting.pop()
    assert len(heard) == 2500
    future.set_result(talk.engine.heard(heard))
    assert [answer.sequence for answer in await talk.ended()] == [2]


async def test_the_end_of_requests_waits_for_the_last_final() -> None:
    talk = Conversation(interval_s=None)
    talk.engine.at_once = False
    await talk.say(audio(2000), Finalize(1, 2000), None)
    assert not talk.task.done()
    _, heard, future = talk.engine.waiting.pop()
    future.set_result(talk.engine.heard(heard))
    await asyncio.wait_for(talk.task, 5)
    assert [answer.sequence for answer in talk.answers] == [1]


async def test_a_final_that_fails_ends_the_span_while_its_caller_still_sends() -> None:
    talk = Conversation(interval_s=None)
    talk.engine.at_once = False
    await talk.say(audio(2000), Finalize(1, 2000))
    talk.engine.waiting.pop()[2].set_exception(LimitExceeded("the worker is full"))
    with pytest.raises(LimitExceeded, match="full"):
        await asyncio.wait_for(talk.task, 5)


async def test_partials_come_with_enough_new_audio() -> None:
    talk = Conversation(interval_s=0.1)
    await talk.say(audio(1599))
    assert talk.answers == []
    await talk.say(audio(1))
    await talk.say(audio(800))
    await talk.say(audio(800))
    assert [(a.sequence, a.hypothesis.text) for a in talk.answers] == [
        (None, "1600"),
        (None, "3200"),
    ]
    assert len(await talk.ended()) == 2


async def test_no_partials_unless_asked_for() -> None:
    talk = Conversation(interval_s=None)
    await talk.say(*(audio(3200) for _ in range(10)))
    assert await talk.ended() == []


async def test_one_partial_at_a_time_and_the_next_covers_all_that_came_meanwhile() -> None:
    talk = Conversation()
    talk.engine.at_once = False
    await talk.say(audio(1600))
    ((final, heard, future),) = talk.engine.waiting
    assert (final, len(heard)) == (False, 1600)
    await talk.say(*(audio(1600) for _ in range(9)))
    assert len(talk.engine.waiting) == 1
    talk.engine.waiting.clear()
    future.set_result(talk.engine.heard(heard))
    await talk.say()
    ((_, heard, _),) = talk.engine.waiting
    assert len(heard) == 16_000
    assert talk.engine.most_under_way == 1


async def test_partials_become_rarer_when_they_take_long() -> None:
    talk = Conversation()
    talk.engine.compute_ms = 90.0  # a third of the time: 0.27 s of new audio
    for _ in range(12):
        await talk.say(audio(1600))
    assert [a.hypothesis.text for a in talk.answers] == ["1600", "6400", "11200", "16000"]


async def test_a_final_takes_the_place_of_a_partial_under_way() -> None:
    talk = Conversation()
    talk.engine.at_once = False
    await talk.say(audio(1600))
    assert [final for final, _, _ in talk.engine.waiting] == [False]
    await talk.say(Finalize(1, 1600))
    (_, _, partial), (final, heard, answer) = talk.engine.waiting
    assert partial.cancelled()
    assert final
    answer.set_result(talk.engine.heard(heard))
    assert [answer.sequence for answer in await talk.ended()] == [1]


async def test_partials_go_on_after_a_final() -> None:
    talk = Conversation()
    await talk.say(audio(1600), Finalize(1, 1600), audio(1600))
    await talk.say(audio(1600))
    found = [(a.sequence, a.hypothesis.text) for a in await talk.ended()]
    assert found.index((1, "1600")) < found.index((None, "4800"))


async def test_a_failed_partial_is_not_the_end_of_partials() -> None:
    talk = Conversation()
    talk.engine.fail_partials = True
    await talk.say(audio(1600))
    talk.engine.fail_partials = False
    await talk.say(audio(1600))
    assert [a.hypothesis.text for a in await talk.ended()] == ["3200"]


async def test_a_failed_final_ends_the_span() -> None:
    talk = Conversation()
    talk.engine.at_once = False
    await talk.say(audio(100), Finalize(1, 100))
    talk.engine.waiting[0][2].set_exception(Overloaded("the worker is shutting down"))
    with pytest.raises(Overloaded):
        await asyncio.wait_for(talk.task, 5)


async def test_too_long() -> None:
    talk = Conversation(max_samples=16_000)
    await talk.say(audio(16_000), Finalize(1, 16_000), audio(1))
    with pytest.raises(LimitExceeded, match="span s is longer than 1000 ms"):
        await asyncio.wait_for(talk.task, 5)
    assert [answer.sequence for answer in talk.answers if answer.sequence] == [1]


@pytest.mark.parametrize("n_samples", [-1, 101, 10**12])
async def test_a_finalize_of_what_was_not_sent(n_samples: int) -> None:
    talk = Conversation()
    await talk.say(audio(100), Finalize(1, n_samples))
    with pytest.raises(InvalidRequest, match=f"sample_count is {n_samples}.* 100 samples"):
        await asyncio.wait_for(talk.task, 5)
    assert talk.engine.asked == []


@pytest.mark.parametrize("n_samples", [0, 1, 799])
async def test_what_is_too_short_for_features_is_padded(n_samples: int) -> None:
    talk = Conversation()
    await talk.say(audio(n_samples), Finalize(1, n_samples))
    assert len(await talk.ended()) == 1
    assert talk.engine.asked == [(True, 800)]


async def test_cancelling_drops_what_is_under_way() -> None:
    talk = Conversation()
    talk.engine.at_once = False
    await talk.say(audio(1600))
    assert talk.engine.n_under_way == 1
    talk.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(talk.task, 5)
    assert talk.engine.n_under_way == 0
    assert talk.engine.waiting[0][2].cancelled()


async def test_a_reader_that_stops_reading_can_still_leave() -> None:
    """Answers pile up to the bound; then the caller goes away."""
    engine = FakeEngine()
    span = Span("s", "it", None, engine, partial_interval_s=None, max_samples=10**6)

    async def requests() -> AsyncIterator[Request]:
        yield audio(1000)
        for sequence in range(50):
            yield Finalize(sequence, 1000)
            for _ in range(10):  # time for the answer
                await asyncio.sleep(0)

    answers = span.run(requests())
    first = await anext(answers)
    assert first.sequence == 0
    for _ in range(1000):
        await asyncio.sleep(0)
    assert engine.most_under_way == 1
    await asyncio.wait_for(answers.aclose(), 5)
    assert engine.n_under_way == 0


async def test_an_error_of_the_requests_is_raised() -> None:
    span = Span("s", "it", None, FakeEngine(), partial_interval_s=0.1, max_samples=1000)

    async def requests() -> AsyncIterator[Request]:
        yield audio(10)
        raise InvalidRequest("not audio")

    with pytest.raises(InvalidRequest, match="not audio"):
        async for _ in span.run(requests()):
            pass


async def test_only_finals_are_given_the_boosted_phrases() -> None:
    engine = FakeEngine()
    span = Span(
        "s",
        "it",
        None,
        engine,
        partial_interval_s=0.1,
        max_samples=10_000,
        boosted_phrases=("il volume",),
    )

    async def requests() -> AsyncIterator[Request]:
        yield audio(1600)
        for _ in range(20):
            await asyncio.sleep(0)
        yield Finalize(1, 1600)

    assert len([answer async for answer in span.run(requests())]) == 2
    assert engine.asked == [(False, 1600), (True, 1600)]
    assert engine.boosted == [(), ("il volume",)]


class WordsEngine(FakeEngine):
    """Hears a word in each half second, its number; of what a window cuts, nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.drafts: list[str] = []

    async def recognize(
        self,
        span_id: str,
        newest: Callable[[], Excerpt],
        language: str,
        resident: Resident | None,
        *,
        final: bool,
        boosted_phrases: tuple[str, ...] = (),
    ) -> WorkerHypothesis:
        excerpt = newest()
        self.asked.append((final, len(excerpt.audio)))
        self.drafts.append(excerpt.draft)
        await asyncio.sleep(0)
        end_ms = excerpt.start_ms + len(excerpt.audio) // 16
        first = -(-excerpt.start_ms // 500)
        words = tuple(
            TimedWord(str(number), 500 * number, 500 * number + 400, 1.0)
            for number in range(first, end_ms // 500)
        )
        glue = "" if language == "zh" else " "
        text = glue.join(word.text for word in words)
        return WorkerHypothesis(text, words, 1.0, end_ms, 0.0, 0.0)


@pytest.mark.parametrize(("language", "glue"), [("it", " "), ("zh", "")])
async def test_a_long_span_has_partials_of_all_its_words_from_bounded_windows(
    language: str, glue: str
) -> None:
    engine = WordsEngine()
    span = Span("s", language, None, engine, partial_interval_s=0.5, max_samples=16_000 * 30)

    async def requests() -> AsyncIterator[Request]:
        for _ in range(50):
            yield audio(8000)
            for _ in range(20):
                await asyncio.sleep(0)
        yield Finalize(1, 400_000)

    answers = [answer async for answer in span.run(requests())]
    partials = [answer.hypothesis for answer in answers if answer.sequence is None]
    assert len(partials) >= 40
    for partial in partials:
        said = [str(number) for number in range(partial.audio_ms // 500)]
        assert [word.text for word in partial.words] == said
        assert partial.text == glue.join(said)
    *windows, (final, n_samples) = engine.asked
    assert (final, n_samples) == (True, 400_000)
    assert max(n for _, n in windows) <= 8 * 16_000


async def test_the_audio_is_that_which_was_sent_however_it_came() -> None:
    talk = Conversation(interval_s=None)
    talk.engine.at_once = False
    sent = [np.random.default_rng(n).random(n * 37 % 5000, np.float32) for n in range(40)]
    await talk.say(*sent, Finalize(1, sum(map(len, sent))))
    _, heard, future = talk.engine.waiting.pop()
    await talk.say(audio(100_000 - len(heard)))  # the buffer grows; what is under way stays
    assert np.array_equal(heard, np.concatenate(sent))
    future.set_result(talk.engine.heard(heard))
    await talk.ended()


async def test_a_partial_drafts_the_next_as_long_as_their_windows_begin_alike() -> None:
    engine = WordsEngine()
    span = Span("s", "it", None, engine, partial_interval_s=0.5, max_samples=16_000 * 30)

    async def requests() -> AsyncIterator[Request]:
        for _ in range(20):
            yield audio(8000)
            for _ in range(20):
                await asyncio.sleep(0)

    partials = [answer.hypothesis.text async for answer in span.run(requests())]
    assert len(partials) == 20
    # The window of the seventeenth is the first that does not begin with the span.
    assert engine.drafts[:16] == ["", *partials[:15]]
    assert not any(engine.drafts[16:])
