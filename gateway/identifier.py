"""Step 4: what language identification makes of a segment, as it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from common.audio import milliseconds
from gateway.language import LanguageClient
from gateway.options import Options
from gateway.segment_audio import SegmentAudio
from gateway.tracker import LanguageSpan, LanguageTracker, Window
from gateway.windows import Stretch


class Identifier:
    """The languages of one segment, among those that are served and that the client asked for."""

    def __init__(
        self,
        audio: SegmentAudio,
        lid: LanguageClient,
        tracker: LanguageTracker,
        options: Options,
        served: Collection[str],
    ) -> None:
        """Of `audio`; `served` are BCP-47 tags."""
        self.has_answered = False
        self._audio = audio
        self._lid = lid
        self._tracker = tracker
        self._options = options
        self._served = served

    def begin(self) -> str | None:
        """The segment begins; returns the language to expect, None where nothing is known."""
        return self._tracker.begin(self._options.candidates, self._options.weights)

    async def spans(self, *stretches: Stretch, urgent: bool) -> tuple[LanguageSpan, ...]:
        """The spans of the segment so far, up to where it may end, with what `stretches` tell.

        Empty where the service does not answer, or tells of no language that is served. Where words
        wait for an answer, which is not `urgent`, the first candidate is better than none.
        """
        asked = (
            self._lid.identify(
                self._audio.read(stretch.first, stretch.last),
                self._options.candidates,
                urgent=urgent,
            )
            for stretch in stretches
        )
        windows = [
            Window(
                milliseconds(stretch.first),
                milliseconds(stretch.last),
                {tag: p for tag, p in answer.posteriors.items() if tag in self._served},
                answer.background,
            )
            for stretch, answer in zip(stretches, await asyncio.gather(*asked), strict=True)
            if answer is not None
        ]
        if windows:
            self.has_answered = True
            end = self._audio.end
            end_ms = None if end is None else milliseconds(end)
            return self._tracker.observe(*windows, end_ms=end_ms)
        if urgent or not self._options.candidates:
            return ()
        heard_ms = milliseconds(self._audio.heard)
        return (LanguageSpan(0, heard_ms, self._options.candidates[0], 0.0, certain=False),)
