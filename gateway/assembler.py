"""Step 10: a worker's hypotheses to what the client reads.

Workers count milliseconds from the start of a span and may change their mind at every pass. Here
times become those of the stream, and the words that two successive passes agree on become stable:
they stay as they are until the final, or until the language proves to be another
(local agreement: Liu et al., "Low-Latency Sequence-to-Sequence Speech Recognition and Translation
by Partial Hypothesis Selection", 2020). Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from panglot.v1 import transcription_pb2

from gateway.answers import zero_shot
from gateway.heard import Heard

SAMPLES_PER_MS = 16


class SegmentAssembler:
    """The transcript of one segment, of one span or of several.

    Args:
        segment: its number in the stream.
        start: its first sample, 16 kHz.
    """

    def __init__(self, segment: int, start: int) -> None:
        self._segment = segment
        self._start_ms = start // SAMPLES_PER_MS
        self._words: list[transcription_pb2.Word] = []  # as last shown
        self._stable = 0
        self._glue: dict[str, str] = {}  # between words, by language

    def partial(self, spans: Sequence[Heard]) -> transcription_pb2.Transcript | None:
        """What to show of the spans so far, or None if they have no words or bring no news.

        Stable words are shown as they were, whatever the pass made of them; it is the final that
        may correct them.
        """
        last = spans[-1]
        end_ms = last.source.start // SAMPLES_PER_MS + last.hypothesis.audio_ms
        ends_ms = self._ends_ms(spans, end_ms)
        by_span = [
            # A pass over a span may be older than where it was cut, and reach beyond.
            [word for word in self._words_of(heard, until) if word.start_ms < until]
            for heard, until in zip(spans, ends_ms, strict=True)
        ]
        heard_words = [word for words in by_span for word in words]
        if not heard_words:
            return None
        for heard in spans:
            self._learn_glue(heard)
        words = self._keep_stable(heard_words)
        stable = _agreed(self._words, words)  # never fewer: both begin with the stable words
        if stable == self._stable and _said(words) == _said(self._words):
            return None
        n_words = sum(len(heard.hypothesis.words) for heard in spans)
        whole = words is heard_words and len(words) == n_words
        text = self._joined(spans) if whole else self._written(words)
        self._words, self._stable = words, stable
        return self._transcript(spans, ends_ms, text, words, stable)

    def final(self, spans: Sequence[Heard], end: int) -> transcription_pb2.Transcript:
        """The segment for good; `end` is its last sample and one. It may hold no words."""
        ends_ms = self._ends_ms(spans, end // SAMPLES_PER_MS)
        words = []
        for heard, until in zip(spans, ends_ms, strict=True):
            own = self._words_of(heard, until)
            for word, known in zip(own, heard.hypothesis.words, strict=True):
                word.confidence = known.confidence
            words += own
            self._learn_glue(heard)
        transcript = self._transcript(spans, ends_ms, self._joined(spans), words, len(words))
        transcript.confidence = _confidence(spans)
        return transcript

    def language_changed(self, start: int) -> None:
        """What was shown from sample `start` of the stream on is void."""
        start_ms = start // SAMPLES_PER_MS
        self._words = [word for word in self._words if word.end_ms <= start_ms]
        self._stable = min(self._stable, len(self._words))

    def _ends_ms(self, spans: Sequence[Heard], end_ms: int) -> list[int]:
        starts = [heard.source.start // SAMPLES_PER_MS for heard in spans]
        return [*starts[1:], max(end_ms, self._start_ms, starts[-1])]

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

    def _words_of(self, heard: Heard, end_ms: int) -> list[transcription_pb2.Word]:
        """Words in stream time: within the span, in order, none overlapping the next."""
        offset = heard.source.start // SAMPLES_PER_MS
        words = heard.hypothesis.words
        starts: list[int] = []
        for word in words:
            earliest = starts[-1] if starts else max(self._start_ms, offset)
            starts.append(min(max(word.start_ms + offset, earliest), end_ms))
        limits = [*starts[1:], end_ms]  # one, and no words, if there are none
        return [
            transcription_pb2.Word(
                text=word.text,
                start_ms=start,
                end_ms=min(max(word.end_ms + offset, start), limit),
                language=heard.source.language,
            )
            for word, start, limit in zip(words, starts, limits, strict=False)
        ]

    def _learn_glue(self, heard: Heard) -> None:
        """Scripts without spaces between words are recognised by the worker's own text."""
        words = [word.text for word in heard.hypothesis.words]
        if len(words) > 1:
            unspaced = heard.hypothesis.text == "".join(words)
            self._glue[heard.source.language] = "" if unspaced else " "

    def _joined(self, spans: Sequence[Heard]) -> str:
        return self._glued([(heard.source.language, heard.hypothesis.text) for heard in spans])

    def _written(self, words: Sequence[transcription_pb2.Word]) -> str:
        return self._glued([(word.language, word.text) for word in words])

    def _glued(self, pieces: Sequence[tuple[str, str]]) -> str:
        """Texts, each after its language."""
        text, before = "", None
        for language, piece in pieces:
            if text and piece:
                text += self._glue.get(language, " ") if language == before else " "
            text += piece
            before = language
        return text

    def _transcript(
        self,
        spans: Sequence[Heard],
        ends_ms: Sequence[int],
        text: str,
        words: Sequence[transcription_pb2.Word],
        stable: int,
    ) -> transcription_pb2.Transcript:
        stretches = _stretches(spans, ends_ms)
        most = _mostly(stretches)
        return transcription_pb2.Transcript(
            segment=self._segment,
            start_ms=self._start_ms,
            end_ms=ends_ms[-1],
            text=text,
            language=most.language,
            words=words,
            stable_words=stable,
            adapter=most.adapter,
            language_probability=(
                most.language_probability if most.HasField("language_probability") else None
            ),
            spans=stretches,
            zero_shot=most.zero_shot if most.HasField("zero_shot") else None,
        )


def _stretches(
    spans: Sequence[Heard], ends_ms: Sequence[int]
) -> list[transcription_pb2.LanguageSpan]:
    """The spans by language: neighbours in one language are one, and one of no length is none."""
    stretches: list[transcription_pb2.LanguageSpan] = []
    for heard, end_ms in zip(spans, ends_ms, strict=True):
        source = heard.source
        stretch = transcription_pb2.LanguageSpan(
            language=source.language,
            start_ms=source.start // SAMPLES_PER_MS,
            end_ms=end_ms,
            adapter=source.adapter,
            language_probability=source.language_probability,
            zero_shot=zero_shot(source.stand_in),
        )
        if stretches and stretches[-1].language == source.language:
            before = stretches.pop()
            stretch = max(before, stretch, key=_duration_ms)
            stretch.start_ms, stretch.end_ms = before.start_ms, end_ms
        elif stretches and not _duration_ms(stretch):
            continue
        stretches.append(stretch)
    return stretches


def _duration_ms(span: transcription_pb2.LanguageSpan) -> int:
    return span.end_ms - span.start_ms


def _mostly(spans: Sequence[transcription_pb2.LanguageSpan]) -> transcription_pb2.LanguageSpan:
    """The longest span of the language that most of the time is in."""
    time: Counter[str] = Counter()
    for span in spans:
        time[span.language] += _duration_ms(span)
    return max(spans, key=lambda span: (time[span.language], _duration_ms(span)))


def _confidence(spans: Sequence[Heard]) -> float:
    """Over all words; of a span without words its own."""
    weights = [max(len(heard.hypothesis.words), 1) for heard in spans]
    values = [heard.hypothesis.confidence for heard in spans]
    return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)


def _said(words: Sequence[transcription_pb2.Word]) -> list[tuple[str, str]]:
    return [(word.text, word.language) for word in words]


def _agreed(
    before: Sequence[transcription_pb2.Word], after: Sequence[transcription_pb2.Word]
) -> int:
    """How many leading words are the same, in the same language."""
    count = 0
    for one, other in zip(_said(before), _said(after), strict=False):
        if one != other:
            break
        count += 1
    return count
