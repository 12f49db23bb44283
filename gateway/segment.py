"""Steps 4 to 10 for one segment: its languages, its workers, its words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from panglot.v1 import transcription_pb2

from common.audio import milliseconds
from common.catalogue import Catalogue, ServedLanguage
from common.errors import NoWorker
from gateway.assembler import SegmentAssembler
from gateway.hearing import Hearings, Show
from gateway.identifier import Identifier
from gateway.options import Options, Services
from gateway.recognition import Recognition
from gateway.segment_audio import SegmentAudio, SpanAudio
from gateway.span import Span
from gateway.tracker import LanguageSpan, LanguageTracker
from gateway.windows import Stretch, around, next_stretch, quietest

Event = transcription_pb2.TranscribeResponse

# Partials beyond this many unread are dropped: the client is slow, and the next one tells more.
_MAX_UNREAD = 8


class Segment:
    """One segment of a stream: fed by the listener, read by the client's side."""

    def __init__(
        self,
        name: str,
        number: int,
        start: int,
        services: Services,
        catalogue: Catalogue,
        options: Options,
        tracker: LanguageTracker,
        previous: Segment | None,
    ) -> None:
        """Begin at sample `start`, with what `catalogue` says is served now.

        `previous` settles its languages before this one does.
        """
        self.audio = SegmentAudio(start)
        self.settled = asyncio.Event()
        self._name = name
        self._number = number
        self._workers = services.workers
        self._languages = catalogue.including(options.named)
        self._options = options
        self._previous = previous
        self._assembler = SegmentAssembler(number, start)
        self._identifier = Identifier(self.audio, services.lid, tracker, options, self._languages)
        self._hearings = Hearings(self.audio, self._recognize, self._show)
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._told = False  # the client knows of this segment, so it gets a final
        self._ended = asyncio.Event()

    # The listener's side.

    def pause(self, end: int) -> None:
        """The segment may end at sample `end`: decode it for good while the silence goes on."""
        self.audio.end = end - self.audio.start
        self._hearings.ahead(self.audio.end)
        self.audio.wake()

    def resume(self) -> None:
        """It did not end."""
        self.audio.end = None

    def end(self, end: int) -> None:
        """It ended at sample `end`."""
        self._ended.set()
        self.pause(end)

    # The client's side.

    async def events(self) -> AsyncIterator[Event]:
        """What to tell the client, as it comes, until all is said."""
        while (event := await self._events.get()) is not None:
            yield event

    # The life of a segment.

    async def run(self) -> None:
        """Recognise in the expected language, correct it as more is heard, deliver the final."""
        try:
            if self._previous is not None:
                await self._previous.settled.wait()
                self._previous = None
            await self._settle_languages()
            self.settled.set()
            await self._deliver()
            self._events.put_nowait(None)  # not if that failed: the stream fails, and never ends
        finally:
            self.settled.set()
            await self._hearings.close()

    async def _settle_languages(self) -> None:
        """Step 4. Decoding never waits for a language that is expected already."""
        if self._options.fixed is not None:
            self._begin(self._options.fixed.tag)
            await self._ended.wait()
            return
        expected = self._identifier.begin()
        if expected is not None:
            self._begin(expected)
        await self._follow_languages()
        if not self._hearings.languages and not self._identifier.has_answered:
            raise NoWorker(
                "language identification does not answer: try again, or name the language in "
                "config.language.fixed"
            )

    async def _follow_languages(self) -> None:
        """Judge the segment piece by piece, to where it ends."""
        judged, as_end = 0, False
        while True:
            is_done = as_end and judged == self.audio.end  # unless it goes on after all
            if is_done and self._ended.is_set():
                return
            stretch = None
            if not is_done:
                stretch = next_stretch(judged, self.audio.n_samples, self.audio.end)
            if stretch is None:
                await self.audio.changed()
                continue
            judged = stretch.last
            if spans := await self._identify(stretch):
                await self._follow(spans, judged)
            elif self._hearings.languages:
                # The service is away: what has been said meanwhile does not wait for it too.
                judged = self.audio.heard
            as_end = judged == self.audio.end

    async def _follow(self, spans: Sequence[LanguageSpan], judged: int) -> None:
        """Hear each span in its language, as of what is known at sample `judged`."""
        if not self._is_decided(spans, judged):
            return
        known = self._n_known(spans)
        if 0 < known < len(spans):
            spans = await self._identify(*around(spans[known].start_ms, self.audio.heard)) or spans
            if not self._is_decided(spans, judged):
                return
        self._correct(spans)
        if self.audio.end is not None:
            self._hearings.ahead(self.audio.end)
        if self.audio.end == judged:
            for at, span in enumerate(spans):
                rival = self._languages.get(span.rival or "")
                self._hearings.challenge(at, rival, span.rival_probability)

    async def _identify(self, *stretches: Stretch) -> tuple[LanguageSpan, ...]:
        return await self._identifier.spans(*stretches, urgent=bool(self._hearings.languages))

    def _is_decided(self, spans: Sequence[LanguageSpan], judged: int) -> bool:
        """Whether to act: a guess must not void what was rightly shown, unless it is the last."""
        if not self._hearings.languages or self.audio.end == judged:
            return True
        return all(span.certain for span in spans[self._n_known(spans) :] or spans[-1:])

    def _correct(self, spans: Sequence[LanguageSpan]) -> None:
        """Begin again with the first span that is not heard in its language."""
        known = self._n_known(spans)
        languages, starts = self._hearings.languages, self._hearings.starts
        self._hearings.keep(known)
        for at, span in enumerate(spans[:known]):
            self._hearings.believe(at, span.probability)
        if 0 < known < len(languages):  # what seemed a change was none
            self._tell_change(starts[known], languages[known], spans[known - 1])
        previous = spans[known - 1].language if known else next(iter(languages), None)
        first = starts[known - 1] if known else 0
        for span in spans[known:]:
            if self._hearings.languages:
                first = quietest(self.audio.read(0, self.audio.heard), span.start_ms, after=first)
            if previous is not None:
                self._tell_change(first, previous, span)
            self._hearings.begin(first, self._languages[span.language], span.probability)
            previous = span.language

    def _n_known(self, spans: Sequence[LanguageSpan]) -> int:
        """How many of the spans are heard in their language."""
        pairs = zip(self._hearings.languages, (span.language for span in spans), strict=False)
        same = [heard == spoken for heard, spoken in pairs]
        return same.index(False) if False in same else len(same)

    def _begin(self, language: str) -> None:
        """Steps 5 and 6, from the segment's first sample on."""
        self._hearings.begin(0, self._languages[language], None)
        if self.audio.end is not None:
            self._hearings.ahead(self.audio.end)

    def _recognize(
        self, audio: SpanAudio, language: ServedLanguage, show: Show | None
    ) -> Recognition:
        span = Span(
            self._name,
            audio,
            language,
            partials=self._options.partials and show is not None,
            boosted_phrases=self._options.boosted_phrases,
        )
        return Recognition(span, self._workers, show or _ignore)

    def _show(self) -> None:
        if self._events.qsize() < _MAX_UNREAD and (heard := self._hearings.partials):
            transcript = self._assembler.partial(heard)
            if transcript is not None:
                self._tell(Event(partial=transcript))

    async def _deliver(self) -> None:
        """Step 10: the final, decoded ahead if the segment ended where it had paused."""
        if not self._hearings.languages:  # nothing that was heard is served here
            return
        assert self.audio.end is not None
        finals = await self._hearings.finals(self.audio.end)
        final = self._assembler.final(finals, self.audio.start + self.audio.end)
        # Noise taken for speech has no words; a client that was told of none is told nothing.
        if final.text or self._told:
            self._tell(Event(final=final))

    def _tell_change(self, first: int, previous: str, span: LanguageSpan) -> None:
        start = self.audio.start + first
        self._assembler.language_changed(start)
        change = transcription_pb2.LanguageChange(
            segment=self._number,
            start_ms=milliseconds(start),
            previous_language=previous,
            language=span.language,
            probability=span.probability,
        )
        self._tell(Event(language_change=change))

    def _tell(self, event: Event) -> None:
        self._told = True
        self._events.put_nowait(event)


def _ignore(hypothesis: object) -> None:
    """Nobody looks at the partials of a rival."""
