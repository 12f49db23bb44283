"""Step 10: a worker's hypotheses to what the client reads.

Workers count milliseconds from the start of a span and may change their mind at every pass. Here
times become those of the stream, and the words that two successive passes agree on become stable:
they stay as they are until the final, or until the language proves to be another
(local agreement: Liu et al., "Low-Latency Sequence-to-Sequence Speech Recognition and Translation
by Partial Hypothesis Selection", 2020). Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from panglot.v1 import asr_pb2, transcription_pb2

SAMPLES_PER_MS = 16


@dataclass(frozen=True)
class SpanSource:
    """Where a hypothesis comes from.

    Attributes:
        start: first sample of the span in the stream, 16 kHz.
        language: BCP-47 tag.
        adapter: `<id>@<version>`, or `universal`.
        language_probability: None when the client fixed the language.
    """

    start: int
    language: str
    adapter: str
    language_probability: float | None


class SegmentAssembler:
    """The transcript of one segment.

    Args:
        segment: its number in the stream.
        start: its first sample, 16 kHz.
    """

    def __init__(self, segment: int, start: int) -> None:
        self._segment = segment
        self._start_ms = start // SAMPLES_PER_MS
        self._words: list[transcription_pb2.Word] = []  # as last shown
        self._stable = 0
        self._glue = " "

    @property
    def shown(self) -> bool:
        """Whether the client has been shown any words of this segment that still hold."""
        return bool(self._words)

    def partial(
        self, source: SpanSource, hypothesis: asr_pb2.Hypothesis
    ) -> transcription_pb2.Transcript | None:
        """What to show of a pass, or None if it has no words or brings no news.

        Stable words are shown as they were, whatever the pass made of them; it is the final that
        may correct them.
        """
        end_ms = max(source.start // SAMPLES_PER_MS + hypothesis.audio_ms, self._start_ms)
        heard = self._words_of(source, hypothesis, end_ms)
        if not heard:
            return None
        if len(heard) > 1:
            # Scripts without spaces between words are recognised by the worker's own text.
            self._glue = "" if hypothesis.text == "".join(_texts(heard)) else " "
        words = self._keep_stable(heard)
        stable = _agreed(self._words, words)  # never fewer: both begin with the stable words
        if stable == self._stable and _texts(words) == _texts(self._words):
            return None
        text = hypothesis.text if words is heard else self._glue.join(_texts(words))
        self._words, self._stable = words, stable
        return self._transcript(source, text, words, end_ms, stable)

    def final(
        self, source: SpanSource, hypothesis: asr_pb2.Hypothesis, end: int
    ) -> transcription_pb2.Transcript:
        """The segment for good; `end` is its last sample and one. It may hold no words."""
        end_ms = max(end // SAMPLES_PER_MS, self._start_ms)
        words = self._words_of(source, hypothesis, end_ms)
        for word, heard in zip(words, hypothesis.words, strict=True):
            word.confidence = heard.confidence
        transcript = self._transcript(source, hypothesis.text, words, end_ms, len(words))
        transcript.confidence = hypothesis.confidence
        return transcript

    def language_changed(self) -> None:
        """What was shown is void: the next partial starts from nothing."""
        self._words, self._stable = [], 0

    def _keep_stable(self, heard: list[transcription_pb2.Word]) -> list[transcription_pb2.Word]:
        """`heard` itself if it begins with the stable words; else those, and what comes after."""
        stable = self._words[: self._stable]
        if _agreed(stable, heard) == len(stable):
            return heard
        # Matched by time: a pass that hears one word more or less than before would otherwise
        # repeat or drop a word at the seam.
        seam = stable[-1].end_ms
        after = [word for word in heard if word.start_ms + word.end_ms > 2 * seam]
        if after:
            after[0].start_ms = max(after[0].start_ms, seam)
        return stable + after

    def _words_of(
        self, source: SpanSource, hypothesis: asr_pb2.Hypothesis, end_ms: int
    ) -> list[transcription_pb2.Word]:
        """Words in stream time: within the segment, in order, none overlapping the next."""
        offset = source.start // SAMPLES_PER_MS
        starts: list[int] = []
        for word in hypothesis.words:
            earliest = starts[-1] if starts else self._start_ms
            starts.append(min(max(word.start_ms + offset, earliest), end_ms))
        limits = [*starts[1:], end_ms]  # one, and no words, if there are none
        return [
            transcription_pb2.Word(
                text=word.text,
                start_ms=start,
                end_ms=min(max(word.end_ms + offset, start), limit),
                language=source.language,
            )
            for word, start, limit in zip(hypothesis.words, starts, limits, strict=False)
        ]

    def _transcript(
        self,
        source: SpanSource,
        text: str,
        words: Sequence[transcription_pb2.Word],
        end_ms: int,
        stable: int,
    ) -> transcription_pb2.Transcript:
        return transcription_pb2.Transcript(
            segment=self._segment,
            start_ms=self._start_ms,
            end_ms=end_ms,
            text=text,
            language=source.language,
            words=words,
            stable_words=stable,
            adapter=source.adapter,
            language_probability=source.language_probability,
        )


def _texts(words: Sequence[transcription_pb2.Word]) -> list[str]:
    return [word.text for word in words]


def _agreed(
    before: Sequence[transcription_pb2.Word], after: Sequence[transcription_pb2.Word]
) -> int:
    """How many leading words are the same."""
    count = 0
    for one, other in zip(before, after, strict=False):
        if one.text != other.text:
            break
        count += 1
    return count
