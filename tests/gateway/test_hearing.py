"""Steps 4 to 6: the spans of a segment, heard by recognitions that do as they are told."""

from __future__ import annotations

import asyncio
from typing import cast

import numpy as np
from panglot.v1 import asr_pb2

from common.catalogue import ServedLanguage
from common.fleet import UNIVERSAL
from gateway.hearing import Hearings, Show
from gateway.identifier import Identifier
from gateway.language import LanguageClient
from gateway.options import Options
from gateway.recognition import Final, Recognition
from gateway.segment_audio import SegmentAudio, SpanAudio
from gateway.tracker import LanguageTracker
from gateway.windows import Stretch
from tests.gateway.serving import SECOND, SETTINGS, TAGS, FakeLid, breath, by_ear, said

EN, FR, IT = (ServedLanguage(tag, tag, UNIVERSAL, None, None) for tag in TAGS)


def hypothesis(text: str, audio_ms: int = 1000) -> asr_pb2.Hypothesis:
    """Of one word."""
    words = [asr_pb2.HypothesisWord(text=text)]
    return asr_pb2.Hypothesis(text=text, words=words, audio_ms=audio_ms, confidence=0.5)


class FakeRecognition:
    """Of a span; its finals come when a test gives them."""

    def __init__(self, audio: SpanAudio, language: ServedLanguage, show: Show | None) -> None:
        self.audio = audio
        self.language = language
        self.show = show
        self.finals: dict[int, Final] = {}
        self.stopped = self.closed = False

    def final(self, n_samples: int) -> Final:
        return self.finals.setdefault(n_samples, asyncio.get_running_loop().create_future())

    def stop(self) -> None:
        self.stopped = True

    async def close(self) -> None:
        self.closed = True


class Heard:
    """A segment of ten seconds, and all recognitions that its hearings began."""

    def __init__(self) -> None:
        self.begun: list[FakeRecognition] = []
        self.audio = SegmentAudio(32_000)
        self.audio.append(np.zeros(10 * SECOND, np.float32))
        self.n_shown = 0
        self.hearings = Hearings(self.audio, self._recognize, self._show)

    def texts(self) -> list[str]:
        """What there is to show of each span."""
        return [heard.hypothesis.text for heard in self.hearings.partials]

    def _recognize(
        self, audio: SpanAudio, language: ServedLanguage, show: Show | None
    ) -> Recognition:
        self.begun.append(FakeRecognition(audio, language, show))
        return cast(Recognition, self.begun[-1])

    def _show(self) -> None:
        self.n_shown += 1


def tell(recognition: FakeRecognition, text: str, audio_ms: int = 1000) -> None:
    """It has a partial."""
    assert recognition.show is not None
    recognition.show(hypothesis(text, audio_ms))


async def test_each_span_ends_where_the_next_one_begins() -> None:
    segment = Heard()
    segment.hearings.begin(0, EN, None)
    segment.hearings.begin(3 * SECOND, FR, 0.9)
    en, fr = segment.begun
    assert (en.audio.n_samples, fr.audio.n_samples) == (3 * SECOND, 7 * SECOND)
    assert (list(en.finals), list(fr.finals)) == ([3 * SECOND], [])
    assert [one.source.start for one in segment.hearings.partials] == [32_000]
    assert segment.hearings.languages == ("en", "fr")
    assert segment.hearings.starts == (0, 3 * SECOND)


async def test_a_span_waits_for_the_one_before_it() -> None:
    segment = Heard()
    segment.hearings.begin(0, EN, None)
    segment.hearings.begin(SECOND, FR, 0.9)
    en, fr = segment.begun
    tell(fr, "oui")
    assert segment.texts() == [""]
    tell(en, "yes")
    assert segment.texts() == ["yes", "oui"]
    assert segment.n_shown == 2


async def test_a_span_waits_until_the_one_before_it_is_heard_to_its_end() -> None:
    segment = Heard()
    segment.hearings.begin(0, EN, None)
    (en,) = segment.begun
    tell(en, "yes", 600)
    segment.hearings.begin(SECOND, FR, 0.9)
    tell(segment.begun[1], "oui")
    assert segment.texts() == ["yes"], "else what is still to come of it would have no room"
    en.finals[SECOND].set_result(hypothesis("yes sir", 1000))
    await asyncio.sleep(0)
    assert segment.texts() == ["yes sir", "oui"]


async def test_a_worker_that_took_over_does_not_take_back_what_was_shown() -> None:
    segment = Heard()
    segment.hearings.begin(0, EN, None)
    (en,) = segment.begun
    for text, audio_ms in (("a", 500), ("b", 1000), ("c", 500), ("d", 1000)):
        tell(en, text, audio_ms)
        assert segment.texts() == ["b" if text == "c" else text]
    assert segment.n_shown == 3


async def test_of_a_span_that_has_ended_its_final_is_shown() -> None:
    segment = Heard()
    segment.hearings.begin(0, EN, None)
    segment.hearings.begin(SECOND, FR, 0.9)
    en, _ = segment.begun
    tell(en, "yes no", 2000)
    en.finals[SECOND].set_result(hypothesis("yes"))
    await breath()
    assert segment.texts() == ["yes", ""]


async def test_of_a_span_that_goes_on_after_all_it_is_not() -> None:
    segment = Heard()
    segment.hearings.begin(0, EN, None)
    segment.hearings.begin(SECOND, FR, 0.9)
    en, fr = segment.begun
    segment.hearings.keep(1)
    assert fr.stopped
    assert en.audio.n_samples == 10 * SECOND
    tell(en, "yes no", 2000)
    en.finals[SECOND].set_result(hypothesis("yes"))
    await breath()
    assert segment.texts() == ["yes no"]


async def test_decoding_ahead_is_of_the_span_in_which_the_end_is() -> None:
    segment = Heard()
    segment.hearings.ahead(SECOND)
    segment.hearings.begin(0, EN, None)
    segment.hearings.begin(3 * SECOND, FR, 0.9)
    en, fr = segment.begun
    segment.hearings.ahead(5 * SECOND)
    segment.hearings.ahead(2 * SECOND)
    assert list(fr.finals) == [2 * SECOND]
    assert list(en.finals) == [3 * SECOND, 2 * SECOND]


async def test_what_begins_beyond_the_end_has_no_final() -> None:
    segment = Heard()
    for first, language in enumerate((EN, FR, IT)):
        segment.hearings.begin(3 * SECOND * first, language, 0.9)
    en, fr, it = segment.begun
    finals = asyncio.ensure_future(segment.hearings.finals(6 * SECOND))
    await breath()
    assert it.stopped
    assert list(fr.finals) == [3 * SECOND], "and it is not cut at less"
    en.finals[3 * SECOND].set_result(hypothesis("yes"))
    fr.finals[3 * SECOND].set_result(hypothesis("oui"))
    assert [one.hypothesis.text for one in await finals] == ["yes", "oui"]


async def test_a_rival_comes_and_goes() -> None:
    segment = Heard()
    segment.hearings.begin(0, EN, 0.5)
    segment.hearings.challenge(0, FR, 0.4)
    segment.hearings.challenge(0, FR, 0.3)
    en, fr = segment.begun
    assert (fr.language, fr.show, fr.stopped) == (FR, None, False)
    segment.hearings.challenge(0, IT, 0.4)
    assert fr.stopped
    segment.hearings.challenge(0, None, 0.0)
    assert [one.stopped for one in segment.begun] == [False, True, True]
    final = asyncio.ensure_future(segment.hearings.finals(SECOND))
    await breath()
    en.finals[SECOND].set_result(hypothesis("yes"))
    (heard,) = await final
    assert heard.source.language == "en"


async def test_a_rival_is_decoded_ahead_with_the_span() -> None:
    segment = Heard()
    segment.hearings.begin(0, EN, 0.5)
    segment.hearings.ahead(SECOND)
    segment.hearings.challenge(0, FR, 0.4)
    segment.hearings.ahead(2 * SECOND)
    segment.hearings.challenge(0, FR, 0.4)
    en, fr = segment.begun
    assert list(en.finals) == list(fr.finals) == [SECOND, 2 * SECOND]


async def test_all_that_was_begun_is_closed() -> None:
    segment = Heard()
    segment.hearings.begin(0, EN, 0.5)
    segment.hearings.challenge(0, FR, 0.4)
    segment.hearings.challenge(0, IT, 0.4)
    segment.hearings.begin(SECOND, FR, 0.9)
    segment.hearings.keep(1)
    segment.hearings.begin(SECOND, IT, 0.9)
    await segment.hearings.close()
    assert len(segment.begun) == 5
    assert all(one.stopped and one.closed for one in segment.begun)
    assert segment.hearings.languages == ()


async def identified(end: int | None, *answers: str | None) -> list[tuple[str, int]]:
    """Languages and ends of the spans of three seconds of English and two of French."""
    audio = SegmentAudio(0)
    audio.append(said("en en en en en en fr fr fr fr"))
    lid = FakeLid(*answers, judge=None if answers else by_ear)
    options = Options(fixed=None, candidates=TAGS[::-1], partials=True)
    identifier = Identifier(
        audio, cast(LanguageClient, lid), LanguageTracker(SETTINGS), options, TAGS
    )
    assert identifier.begin() is None
    windows = [Stretch(first * SECOND, (first + 1) * SECOND) for first in range(5)]
    audio.end = end
    spans = await identifier.spans(*windows, urgent=False)
    assert identifier.has_answered == (answers != (None,))
    return [(span.language, span.end_ms) for span in spans]


async def test_spans_go_to_where_the_segment_may_end() -> None:
    assert await identified(None) == [("en", 3000), ("fr", 5000)]
    assert await identified(4 * SECOND) == [("en", 3000), ("fr", 4000)]
    assert await identified(2 * SECOND) == [("en", 2000)]


async def test_for_want_of_an_answer_the_first_candidate_is_the_language() -> None:
    assert await identified(4 * SECOND, None) == [("it", 4000)]
