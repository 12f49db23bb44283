"""Steps 4 to 10 for one segment: its language, its worker, its words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from panglot.v1 import asr_pb2, transcription_pb2

from common.audio import SAMPLE_RATE_HZ, milliseconds
from common.catalogue import Catalogue, ServedLanguage
from common.errors import NoWorker
from gateway.assembler import SegmentAssembler, SpanSource
from gateway.catalogue import CatalogueWatcher
from gateway.language import LanguageClient
from gateway.recognition import Recognition
from gateway.segment_audio import SegmentAudio
from gateway.span import Span
from gateway.tracker import LanguageDecision, LanguageTracker
from gateway.workers import WorkerPool

Event = transcription_pb2.TranscribeResponse

# How much of a segment its language is judged by: more each time, until more would tell nothing.
# The first is for segments that have no language to begin with: one second never outweighs what
# the stream was in before (see `tracker`).
_WINDOW_SAMPLES = (SAMPLE_RATE_HZ, 2 * SAMPLE_RATE_HZ, 7 * SAMPLE_RATE_HZ // 2)
# Partials beyond this many unread are dropped: the client is slow, and the next one tells more.
_MAX_UNREAD = 8


@dataclass(frozen=True)
class Services:
    """What a segment needs of the outside; one per process."""

    catalogue: CatalogueWatcher
    workers: WorkerPool
    lid: LanguageClient


@dataclass(frozen=True)
class Options:
    """What the client asked for.

    Attributes:
        fixed: the language of the whole stream; then nothing is identified.
        candidates: the languages to choose among; None for all.
        partials: whether to show words before they are final.
        boosted_phrases: what finals prefer, as the client wrote it.
    """

    fixed: ServedLanguage | None
    candidates: tuple[str, ...] | None
    partials: bool
    boosted_phrases: tuple[str, ...] = ()


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

        `previous` settles its language before this one does.
        """
        self.audio = SegmentAudio(start)
        self.settled = asyncio.Event()
        self._name = name
        self._number = number
        self._services = services
        self._languages = catalogue.languages
        self._options = options
        self._tracker = tracker
        self._previous = previous
        self._assembler = SegmentAssembler(number, start)
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._source: SpanSource | None = None
        self._recognition: Recognition | None = None
        self._told = False  # the client knows of this segment, so it gets a final
        self._change_told = False
        self._muted = False
        self._cut: int | None = None  # samples up to where the segment ends, if it does
        self._ended = asyncio.Event()

    # The listener's side.

    def pause(self, end: int) -> None:
        """The segment may end at sample `end`: decode it for good while the silence goes on."""
        self._cut = end - self.audio.start
        if self._recognition is not None:
            self._recognition.final(self._cut)
        self.audio.wake()

    def resume(self) -> None:
        """It did not end."""
        self._cut = None

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
            await self._settle_language()
            self.settled.set()
            await self._deliver()
            self._events.put_nowait(None)  # not if that failed: the stream fails, and never ends
        finally:
            self.settled.set()
            if self._recognition is not None:
                await self._recognition.close()

    async def _settle_language(self) -> None:
        """Step 4. Decoding never waits for a language that is expected already."""
        if self._options.fixed is not None:
            await self._recognize(self._languages[self._options.fixed.tag], None)
            await self._ended.wait()
            return
        if (expected := self._tracker.expected) is not None:
            await self._recognize(self._languages[expected], None)
        first = True
        async for n_samples, last in self._windows(expected is not None):
            decision = await self._identify(n_samples, new_segment=first)
            if decision is None:
                continue
            first = False
            # A guess on a second of speech must not void what was rightly shown.
            if self._source is None or decision.certain or last:
                await self._adopt(decision, expected)
            if decision.settled and decision.language == expected:
                break
        await self._ended.wait()
        if self._source is None:
            raise NoWorker(
                "language identification does not answer: try again, or name the language in "
                "config.language.fixed"
            )

    async def _windows(self, expected: bool) -> AsyncIterator[tuple[int, bool]]:
        """Samples to judge the language by, and whether they are all there will be."""
        windows = _WINDOW_SAMPLES[1:] if expected else _WINDOW_SAMPLES
        judged, longest = 0, windows[-1]
        while judged < longest:
            cut = self._cut
            # A file comes faster than it is judged: then by all that is there.
            reached = [n for n in windows if judged < n <= self.audio.n_samples]
            if cut is not None and cut > judged:
                judged = min(cut, longest)
            elif cut is None and reached:
                judged = reached[-1]
            elif self._ended.is_set():
                return
            else:
                await self.audio.changed()
                continue
            yield judged, judged in (cut, longest)

    async def _identify(self, n_samples: int, *, new_segment: bool) -> LanguageDecision | None:
        """None when the service is away and there is no better guess than what we have."""
        candidates = self._options.candidates
        posteriors = await self._services.lid.identify(
            self.audio.read(0, n_samples), candidates, urgent=self._source is not None
        )
        if posteriors is not None:
            served = self._languages.keys() & posteriors.keys()
            known = {tag: posteriors[tag] for tag in served}
            return self._tracker.observe(known, milliseconds(n_samples), new_segment)
        if self._source is not None or not candidates:
            return None
        return LanguageDecision(candidates[0], 0.0, certain=False)

    async def _adopt(self, decision: LanguageDecision, expected: str | None) -> None:
        language = self._languages[decision.language]
        if self._source is not None and self._source.language == language.tag:
            self._source = replace(self._source, language_probability=decision.probability)
            return
        if self._change_told:
            self._muted = True  # the client is told once a segment; the final says what it was
        elif expected is not None or self._told:
            change = transcription_pb2.LanguageChange(
                segment=self._number,
                start_ms=milliseconds(self.audio.start),
                previous_language=expected,
                language=language.tag,
                probability=decision.probability,
            )
            self._assembler.language_changed()
            self._tell(Event(language_change=change))
            self._change_told = True
        await self._recognize(language, decision.probability)

    async def _recognize(self, language: ServedLanguage, probability: float | None) -> None:
        """Steps 5 and 6: recognise from the segment's start; what was under way is dropped."""
        if self._recognition is not None:
            await self._recognition.close()
        source = SpanSource(self.audio.start, language.tag, language.adapter, probability)
        span = Span(
            self._name,
            self.audio,
            language,
            partials=self._options.partials,
            boosted_phrases=self._options.boosted_phrases,
        )
        self._source = source
        self._recognition = Recognition(span, self._services.workers, self._show)
        if self._cut is not None:
            self._recognition.final(self._cut)

    def _show(self, hypothesis: asr_pb2.Hypothesis) -> None:
        if self._source is None or self._muted or self._events.qsize() >= _MAX_UNREAD:
            return
        transcript = self._assembler.partial(self._heard_by(self._source), hypothesis)
        if transcript is not None:
            self._tell(Event(partial=transcript))

    async def _deliver(self) -> None:
        """Step 10: the final, decoded ahead if the segment ended where it had paused."""
        assert self._recognition is not None
        assert self._source is not None
        assert self._cut is not None
        hypothesis = await self._recognition.final(self._cut)
        end = self.audio.start + self._cut
        final = self._assembler.final(self._heard_by(self._source), hypothesis, end)
        # Noise taken for speech has no words; a client that was told of none is told nothing.
        if final.text or self._told:
            self._tell(Event(final=final))

    def _heard_by(self, source: SpanSource) -> SpanSource:
        """With the adapter that has heard it: a canary's place may have been taken."""
        assert self._recognition is not None
        return replace(source, adapter=self._recognition.adapter)

    def _tell(self, event: Event) -> None:
        self._told = True
        self._events.put_nowait(event)
