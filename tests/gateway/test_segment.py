"""Step 4 in a segment: what the client is told as its languages become clear."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import grpc
import numpy as np
import pytest

from common.audio import Samples
from common.errors import AdapterNotFound, NoWorker
from gateway import hearing
from gateway.language import Identified
from gateway.segment import Event
from gateway.tracker import LanguageSpan
from tests.gateway.serving import (
    SECOND,
    TAGS,
    FakeWorker,
    breath,
    by_ear,
    eventually,
    levels,
    plot,
    said,
    story,
    stream,
)

FOUR_S = " ".join(["en"] * 8)


def check(events: Sequence[Event]) -> None:
    """What the protocol promises of any segment; there is one final at most, and it is last."""
    finals = [event.final for event in events if event.HasField("final")]
    assert len(finals) == bool(events)
    assert not events or events[-1].HasField("final")
    for event in events:
        if event.HasField("language_change"):
            continue
        told = event.final if event.HasField("final") else event.partial
        spans = told.spans
        assert spans[0].start_ms == told.start_ms
        assert spans[-1].end_ms == told.end_ms
        for one, other in itertools.pairwise(spans):
            assert one.end_ms == other.start_ms
            assert one.language != other.language
        assert told.text == " ".join(word.text for word in told.words)
        for word in told.words:
            (home,) = (s for s in spans if s.start_ms <= word.start_ms < s.end_ms)
            assert home.language == word.language
            assert word.end_ms <= home.end_ms


def finals_of(events: Sequence[Event]) -> list[tuple[str, str]]:
    """Words and their language."""
    check(events)
    return [(word.text, word.language) for word in events[-1].final.words]


# One language.


async def test_the_first_segment_waits_for_its_language() -> None:
    async with stream(judge=by_ear) as speaking:
        events = await speaking.segment("fr fr fr fr")
        assert story(events)[-1] == "final fr fr fr fr"
        assert all(not line.startswith("change") and "?" not in line for line in story(events))
        check(events)


async def test_a_speaker_who_stays_is_heard_once() -> None:
    worker = FakeWorker()
    async with stream(judge=by_ear, worker=worker) as speaking:
        for n_spans in (1, 2, 3):
            events = await speaking.segment(FOUR_S)
            assert plot(events) == [f"final {FOUR_S}"]
            assert len(worker.configs) == n_spans
            check(events)


async def test_words_do_not_wait_for_a_language_that_is_expected() -> None:
    async with stream(judge=by_ear) as speaking:
        await speaking.segment("it it it")
        speaking.lid.open.clear()
        segment = speaking.begin()
        await segment.say("it it it")
        await segment.until("partial it it it")
        speaking.lid.open.set()
        assert plot(await segment.end()) == ["final it it it"]


async def test_a_language_that_is_fixed_is_not_judged() -> None:
    async with stream(judge=by_ear, fixed="it") as speaking:
        events = await speaking.segment("fr it fr")
        assert plot(events) == ["final ?fr it ?fr"]
        assert not events[-1].final.HasField("language_probability")
        assert speaking.lid.judged_s == []


async def test_a_segment_of_one_word() -> None:
    async with stream(judge=by_ear) as speaking:
        assert plot(await speaking.segment("it")) == ["final it"]


# Correction.


async def test_the_language_expected_is_corrected_once_it_is_certain() -> None:
    async with stream(judge=by_ear) as speaking:
        await speaking.segment("en en en")
        speaking.lid.open.clear()
        segment = speaking.begin()
        await segment.say("fr fr fr fr fr")
        await segment.until("partial ?fr ?fr ?fr ?fr ?fr")
        speaking.lid.open.set()
        await segment.until("partial fr fr fr fr fr")
        events = await segment.end()
        assert plot(events) == ["change en fr", "final fr fr fr fr fr"]
        changes = [event.language_change for event in events if event.HasField("language_change")]
        assert [change.start_ms for change in changes] == [100_000]
        told = story(events)
        assert not any("?" in line for line in told[told.index("change en fr") :])
        check(events)


async def test_a_guess_does_not_void_what_was_shown_until_the_end() -> None:
    def unsure(window: Samples) -> Identified:
        return Identified({"en": 0.38, "fr": 0.57, "it": 0.05}, 0.0)

    async with stream(judge=by_ear) as speaking:
        await speaking.segment("en en en")
        speaking.lid.judge = unsure
        segment = speaking.begin()
        await segment.say("fr fr fr fr fr fr")
        assert plot(segment.events) == []
        assert plot(await segment.end())[-1] == "final fr fr fr fr fr fr"


async def test_a_change_of_mind_in_the_middle_of_nothing() -> None:
    async with stream("en", *["fr"] * 20) as speaking:
        events = await speaking.segment("fr fr fr fr fr fr")
        assert plot(events) == ["change en fr", "final fr fr fr fr fr fr"]


# Several languages.


async def test_a_speaker_who_changes_the_language_in_the_middle_of_a_sentence() -> None:
    words = "en en en en en fr fr fr fr fr"
    async with stream(judge=by_ear) as speaking:
        segment = speaking.begin()
        await segment.say(words)
        await segment.until(f"partial {words}")
        events = await segment.end()
        assert plot(events) == ["change en fr", f"final {words}"]
        assert finals_of(events) == [("en", "en")] * 5 + [("fr", "fr")] * 5
        final = events[-1].final
        assert [span.language for span in final.spans] == ["en", "fr"]
        assert (final.start_ms, final.end_ms) == (0, 5000)
        (change,) = (one.language_change for one in events if one.HasField("language_change"))
        assert change.start_ms == final.spans[1].start_ms
        assert 2400 <= change.start_ms < 2500, "between two words"
        assert 0 < change.probability <= 1


async def test_what_was_shown_beyond_a_change_does_not_come_back() -> None:
    async with stream(judge=by_ear) as speaking:
        events = await speaking.segment("en en en en en fr fr fr fr fr")
        told = story(events)
        assert not any("?" in line for line in told[told.index("change en fr") :])
        check(events)


async def test_three_languages() -> None:
    words = "en en en en en fr fr fr fr fr it it it it it"
    async with stream(judge=by_ear) as speaking:
        events = await speaking.segment(words)
        assert plot(events) == ["change en fr", "change fr it", f"final {words}"]
        assert finals_of(events) == [(word, word) for word in words.split()]


async def test_the_next_segment_begins_in_the_language_in_which_this_one_ended() -> None:
    worker = FakeWorker()
    async with stream(judge=by_ear, worker=worker) as speaking:
        await speaking.segment("en en en en en fr fr fr fr fr")
        assert plot(await speaking.segment("fr fr fr")) == ["final fr fr fr"]
        assert [config.language for config in worker.configs] == ["en", "fr", "fr"]


async def test_a_file_comes_faster_than_it_is_judged() -> None:
    words = "en en en en en fr fr fr fr fr"
    async with stream(judge=by_ear) as speaking:
        segment = speaking.begin()
        segment.segment.audio.append(said(words))
        events = await segment.end()
        assert plot(events)[0] == "change en fr"
        assert finals_of(events) == [("en", "en")] * 5 + [("fr", "fr")] * 5


async def test_a_segment_that_is_over_before_it_is_begun() -> None:
    words = "fr fr fr"
    async with stream(judge=by_ear) as speaking:
        first, second = speaking.begin(), speaking.begin()
        second.segment.audio.append(said(words))
        second.segment.end(100 * SECOND + len(said(words)))
        first.segment.audio.append(said(words))
        assert plot(await first.end()) == [f"final {words}"]
        assert plot(await second.wait()) == [f"final {words}"]


async def test_a_change_that_was_none_is_taken_back() -> None:
    # Four windows in English, two in French, and five of the narrow ones; then they agree.
    async with stream(*["en"] * 4, *["fr"] * 7, *["en"] * 40) as speaking:
        segment = speaking.begin()
        await segment.say("en " * 20)
        events = await segment.end()
        assert plot(events) == ["change en fr", "change fr en", "final " + " ".join(["en"] * 20)]
        forth, back = (one.language_change for one in events if one.HasField("language_change"))
        assert forth.start_ms == back.start_ms > 0
        check(events)


async def test_a_change_that_is_taken_back_and_found_again_has_its_final() -> None:
    async with stream(judge=by_ear) as speaking:
        segment = speaking.begin()
        await segment.say("en en en en en fr fr fr fr fr")
        await segment.until("change en fr")
        (start_ms,) = (
            one.language_change.start_ms
            for one in segment.events
            if one.HasField("language_change")
        )
        segment.segment._correct((LanguageSpan(0, 5000, "en", 0.9, certain=True),))
        segment.segment._hearings.ahead(5 * SECOND)  # takes the place of its final
        again = (
            LanguageSpan(0, start_ms, "en", 0.9, certain=True),
            LanguageSpan(start_ms, 5000, "fr", 0.9, certain=True),
        )
        segment.segment._correct(again)
        assert finals_of(await segment.end()) == [("en", "en")] * 5 + [("fr", "fr")] * 5


async def test_one_wrong_language_after_another_leaves_no_words_of_it_behind() -> None:
    # English is right for two seconds and a half; what follows is French, no, Italian.
    async with stream(judge=by_ear) as speaking:
        segment = speaking.begin()
        await segment.say("en en en en en it it it it it")
        await segment.until("change en it")
        wrong = (
            LanguageSpan(0, 1500, "en", 0.9, certain=True),
            LanguageSpan(1500, 5000, "fr", 0.9, certain=True),
        )
        segment.segment._correct(wrong)
        await segment.say("it it it it")
        events = await segment.end()
        assert plot(events)[:-1] == [
            "change en it",
            "change it en",
            "change en fr",
            "change fr en",
            "change en it",
        ]
        first, _, forth, back, again = (
            one.language_change.start_ms for one in events if one.HasField("language_change")
        )
        assert forth == back < first == again
        assert finals_of(events) == [("en", "en")] * 5 + [("it", "it")] * 9


# Pauses and ends.


async def test_a_pause_that_was_none() -> None:
    async with stream(judge=by_ear) as speaking:
        segment = speaking.begin()
        await segment.say("en en en")
        for _ in range(3):
            segment.pause()
            await breath()
            segment.segment.resume()
            await segment.say("- en en")
        assert plot(await segment.end()) == ["final " + " ".join(["en"] * 9)]


async def test_a_final_is_decoded_ahead_in_the_pause() -> None:
    worker = FakeWorker()
    async with stream(judge=by_ear, worker=worker) as speaking:
        segment = speaking.begin()
        await segment.say("en en en")
        segment.pause()
        await segment.say("-")
        events = await segment.end(back_ms=500)
        assert plot(events) == ["final en en en"]
        assert worker.finals == [("en", 3 * SECOND // 2)]


async def test_a_pause_while_a_change_is_being_looked_for() -> None:
    async with stream(judge=by_ear) as speaking:
        segment = speaking.begin()
        await segment.say("en en en en en fr fr")
        speaking.lid.open.clear()
        await segment.say("fr fr fr")
        segment.pause()
        await breath()
        segment.segment.resume()
        await segment.say("fr fr")
        speaking.lid.open.set()
        await breath()
        segment.pause()
        await segment.say("- -")
        assert finals_of(await segment.end(1000)) == [("en", "en")] * 5 + [("fr", "fr")] * 7


async def test_a_segment_that_ends_while_it_is_judged() -> None:
    async with stream(judge=by_ear) as speaking:
        segment = speaking.begin()
        await segment.say("en en en en en fr fr")
        speaking.lid.open.clear()
        await segment.say("fr fr fr")
        segment.segment.end(5 * SECOND)
        await breath()
        speaking.lid.open.set()
        assert finals_of(await segment.wait()) == [("en", "en")] * 5 + [("fr", "fr")] * 5


@pytest.mark.parametrize("back_ms", [500, 1500, 2400, 2500, 2600, 4000])
async def test_a_segment_may_end_before_what_was_judged_of_it(back_ms: int) -> None:
    # One that grows too long is cut in its last third; what comes after is another segment's.
    async with stream(judge=by_ear) as speaking:
        segment = speaking.begin()
        await segment.say("en en en en en en fr fr fr fr fr fr")
        await segment.until("change en fr")
        events = await segment.end(back_ms)
        check(events)
        n_words = (6000 - back_ms + 499) // 500
        final = events[-1].final
        assert final.end_ms == 6000 - back_ms
        assert len(final.words) == n_words
        assert [word.text for word in final.words][: min(n_words, 6)] == ["en"] * min(n_words, 6)


async def test_nothing_is_lost_or_said_twice_wherever_the_language_changes() -> None:
    for n_before in range(4, 9):
        words = " ".join(["en"] * n_before + ["fr"] * 6)
        async with stream(judge=by_ear) as speaking:
            events = await speaking.segment(words)
            check(events)
            assert events[-1].final.text == words


# Bad input.


async def test_noise_has_no_events() -> None:
    async with stream("en", "en", worker=FakeWorker(deaf=True)) as speaking:
        assert await speaking.segment("en en en en") == []


async def test_silence_has_no_events() -> None:
    async with stream(judge=by_ear) as speaking:
        assert await speaking.segment("- - - -") == []
        assert plot(await speaking.segment("fr fr fr"))[-1] == "final fr fr fr"


async def test_a_change_is_followed_by_a_final_even_without_words() -> None:
    async with stream(judge=by_ear, worker=FakeWorker(deaf=True)) as speaking:
        await speaking.segment("en en en en")
        assert story(await speaking.segment("fr fr fr fr")) == ["change en fr", "final "]


async def test_background_changes_no_language() -> None:
    def music(window: Samples) -> Identified:
        return Identified({"fr": 0.98, "en": 0.01, "it": 0.01}, 1.0)

    async with stream(judge=by_ear) as speaking:
        await speaking.segment("en en en en")
        speaking.lid.judge = music
        assert plot(await speaking.segment("en en en en")) == ["final en en en en"]


async def test_a_language_that_is_not_served_is_not_heard_and_ends_nothing() -> None:
    def zulu(window: Samples) -> Identified:
        return Identified({"zu": 0.99}, 0.0)

    async with stream(judge=zulu, candidates=None) as speaking:
        assert await speaking.segment("en en en en") == []
        speaking.lid.judge = by_ear
        assert plot(await speaking.segment("en en en en")) == ["final en en en en"]


# Language identification is away.


async def test_without_identification_the_first_candidate_is_taken() -> None:
    async with stream() as speaking:
        assert plot(await speaking.segment("en en en en")) == ["final en en en en"]


async def test_without_identification_the_language_stays() -> None:
    async with stream(*["it"] * 5) as speaking:
        await speaking.segment("it it it it")
        speaking.lid.answers.clear()
        assert plot(await speaking.segment("it it it it")) == ["final it it it it"]


async def test_identification_that_comes_back_in_time_is_used() -> None:
    async with stream(None, *["it"] * 9, candidates=None) as speaking:
        assert plot(await speaking.segment("it it it it")) == ["final it it it it"]


async def test_without_identification_and_candidates_there_is_no_language() -> None:
    async with stream(candidates=None) as speaking:
        segment = speaking.begin()
        await segment.say("en en en en")
        with pytest.raises(NoWorker, match=r"config\.language\.fixed"):
            await segment.end()
        await segment.cancel()


async def test_a_service_that_hangs_is_not_asked_again_and_again() -> None:
    async with stream(judge=by_ear) as speaking:
        await speaking.segment("en en en en")
        n_before = len(speaking.lid.judged_s)
        speaking.lid.judge = None
        speaking.lid.open.clear()
        segment = speaking.begin()
        await segment.say("en " * 20)
        segment.segment.end(110 * SECOND)
        speaking.lid.open.set()
        assert plot(await segment.wait()) == ["final " + " ".join(["en"] * 20)]
        assert len(speaking.lid.judged_s) == n_before + 1


# Arbitration.


def torn(window: Samples) -> Identified:
    """Between English and French, in favour of English."""
    assert levels(window)
    return Identified({"en": 0.52, "fr": 0.46, "it": 0.02}, 0.0)


@pytest.mark.parametrize("language", ["en", "fr"])
async def test_in_doubt_the_surer_words_win(language: str) -> None:
    worker = FakeWorker()
    words = " ".join([language] * 4)
    async with stream(judge=torn, worker=worker) as speaking:
        events = await speaking.segment(words)
        assert plot(events) == [f"final {words}"]
        assert finals_of(events) == [(language, language)] * 4
        assert events[-1].final.language == language
        assert 0.3 < events[-1].final.language_probability < 0.6
        assert {one.language: one.partial_results for one in worker.configs} == {
            "en": True,
            "fr": False,
        }


async def test_a_rival_is_decoded_ahead_in_the_pause_and_asked_once() -> None:
    worker = FakeWorker()
    async with stream(judge=torn, worker=worker) as speaking:
        segment = speaking.begin()
        await segment.say("fr fr fr fr")
        segment.pause()
        await segment.say("-")
        assert plot(await segment.end(back_ms=500)) == ["final fr fr fr fr"]
        assert sorted(worker.finals) == [("en", 2 * SECOND), ("fr", 2 * SECOND)]


async def test_a_rival_that_fails_loses() -> None:
    worker = FakeWorker()
    worker.refused.add("fr")
    async with stream(judge=torn, worker=worker) as speaking:
        assert plot(await speaking.segment("fr fr fr fr")) == ["final ?fr ?fr ?fr ?fr"]


async def test_a_rival_that_is_late_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "_RIVAL_S", 0.05)
    worker = FakeWorker()
    worker.silent.add("fr")
    async with stream(judge=torn, worker=worker) as speaking:
        assert plot(await speaking.segment("fr fr fr fr")) == ["final ?fr ?fr ?fr ?fr"]


async def test_a_rival_that_is_none_any_more_is_let_go() -> None:
    worker = FakeWorker()
    async with stream(judge=torn, worker=worker) as speaking:
        segment = speaking.begin()
        await segment.say("en en en en")
        segment.pause()
        await segment.say("-")
        await eventually(lambda: len(worker.configs) == 2)
        assert sorted(config.language for config in worker.configs) == ["en", "fr"]
        segment.segment.resume()
        speaking.lid.judge = by_ear
        await segment.say("en " * 12)
        assert finals_of(await segment.end()) == [("en", "en")] * 16


async def test_spans_that_turn_out_to_be_in_one_language_are_one() -> None:
    def wavering(window: Samples) -> Identified:
        spoken = levels(window)
        french = spoken["fr"] / max(spoken.total(), 1)
        return Identified({"en": 0.97 - 0.42 * french, "fr": 0.01 + 0.44 * french}, 0.0)

    async with stream(judge=wavering) as speaking:
        check(await speaking.segment("en en en en en fr fr fr fr"))


# Failure.


async def test_a_worker_lost_in_the_middle_of_two_spans_costs_no_word() -> None:
    words = "en en en en en fr fr fr fr fr"
    worker = FakeWorker()
    worker.dies |= {0, 1}
    async with stream(judge=by_ear, worker=worker) as speaking:
        events = await speaking.segment(words)
        assert plot(events) == ["change en fr", f"final {words}"]
        assert finals_of(events) == [("en", "en")] * 5 + [("fr", "fr")] * 5
        assert sorted(config.language for config in worker.configs) == ["en", "en", "fr", "fr"]


async def test_speech_that_takes_workers_down_is_not_tried_for_ever() -> None:
    class Dying(FakeWorker):
        async def _recognize(self, requests, context):  # type: ignore[no-untyped-def]
            async for response in super()._recognize(requests, context):
                yield response
                await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    worker = Dying()
    async with stream(judge=by_ear, worker=worker) as speaking:
        segment = speaking.begin()
        await segment.say("en en en en")
        with pytest.raises(NoWorker, match="3 workers were lost"):
            await segment.end()
        await segment.cancel()
    assert len(worker.configs) == 3


async def test_what_cannot_be_heard_is_an_error_and_leaves_nothing_behind() -> None:
    worker = FakeWorker()
    worker.refused.add("fr")
    async with stream(judge=by_ear, worker=worker) as speaking:
        segment = speaking.begin()
        await segment.say("en en en en en fr fr fr fr fr")
        with pytest.raises(AdapterNotFound, match="no fr here"):
            await segment.end()
        await segment.cancel()
        assert segment.segment.settled.is_set(), "the next segment does not wait for this one"


@pytest.mark.parametrize("held_back", [False, True])
async def test_a_client_that_leaves_leaves_nothing_behind(held_back: bool) -> None:
    async with stream(judge=torn) as speaking:
        segment = speaking.begin()
        await segment.say("en en en en")
        segment.pause()
        await breath()
        segment.segment.resume()
        if held_back:
            speaking.lid.open.clear()
        await segment.say("en en en en")
        await segment.cancel()


async def test_levels_are_heard_as_they_are_said() -> None:
    assert levels(said("en fr fr -")) == {"en": 6400, "fr": 12_800, "it": 0}
    assert np.allclose(said("it")[:6400], 0.3)
    assert TAGS == ("en", "fr", "it")
