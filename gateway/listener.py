"""Step 3: samples to segments. The one place where audio meets speech detection."""

from __future__ import annotations

from collections.abc import Callable

from common.audio import SAMPLE_RATE_HZ, Samples
from gateway.detector import SpeechDetector
from gateway.segment import Segment
from gateway.segmenter import (
    Segmenter,
    SegmenterSettings,
    SegmentEvent,
    SpeechEnded,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
)
from gateway.stream_audio import StreamAudio

# What a segment may begin before it is known to have begun, beyond the third in which it is cut.
_SLACK_SAMPLES = 2 * SAMPLE_RATE_HZ


class Listener:
    """Feeds the open segment and tells it where it pauses, resumes and ends."""

    def __init__(
        self, settings: SegmenterSettings, begin: Callable[[SpeechStarted], Segment]
    ) -> None:
        """Call `begin` for each new segment."""
        n_kept = settings.max_segment_ms * SAMPLE_RATE_HZ // 3000 + _SLACK_SAMPLES
        self._audio = StreamAudio(n_kept)
        self._detector = SpeechDetector()
        self._segmenter = Segmenter(settings)
        self._begin = begin
        self._open: Segment | None = None
        self.speech_samples = 0

    @property
    def heard_samples(self) -> int:
        """Samples since the stream's start."""
        return self._audio.end

    def hear(self, samples: Samples) -> list[Segment]:
        """Take in what was heard next; returns the segments that began with it."""
        self._audio.append(samples)
        if self._open is not None:
            self._open.audio.append(samples)
        begun: list[Segment] = []
        for probability in self._detector.feed(samples):
            begun += self._follow(self._segmenter.feed(probability))
        return begun

    def end(self) -> None:
        """The stream ended: so does the open segment."""
        self._follow(self._segmenter.flush(self._detector.pending_samples))

    def _follow(self, events: tuple[SegmentEvent, ...]) -> list[Segment]:
        begun: list[Segment] = []
        for event in events:
            if isinstance(event, SpeechStarted):
                self._open = self._begin(event)
                self._open.audio.append(self._audio.since(event.start))
                begun.append(self._open)
                continue
            assert self._open is not None
            match event:
                case SpeechPaused():
                    self._open.pause(event.end)
                case SpeechResumed():
                    self._open.resume()
                case SpeechEnded():
                    self._open.end(event.end)
                    self.speech_samples += event.speech_end - self._open.audio.start
                    self._open = None
        return begun
