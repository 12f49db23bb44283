"""A transcription service on a real socket that does what the test tells it to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from panglot.v1 import transcription_pb2 as pb
from panglot.v1 import transcription_pb2_grpc as rpc

Requests = Iterator[pb.TranscribeRequest]
Responses = Iterator[pb.TranscribeResponse]
Script = Callable[["FakeGateway", Requests, grpc.ServicerContext], Responses]


def final(number: int = 0, language: str = "en", text: str = "hello world") -> pb.Transcript:
    """A final whose words last 400 ms each."""
    words = [
        pb.Word(
            text=word,
            start_ms=1000 * number + 400 * place,
            end_ms=1000 * number + 400 * place + 300,
            confidence=0.875,
            language=language,
        )
        for place, word in enumerate(text.split())
    ]
    return pb.Transcript(
        segment=number,
        start_ms=1000 * number,
        end_ms=1000 * number + 900,
        text=text,
        language=language,
        confidence=0.875,
        words=words,
        stable_words=len(words),
        adapter=f"{language}-asterisk@1",
        spans=[
            pb.LanguageSpan(
                language=language,
                start_ms=1000 * number,
                end_ms=1000 * number + 900,
                adapter=f"{language}-asterisk@1",
                language_probability=0.75,
            )
        ],
    )


FRENCH = pb.ZeroShot(language="fr", name="French", similarity=0.75)
WALLOON = pb.Language(tag="wa", name="Walloon", served_by="fr@1", zero_shot=FRENCH)


def transcribe_walloon(_: FakeGateway, requests: Requests, __: grpc.ServicerContext) -> Responses:
    """One segment, heard by French's adapter."""
    yield pb.TranscribeResponse(started=pb.StreamStarted(stream_id="s1", zero_shot=[WALLOON]))
    for _request in requests:
        pass
    heard = final(language="wa", text="bondjoû")
    heard.zero_shot.CopyFrom(FRENCH)
    heard.spans[0].zero_shot.CopyFrom(FRENCH)
    yield pb.TranscribeResponse(final=heard)
    yield pb.TranscribeResponse(ended=pb.StreamEnded(audio_ms=1000, segment_count=1))


def transcribe_all(gateway: FakeGateway, requests: Requests, _: grpc.ServicerContext) -> Responses:
    """Two segments, the second in Spanish, whatever the audio."""
    yield pb.TranscribeResponse(started=pb.StreamStarted(stream_id="s1"))
    gateway.config = next(requests).config
    yield pb.TranscribeResponse(partial=pb.Transcript(text="hel", language="en"))
    for request in requests:
        if request.HasField("language"):
            gateway.selections.append((len(gateway.audio), request.language))
            continue
        gateway.audio += request.audio
        gateway.message_sizes.append(len(request.audio))
    yield pb.TranscribeResponse(final=final())
    change = pb.LanguageChange(
        segment=1, start_ms=1000, previous_language="en", language="es", probability=0.75
    )
    yield pb.TranscribeResponse(language_change=change)
    yield pb.TranscribeResponse(final=final(1, "es", "hola a todos"))
    rate = gateway.config.audio.sample_rate_hz or 16_000
    ended = pb.StreamEnded(
        audio_ms=len(gateway.audio) * 500 // rate, speech_ms=1800, segment_count=2
    )
    yield pb.TranscribeResponse(ended=ended)


class FakeGateway(rpc.TranscriptionServiceServicer):
    """Records what it was sent; `script` answers `Transcribe`."""

    def __init__(self, script: Script) -> None:
        self.address = ""
        self.script = script
        self.config = pb.StreamConfig()
        self.audio = b""
        self.message_sizes: list[int] = []
        self.selections: list[tuple[int, pb.LanguageSelection]] = []  # after how many bytes
        self.cancelled = threading.Event()

    def Transcribe(  # noqa: N802 - the name on the wire
        self, request_iterator: Requests, context: grpc.ServicerContext
    ) -> Responses:
        """What the script says."""
        context.add_callback(lambda: None if context.is_active() else self.cancelled.set())
        return self.script(self, request_iterator, context)

    def ListLanguages(  # noqa: N802
        self, request: pb.ListLanguagesRequest, context: grpc.ServicerContext
    ) -> pb.ListLanguagesResponse:
        """English by an adapter, Welsh by the universal decoder; Walloon if it is asked for."""
        english = pb.Language(
            tag="en", name="English", served_by="en-asterisk@1", held_out_wer=0.125
        )
        welsh = pb.Language(tag="cy", name="Welsh", served_by="universal")
        served = {each.tag: each for each in (english, welsh, WALLOON)}
        asked = request.tags or ("en", "cy")
        return pb.ListLanguagesResponse(languages=[served[tag] for tag in asked])

    def GetFleet(  # noqa: N802
        self, request: pb.GetFleetRequest, context: grpc.ServicerContext
    ) -> pb.GetFleetResponse:
        """One worker with two adapters."""
        worker = pb.Worker(
            worker_id="worker-1",
            address="127.0.0.1:7001",
            resident_adapters=["es-asterisk@1", "en-asterisk@1"],
            slot_count=20,
            active_spans=1,
            max_spans=8,
            memory_bytes=512 * 2**20,
            adapter_hits=3,
            adapter_misses=1,
            base_model="/srv/models/whisper-base",
            base_fingerprint="sha256:0123456789abcdef",
            universal=True,
        )
        return pb.GetFleetResponse(workers=[worker], registry_available=False)


@contextmanager
def fake_gateway(script: Script = transcribe_all) -> Iterator[FakeGateway]:
    """A gateway on a free port for the time of the context."""
    gateway = FakeGateway(script)
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    rpc.add_TranscriptionServiceServicer_to_server(gateway, server)
    gateway.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield gateway
    finally:
        server.stop(grace=0).wait()
