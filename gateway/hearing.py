"""Steps 5 and 6 for the spans of a segment: each heard in its language, in doubt in two."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from panglot.v1 import asr_pb2

from common.audio import milliseconds
from common.catalogue import ServedLanguage
from common.errors import PanglotError
from gateway.arbitration import score
from gateway.heard import Heard, SpanSource
from gateway.recognition import Final, Recognition
from gateway.segment_audio import SegmentAudio, SpanAudio

Show = Callable[[asr_pb2.Hypothesis], None]
Recognize = Callable[[SpanAudio, ServedLanguage, Show | None], Recognition]
"""Begins to recognise audio in a language; partials only if there is where to show them."""

# A second opinion is not worth more of the client's time.
_RIVAL_S = 0.5


@dataclass(frozen=True)
class _Rival:
    source: SpanSource
    recognition: Recognition


class Hearing:
    """One span."""

    def __init__(
        self,
        source: SpanSource,
        language: ServedLanguage,
        audio: SpanAudio,
        recognize: Recognize,
        show: Callable[[], None],
    ) -> None:
        """Begin at once; `show` is called when there is a new partial."""
        self.source = source
        self.audio = audio
        self._recognize = recognize
        self._show = show
        self._partial: asr_pb2.Hypothesis | None = None
        self._ended = False
        self._ahead: int | None = None  # samples after which it may end
        self._rival: _Rival | None = None
        self._outdone: list[Recognition] = []
        self._recognition = recognize(audio, language, self._take_partial)

    @property
    def partial(self) -> asr_pb2.Hypothesis | None:
        """What was heard so far, None before the first pass over it."""
        return self._partial

    def now(self, hypothesis: asr_pb2.Hypothesis) -> Heard:
        """A hypothesis with what is known of the span now."""
        # With the adapter that has heard it: a canary's place may have been taken, or a stand-in's.
        return Heard(self.source.by(self._recognition.language), hypothesis)

    def believe(self, probability: float) -> None:
        """Language identification says how probable its language is."""
        self.source = replace(self.source, language_probability=probability)

    def ahead(self, n_samples: int) -> Final:
        """It may end after `n_samples`: decode it for good."""
        self._ahead = n_samples
        return self._recognition.final(n_samples)

    def end(self, n_samples: int) -> None:
        """It ends after `n_samples`: what is shown of it is its final, once that is there."""
        self._ended = True
        self.audio.cut(self.audio.first + n_samples)
        self.ahead(n_samples).add_done_callback(self._take_final)

    def go_on(self) -> None:
        """It did not end."""
        self._ended = False
        self.audio.cut(None)

    def challenge(self, language: ServedLanguage | None, probability: float) -> None:
        """Hear it in a second language too, or no longer when that is None."""
        rival, self._rival = self._rival, None
        if rival is not None and (language is None or language.tag != rival.source.language):
            rival.recognition.stop()
            self._outdone.append(rival.recognition)
            rival = None
        if language is None:
            return
        source = SpanSource(self.source.start, language.tag, language.adapter, probability)
        recognition = rival.recognition if rival else self._recognize(self.audio, language, None)
        self._rival = _Rival(source, recognition)
        if self._ahead is not None:
            recognition.final(self._ahead)

    async def final(self, n_samples: int) -> Heard:
        """The words of its first `n_samples` for good, in the language that fits them better.

        Raises as `Span.responses` does; a rival that fails, or is late, loses.
        """
        rival = self._rival
        asked = None if rival is None else rival.recognition.final(n_samples)
        hypothesis = await self._recognition.final(n_samples)
        own = self.now(hypothesis)
        if rival is None or asked is None:
            return own
        try:
            async with asyncio.timeout(_RIVAL_S):
                hypothesis = await asked
        except (PanglotError, TimeoutError):
            return own
        other = Heard(rival.source.by(rival.recognition.language), hypothesis)
        return max(own, other, key=_likelihood)

    def stop(self) -> None:
        """Nothing more is wanted of it."""
        self.challenge(None, 0.0)
        self._recognition.stop()

    async def close(self) -> None:
        """Stop, and wait until it has."""
        self.stop()
        for recognition in (self._recognition, *self._outdone):
            await recognition.close()

    def _take_partial(self, hypothesis: asr_pb2.Hypothesis) -> None:
        # A worker that took over from a lost one begins with what was shown long ago.
        if self._partial is None or hypothesis.audio_ms >= self._partial.audio_ms:
            self._take(hypothesis)

    def _take(self, hypothesis: asr_pb2.Hypothesis) -> None:
        self._partial = hypothesis
        self._show()

    def _take_final(self, final: Final) -> None:
        if self._ended and not final.cancelled() and final.exception() is None:
            self._take(final.result())


def _likelihood(heard: Heard) -> float:
    return score(heard.source.language_probability or 0.0, heard.hypothesis)


class Hearings:
    """The spans of a segment, in order; each ends where the next one begins."""

    def __init__(self, audio: SegmentAudio, recognize: Recognize, show: Callable[[], None]) -> None:
        """Of `audio`; `show` is called when there is a new partial."""
        self._audio = audio
        self._recognize = recognize
        self._show = show
        self._spans: list[Hearing] = []
        self._forgotten: list[Hearing] = []

    @property
    def languages(self) -> tuple[str, ...]:
        """BCP-47 tag of the language each span is heard in."""
        return tuple(span.source.language for span in self._spans)

    @property
    def starts(self) -> tuple[int, ...]:
        """First sample of each span in the segment."""
        return tuple(span.audio.first for span in self._spans)

    @property
    def partials(self) -> list[Heard]:
        """What was heard so far, up to the first span that was not heard to where it is cut.

        Words of later spans wait for it: once shown they are stable, and leave no room before them.
        """
        heard = []
        for span in self._spans:
            partial = span.partial or asr_pb2.Hypothesis()
            heard.append(span.now(partial))
            if partial.audio_ms < milliseconds(span.audio.n_samples):
                break
        return heard

    def begin(self, first: int, language: ServedLanguage, probability: float | None) -> None:
        """From sample `first` of the segment on, hear `language`."""
        if self._spans:
            last = self._spans[-1]
            last.end(first - last.audio.first)
        start = self._audio.start + first
        source = SpanSource(start, language.tag, language.adapter, probability)
        audio = SpanAudio(self._audio, first)
        self._spans.append(Hearing(source, language, audio, self._recognize, self._show))

    def ahead(self, end: int) -> None:
        """The segment may end at sample `end`: decode for good what is heard there."""
        for span in reversed(self._spans):
            if span.audio.first < end:
                span.ahead(end - span.audio.first)
                return

    def keep(self, count: int) -> None:
        """Forget all but the first `count` spans; the last of them goes on."""
        for span in self._spans[count:]:
            span.stop()
        self._forgotten += self._spans[count:]
        del self._spans[count:]
        if self._spans:
            self._spans[-1].go_on()

    def believe(self, at: int, probability: float) -> None:
        """Language identification says how probable the language of span `at` is."""
        self._spans[at].believe(probability)

    def challenge(self, at: int, rival: ServedLanguage | None, probability: float) -> None:
        """Hear span `at` in a second language too, or no longer when that is None."""
        self._spans[at].challenge(rival, probability)

    async def finals(self, end: int) -> list[Heard]:
        """Each span for good, up to sample `end` of the segment; what is beyond is forgotten.

        Raises as `Span.responses` does.
        """
        self.keep(sum(first < end for first in self.starts))
        self.ahead(end)
        ends = [*self.starts[1:], end]
        return [
            await span.final(until - span.audio.first)
            for span, until in zip(self._spans, ends, strict=True)
        ]

    async def close(self) -> None:
        """Let the workers forget all of it."""
        self.keep(0)
        for span in self._forgotten:
            await span.close()
