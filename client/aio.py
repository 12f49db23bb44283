"""The asynchronous client.

async with AsyncClient("localhost:50051") as client:
    async for event in client.transcribe(microphone(), options=Options(candidates=("en", "es"))):
        match event:
            case Final(segment):
                print(segment.language, segment.text)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import grpc
from panglot.v1 import transcription_pb2 as pb
from panglot.v1.transcription_pb2_grpc import TranscriptionServiceStub

from client import wire
from client.audio import AudioSource, open_audio
from client.pacing import Pacer
from client.status import ServerStatus, from_rpc, from_status
from client.types import AudioFormat, Event, FileTranscript, Fleet, Language, Options, Piece

if TYPE_CHECKING:
    Call = grpc.aio.StreamStreamCall[pb.TranscribeRequest, pb.TranscribeResponse]


class AsyncClient:
    """A connection to a gateway, for any number of streams at once.

    Args:
        address: `host:port`.
        credentials: for TLS; None talks in the clear.

    Every method raises `TranscriptionError` with the server's status and message, and its subclass
    `ServerUnreachable` where nothing answers.
    """

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None = None) -> None:
        self.address = address
        options = wire.channel_options(address)
        self._channel = (
            grpc.aio.insecure_channel(address, options=options)
            if credentials is None
            else grpc.aio.secure_channel(address, credentials, options=options)
        )
        self._stub = TranscriptionServiceStub(self._channel)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Cancel all streams and disconnect."""
        await self._channel.close()

    async def transcribe(
        self,
        audio: AsyncIterable[Piece] | Iterable[Piece],
        audio_format: AudioFormat | None = None,
        options: Options | None = None,
    ) -> AsyncIterator[Event]:
        """Stream `audio` and yield what is heard, as it is heard.

        The next piece of audio is asked for when the one before it is on its way, so a slow network
        holds the source back. Leaving the loop, or cancelling the task, cancels the stream. What
        the source raises is raised here. A plain iterable must not block.

        Args:
            audio: pieces of any length in `audio_format`; about 100 ms each serve well. A
                `LanguageSelection` among them changes the languages from there on.
            audio_format: None: 16 kHz mono s16le.
            options: None: every language, with partials.
        """
        call = self._stub.Transcribe()
        first = wire.config_request(audio_format or AudioFormat(), options or Options())
        status = ServerStatus(call)
        sender = asyncio.create_task(_send(call, first, audio))
        try:
            async for response in call:
                if (event := wire.event(response)) is not None:
                    yield event
        except grpc.aio.AioRpcError as error:
            code, details = status.behind(error)
            if code is not grpc.StatusCode.OK:
                raise from_status(code, details, self.address) from None
        except asyncio.CancelledError:
            if sender.done() and not sender.cancelled() and (failure := sender.exception()):
                raise failure from None
            raise
        finally:
            sender.cancel()
            call.cancel()
            with suppress(BaseException):
                await sender

    async def transcribe_file(
        self,
        path: str | Path,
        options: Options | None = None,
        *,
        realtime: bool = False,
        raw_sample_rate_hz: int | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> FileTranscript:
        """Decode a file here, stream it, and return all that was heard.

        Args:
            path: wav, flac, mp3, ogg, opus, m4a, webm, raw PCM (`.raw`, `.pcm`), `-` for stdin.
            realtime: send as slowly as a microphone would.
            raw_sample_rate_hz: of raw PCM; given with `-`, stdin holds raw PCM.
            on_event: called with each event as it arrives.

        Raises:
            AudioFileError: the file is missing, empty or no audio.
        """
        collector = wire.Collector(on_event)
        with open_audio(path, raw_sample_rate_hz=raw_sample_rate_hz) as source:
            pieces = _pieces(source, Pacer() if realtime else None)
            async for event in self.transcribe(pieces, source.format, options):
                collector.feed(event)
            return collector.transcript(source.name, tuple(source.warnings))

    async def languages(self, tags: Iterable[str] = ()) -> tuple[Language, ...]:
        """The languages that are served, and by what; with `tags` these, also by relatives."""
        request = pb.ListLanguagesRequest(tags=tags)
        try:
            return wire.languages(await self._stub.ListLanguages(request))
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error, self.address) from None

    async def fleet(self) -> Fleet:
        """The workers, what they hold and how busy they are."""
        try:
            return wire.fleet(await self._stub.GetFleet(pb.GetFleetRequest()))
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error, self.address) from None


async def _send(
    call: Call, first: pb.TranscribeRequest, audio: AsyncIterable[Piece] | Iterable[Piece]
) -> None:
    """Write the stream. A failing write ends quietly: the reading side knows the status."""
    try:
        await call.write(first)
        if isinstance(audio, AsyncIterable):
            async for piece in audio:
                await _write(call, piece)
        else:
            for piece in audio:
                await _write(call, piece)
        await call.done_writing()
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        pass
    except Exception:
        call.cancel()
        raise


async def _write(call: Call, piece: Piece) -> None:
    for request in wire.requests(piece):
        await call.write(request)


async def _pieces(source: AudioSource, pacer: Pacer | None) -> AsyncIterator[bytes]:
    """The source's pieces, decoded in a thread, each when a microphone would have given it."""
    pieces = iter(source)
    sent_ms = 0.0
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        sent_ms += source.duration_of(piece)
        if pacer is not None:
            await asyncio.sleep(pacer.delay_s(sent_ms))
        yield piece
