"""The blocking client: the same as `client.aio`, for code without an event loop.

with Client("localhost:50051") as client:
    print(client.transcribe_file("talk.mp3").segments)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType

import grpc
from panglot.v1 import transcription_pb2 as pb
from panglot.v1.transcription_pb2_grpc import TranscriptionServiceStub

from client import wire
from client.audio import AudioSource, open_audio
from client.pacing import Pacer
from client.status import from_rpc
from client.types import AudioFormat, Event, FileTranscript, Fleet, Language, Options, Piece


class Client:
    """A connection to a gateway, for any number of streams at once, from any thread.

    Arguments and errors are those of `client.aio.AsyncClient`.
    """

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None = None) -> None:
        self.address = address
        options = wire.channel_options(address)
        self._channel = (
            grpc.insecure_channel(address, options=options)
            if credentials is None
            else grpc.secure_channel(address, credentials, options=options)
        )
        self._stub = TranscriptionServiceStub(self._channel)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Cancel all streams and disconnect."""
        self._channel.close()

    def transcribe(
        self,
        audio: Iterable[Piece],
        audio_format: AudioFormat | None = None,
        options: Options | None = None,
    ) -> Iterator[Event]:
        """Stream `audio` and yield what is heard, as it is heard.

        `audio` is read in a thread of gRPC's, one piece when the one before it is on its way, and
        may block. Leaving the loop cancels the stream. What the source raises is raised here.

        Args:
            audio: pieces of any length in `audio_format`; about 100 ms each serve well. A
                `LanguageSelection` among them changes the languages from there on.
            audio_format: None: 16 kHz mono s16le.
            options: None: every language, with partials.
        """
        first = wire.config_request(audio_format or AudioFormat(), options or Options())
        failures: list[Exception] = []

        def requests() -> Iterator[pb.TranscribeRequest]:
            yield first
            try:
                for piece in audio:
                    yield from wire.requests(piece)
            except Exception as failure:
                failures.append(failure)
                call.cancel()

        call = self._stub.Transcribe(requests())
        try:
            for response in call:
                if (event := wire.event(response)) is not None:
                    yield event
        except grpc.RpcError as error:
            if failures:
                raise failures[0] from None
            raise from_rpc(error, self.address) from None
        finally:
            call.cancel()

    def transcribe_file(
        self,
        path: str | Path,
        options: Options | None = None,
        *,
        realtime: bool = False,
        raw_sample_rate_hz: int | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> FileTranscript:
        """Decode a file here, stream it, and return all that was heard.

        Arguments and errors are those of `AsyncClient.transcribe_file`.
        """
        collector = wire.Collector(on_event)
        with open_audio(path, raw_sample_rate_hz=raw_sample_rate_hz) as source:
            pieces = _pieces(source, Pacer() if realtime else None)
            for event in self.transcribe(pieces, source.format, options):
                collector.feed(event)
            return collector.transcript(source.name, tuple(source.warnings))

    def languages(self, tags: Iterable[str] = ()) -> tuple[Language, ...]:
        """The languages that are served, and by what; with `tags` these, also by relatives."""
        request = pb.ListLanguagesRequest(tags=tags)
        try:
            return wire.languages(self._stub.ListLanguages(request))
        except grpc.RpcError as error:
            raise from_rpc(error, self.address) from None

    def fleet(self) -> Fleet:
        """The workers, what they hold and how busy they are."""
        try:
            return wire.fleet(self._stub.GetFleet(pb.GetFleetRequest()))
        except grpc.RpcError as error:
            raise from_rpc(error, self.address) from None


def _pieces(source: AudioSource, pacer: Pacer | None) -> Iterator[bytes]:
    """The source's pieces, each when a microphone would have given it."""
    sent_ms = 0.0
    for piece in source:
        sent_ms += source.duration_of(piece)
        if pacer is not None:
            time.sleep(pacer.delay_s(sent_ms))
        yield piece
