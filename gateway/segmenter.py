"""Step 3: speech probabilities to segments of speech.

A pure state machine over 512-sample frames. All positions are samples at 16 kHz from the stream's
start. Segments never overlap, and every stretch of speech of at least `min_speech_ms` lies in one.

    idle ──min_speech_ms of speech──> SpeechStarted
    open ──pause_ms of silence──────> SpeechPaused ──speech──────────────> SpeechResumed
                                                   ──to end_silence_ms──> SpeechEnded("silence")
    open ──max_segment_ms───────────> SpeechEnded("max_length"), SpeechStarted at the same sample;
                                      in silence: SpeechEnded("silence") and no more
    open ──flush────────────────────> SpeechEnded("stream_end")
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FRAME_SAMPLES = 512
SAMPLES_PER_MS = 16


@dataclass(frozen=True)
class SegmenterSettings:
    """When a segment opens and closes.

    Attributes:
        start_threshold, end_threshold: speech begins at a frame of at least the first and goes on
            while frames are at least the second: one threshold would chatter around itself.
        min_speech_ms: unbroken speech that opens a segment, so that clicks do not.
        start_padding_ms: audio before that speech, where soft onsets hide.
        pause_ms: silence after which the end is announced provisionally, so that the final can be
            decoded while the rest of `end_silence_ms` passes.
        end_silence_ms: silence that ends a segment.
        end_padding_ms: audio after the last speech. At most `pause_ms` of it is used: the
            provisional end has to be the end, or the work done ahead would be lost.
        max_segment_ms: longest segment; speech that goes on is cut at its weakest frame.
    """

    start_threshold: float = 0.5
    end_threshold: float = 0.35
    min_speech_ms: int = 96
    start_padding_ms: int = 300
    pause_ms: int = 96
    end_silence_ms: int = 480
    end_padding_ms: int = 160
    max_segment_ms: int = 15_000

    def __post_init__(self) -> None:
        if not 0 < self.end_threshold <= self.start_threshold <= 1:
            raise ValueError(
                f"end_threshold is {self.end_threshold} and start_threshold "
                f"{self.start_threshold}; give 0 < end <= start <= 1"
            )
        for name in ("min_speech_ms", "pause_ms", "end_silence_ms"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give 1 or more")
        for name in ("start_padding_ms", "end_padding_ms"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give 0 or more")
        least = 3 * (self.start_padding_ms + self.min_speech_ms + 64)
        if self.max_segment_ms < least:
            # The last third is searched for a cut, and must not reach into the padding.
            raise ValueError(f"max_segment_ms is {self.max_segment_ms}; give {least} or more")


@dataclass(frozen=True)
class SpeechStarted:
    """Segment number `segment`, counted from 0, begins at sample `start`."""

    segment: int
    start: int


@dataclass(frozen=True)
class SpeechPaused:
    """The segment ends at sample `end` unless SpeechResumed follows."""

    segment: int
    end: int


@dataclass(frozen=True)
class SpeechResumed:
    """The pause was none: what was announced as its end is void."""

    segment: int


@dataclass(frozen=True)
class SpeechEnded:
    """The segment ends at sample `end`; its last speech ended at `speech_end` <= `end`."""

    segment: int
    end: int
    speech_end: int
    reason: Literal["silence", "max_length", "stream_end"]


SegmentEvent = SpeechStarted | SpeechPaused | SpeechResumed | SpeechEnded


class Segmenter:
    """One stream's segments. Feed each frame's probability in turn; flush at the end."""

    def __init__(self, settings: SegmenterSettings) -> None:
        self._settings = settings
        self._min_speech = _frames(settings.min_speech_ms)
        self._end_silence = _frames(settings.end_silence_ms)
        # A client may ask for an end sooner than our pause.
        self._pause = min(_frames(settings.pause_ms), self._end_silence)
        self._padding = min(settings.end_padding_ms * SAMPLES_PER_MS, self._pause * FRAME_SAMPLES)
        self._heard = 0
        self._voiced = False
        self._run = 0  # frames since `_voiced` last changed, this one included
        self._speech_end = 0
        self._segment = -1  # of the open segment, or else of the last
        self._open = False
        self._paused = False
        self._start = 0
        self._end = 0  # of the segment before
        # Of each frame since the open segment was announced, so of its last third whenever that
        # is asked for: its probability, and where speech had last ended.
        self._frames: list[tuple[float, int]] = []

    def feed(self, speech_probability: float) -> tuple[SegmentEvent, ...]:
        """The events that the next 512 samples bring about, in order."""
        self._listen(speech_probability)
        if not self._open:
            return self._maybe_start()
        self._frames.append((speech_probability, self._speech_end))
        events = self._maybe_end()
        if self._open and self._heard + FRAME_SAMPLES - self._start > self._max_samples:
            events += self._cut()
        return events

    def flush(self, tail_samples: int = 0) -> tuple[SegmentEvent, ...]:
        """The stream ends: close what is open. Nothing may be fed afterwards.

        Args:
            tail_samples: samples after the last full frame, below 512. Speech that the end of the
                stream interrupts is taken to reach to the last of them.
        """
        if not self._open:
            return ()
        self._heard += tail_samples
        if self._voiced:
            self._speech_end = self._heard
        return (self._close(self._padded_end, self._speech_end, "stream_end"),)

    @property
    def _max_samples(self) -> int:
        return self._settings.max_segment_ms * SAMPLES_PER_MS

    @property
    def _padded_end(self) -> int:
        return min(self._speech_end + self._padding, self._heard)

    def _listen(self, speech_probability: float) -> None:
        settings = self._settings
        threshold = settings.end_threshold if self._voiced else settings.start_threshold
        voiced = speech_probability >= threshold
        self._run = self._run + 1 if voiced == self._voiced else 1
        self._voiced = voiced
        self._heard += FRAME_SAMPLES
        if voiced:
            self._speech_end = self._heard

    def _maybe_start(self) -> tuple[SegmentEvent, ...]:
        if not self._voiced or self._run < self._min_speech:
            return ()
        onset = self._heard - self._run * FRAME_SAMPLES
        padding = self._settings.start_padding_ms * SAMPLES_PER_MS
        return (self._begin(max(onset - padding, self._end)),)

    def _maybe_end(self) -> tuple[SegmentEvent, ...]:
        if self._voiced and self._paused:
            self._paused = False
            return (SpeechResumed(self._segment),)
        if not self._voiced and self._run >= self._end_silence:
            return (self._close(self._padded_end, self._speech_end, "silence"),)
        if not self._voiced and self._run >= self._pause and not self._paused:
            self._paused = True
            return (SpeechPaused(self._segment, self._padded_end),)
        return ()

    def _cut(self) -> tuple[SegmentEvent, ...]:
        """The next frame would make the segment too long."""
        if not self._voiced:
            # Silence already: a segment opened here might never hold any speech.
            return (self._close(self._padded_end, self._speech_end, "silence"),)
        frames = self._frames
        # The last third, less what the next segment needs to be speech by our own measure.
        first = len(frames) - self._max_samples // 3 // FRAME_SAMPLES
        choice = range(max(first, 0), len(frames) - self._min_speech)
        weakest = min(choice, key=lambda index: (frames[index][0], -index))
        # In its middle: the words on either side keep half of it as padding.
        cut = self._heard - (len(frames) - weakest) * FRAME_SAMPLES + FRAME_SAMPLES // 2
        ended = self._close(cut, min(frames[weakest][1], cut), "max_length")
        return (ended, self._begin(cut))

    def _begin(self, start: int) -> SpeechStarted:
        self._segment += 1
        self._open = True
        self._start = start
        return SpeechStarted(self._segment, start)

    def _close(
        self, end: int, speech_end: int, reason: Literal["silence", "max_length", "stream_end"]
    ) -> SpeechEnded:
        self._open = self._paused = False
        self._end = end
        self._frames = []
        return SpeechEnded(self._segment, end, speech_end, reason)


def _frames(ms: int) -> int:
    """Whole frames that last at least `ms`."""
    return -(-ms * SAMPLES_PER_MS // FRAME_SAMPLES)
