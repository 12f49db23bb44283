"""The life of a stream, from the client's first message to the last event."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing

from panglot.v1 import transcription_pb2

from common.audio import SAMPLE_RATE_HZ, Samples, milliseconds
from common.catalogue import Catalogue, ServedLanguage
from common.errors import CorruptAudio, IdleStream
from common.tasks import first_error
from gateway import answers
from gateway.audio import pcm_16k
from gateway.listener import Listener
from gateway.options import Services
from gateway.request import Request, Requests, plan_stream
from gateway.segment import Event, Segment
from gateway.segmenter import SpeechStarted
from gateway.selection import with_languages
from gateway.settings import GatewaySettings
from gateway.tracker import LanguageTracker, TrackerSettings

# A file comes faster than it can be recognised: beyond this many segments its sender waits.
_MAX_SEGMENTS_AHEAD = 4
# Speech detection holds the event loop for this much audio at a time: under 1 ms.
_STRETCH_SAMPLES = SAMPLE_RATE_HZ // 5


class Session:
    """One stream."""

    def __init__(
        self,
        services: Services,
        settings: GatewaySettings,
        emit: Callable[[Event], Awaitable[None]],
    ) -> None:
        """Serve a stream; `emit` sends one event and waits while the client does not read."""
        self._write = emit
        self.stream_id = secrets.token_hex(6)
        self._services = services
        self._settings = settings
        self._segments: asyncio.Queue[Segment | None] = asyncio.Queue(_MAX_SEGMENTS_AHEAD)
        self._languages: Mapping[str, ServedLanguage] = {}

    async def run(self, messages: AsyncIterator[Request]) -> None:
        """The whole of it.

        Raises:
            PanglotError: whatever ends the stream early.
        """
        requests = Requests(messages, self._settings.idle_s)
        config = await requests.config()  # step 1
        served = self._served()
        plan = plan_stream(config, served, self._settings)
        self._services.workers.check_room(plan.options.fixed)
        options = plan.options
        tracker = LanguageTracker(TrackerSettings(arbitration=bool(self._settings.arbitration)))
        previous: Segment | None = None
        segment_count = 0

        def begin(event: SpeechStarted) -> Segment:
            nonlocal previous
            name = f"{self.stream_id}/{event.segment}"
            previous = Segment(
                *(name, event.segment, event.start, self._services, self._served()),
                *(options, tracker, previous),
            )
            return previous

        def select(selection: transcription_pb2.LanguageSelection) -> None:
            nonlocal options
            options = with_languages(options, selection, self._served(), "language")

        listener = Listener(plan.segmenter, begin)
        named = served.including(options.named)
        started = answers.started(self.stream_id, [named[tag] for tag in options.named])
        await self._emit(Event(started=started))
        with first_error():
            async with asyncio.TaskGroup() as tasks:
                audio = pcm_16k(plan.audio, requests.audio(select))  # step 2
                listening = tasks.create_task(self._listen(audio, listener, tasks))  # step 3
                after_end = tasks.create_task(requests.nothing_more())
                while (segment := await self._segments.get()) is not None:
                    async for event in segment.events():  # steps 4 to 10
                        await self._emit(event)
                        segment_count += event.HasField("final")
                if (damage := await listening) is not None:
                    raise damage
                ended = transcription_pb2.StreamEnded(
                    audio_ms=milliseconds(listener.heard_samples),
                    speech_ms=milliseconds(listener.speech_samples),
                    segment_count=segment_count,
                )
                await self._emit(Event(ended=ended))
                after_end.cancel()

    async def _listen(
        self,
        audio: AsyncGenerator[Samples, None],
        listener: Listener,
        tasks: asyncio.TaskGroup,
    ) -> CorruptAudio | None:
        """Hear all of the stream; each segment lives in a task of its own.

        Returns:
            What broke the audio off, to be told once all that was heard before is delivered.
        """
        damage = None
        try:
            async with aclosing(audio) as stretches:
                async for samples in stretches:
                    for first in range(0, len(samples), _STRETCH_SAMPLES):
                        for segment in listener.hear(samples[first : first + _STRETCH_SAMPLES]):
                            tasks.create_task(segment.run())
                            await self._segments.put(segment)
                        await asyncio.sleep(0)
        except CorruptAudio as error:
            damage = error
        listener.end()
        await self._segments.put(None)
        return damage

    def _served(self) -> Catalogue:
        """What serves each language from here on; a segment keeps what it begins with."""
        catalogue = self._services.catalogue.latest.for_stream(self.stream_id, self._languages)
        self._languages = catalogue.languages
        return catalogue

    async def _emit(self, event: Event) -> None:
        idle_s = self._settings.idle_s
        try:
            async with asyncio.timeout(idle_s):
                await self._write(event)
        except TimeoutError as error:
            raise IdleStream(f"no event was read for {idle_s:g} s: read while you send") from error
