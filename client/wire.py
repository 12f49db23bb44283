"""Between the messages of `panglot.v1` and the client's own types. No I/O."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator

from panglot.v1 import transcription_pb2 as pb

from client import types
from client.errors import TranscriptionError

MAX_MESSAGE_BYTES = 64 * 1024
"""Audio in larger pieces is sent in several messages."""


def channel_options(address: str) -> list[tuple[str, int]]:
    """gRPC channel options for `address`: a proxy from the environment is no way to loopback."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    return [("grpc.enable_http_proxy", 0)] if loopback else []


def config_request(audio: types.AudioFormat, options: types.Options) -> pb.TranscribeRequest:
    """The first message of a stream."""
    raw = audio.encoding is not types.Encoding.CONTAINER
    return pb.TranscribeRequest(
        config=pb.StreamConfig(
            audio=pb.AudioFormat(
                encoding=pb.AudioEncoding.ValueType(audio.encoding.value),
                sample_rate_hz=audio.sample_rate_hz if raw else 0,
                channel_count=audio.channel_count if raw else None,
            ),
            language=_selection(options.selection()),
            partial_results=options.partial_results,
            end_silence_ms=options.end_silence_ms,
            max_segment_ms=options.max_segment_ms,
            boosted_phrases=options.boosted_phrases,
        )
    )


def requests(piece: types.Piece) -> Iterator[pb.TranscribeRequest]:
    """Other languages as a message; audio as several of at most `MAX_MESSAGE_BYTES`, or none."""
    if isinstance(piece, types.LanguageSelection):
        yield pb.TranscribeRequest(language=_selection(piece))
        return
    for start in range(0, len(piece), MAX_MESSAGE_BYTES):
        yield pb.TranscribeRequest(audio=piece[start : start + MAX_MESSAGE_BYTES])


def event(response: pb.TranscribeResponse) -> types.Event | None:
    """The event in `response`; None for a kind that this client does not know."""
    match response.WhichOneof("event"):
        case "started":
            started = response.started
            return types.Started(started.stream_id, tuple(map(_language, started.zero_shot)))
        case "partial":
            return types.Partial(_segment(response.partial))
        case "final":
            return types.Final(_segment(response.final))
        case "language_change":
            change = response.language_change
            known = change.HasField("previous_language")
            return types.LanguageChange(
                segment=change.segment,
                start_ms=change.start_ms,
                previous_language=change.previous_language if known else None,
                language=change.language,
                probability=change.probability,
            )
        case "ended":
            ended = response.ended
            return types.Ended(ended.audio_ms, ended.speech_ms, ended.segment_count)
        case _:
            return None


def languages(response: pb.ListLanguagesResponse) -> tuple[types.Language, ...]:
    """In the server's order."""
    return tuple(map(_language, response.languages))


def fleet(response: pb.GetFleetResponse) -> types.Fleet:
    """In the server's order."""
    workers = tuple(
        types.Worker(
            worker_id=worker.worker_id,
            address=worker.address,
            resident_adapters=tuple(worker.resident_adapters),
            slot_count=worker.slot_count,
            active_spans=worker.active_spans,
            max_spans=worker.max_spans,
            draining=worker.draining,
            memory_bytes=worker.memory_bytes,
            adapter_hits=worker.adapter_hits,
            adapter_misses=worker.adapter_misses,
            base_model=worker.base_model,
            base_fingerprint=worker.base_fingerprint,
            universal=worker.universal,
        )
        for worker in response.workers
    )
    return types.Fleet(workers, response.registry_available)


class Collector:
    """Gathers the events of one file into its transcript, showing each to `on_event`."""

    def __init__(self, on_event: Callable[[types.Event], None] | None) -> None:
        self._on_event = on_event
        self._segments: list[types.Segment] = []
        self._duration_ms: int | None = None

    def feed(self, happened: types.Event) -> None:
        """Take the next event of the stream."""
        match happened:
            case types.Final(segment):
                self._segments.append(segment)
            case types.Ended(audio_ms=audio_ms):
                self._duration_ms = audio_ms
        if self._on_event is not None:
            self._on_event(happened)

    def transcript(self, file: str, warnings: tuple[str, ...]) -> types.FileTranscript:
        """All that was heard; raises TranscriptionError if the stream broke off without an end."""
        if self._duration_ms is None:
            raise TranscriptionError("DATA_LOSS", f"{file}: the server ended the stream too early")
        return types.FileTranscript(file, self._duration_ms, tuple(self._segments), warnings)


def _selection(selection: types.LanguageSelection) -> pb.LanguageSelection:
    asked = pb.LanguageSelection()
    if selection.language is not None:
        asked.fixed = selection.language
    if selection.candidates:
        asked.candidates.languages.extend(selection.candidates)
    for tag, weight in selection.hints.items():
        asked.hints.add(language=tag, weight=weight)
    return asked


def _segment(transcript: pb.Transcript) -> types.Segment:
    return types.Segment(
        number=transcript.segment,
        start_ms=transcript.start_ms,
        end_ms=transcript.end_ms,
        language=transcript.language,
        text=transcript.text,
        confidence=transcript.confidence if transcript.HasField("confidence") else None,
        adapter=transcript.adapter,
        words=tuple(
            types.Word(
                text=word.text,
                start_ms=word.start_ms,
                end_ms=word.end_ms,
                confidence=word.confidence if word.HasField("confidence") else None,
                language=word.language,
            )
            for word in transcript.words
        ),
        stable_words=transcript.stable_words,
        language_probability=_language_probability(transcript),
        spans=tuple(
            types.LanguageSpan(
                start_ms=span.start_ms,
                end_ms=span.end_ms,
                language=span.language,
                adapter=span.adapter,
                language_probability=_language_probability(span),
                zero_shot=_zero_shot(span),
            )
            for span in transcript.spans
        ),
        zero_shot=_zero_shot(transcript),
    )


def _language_probability(told: pb.Transcript | pb.LanguageSpan) -> float | None:
    return told.language_probability if told.HasField("language_probability") else None


def _language(told: pb.Language) -> types.Language:
    return types.Language(
        tag=told.tag,
        name=told.name,
        served_by=told.served_by,
        held_out_wer=told.held_out_wer if told.HasField("held_out_wer") else None,
        zero_shot=_zero_shot(told),
    )


def _zero_shot(told: pb.Transcript | pb.LanguageSpan | pb.Language) -> types.ZeroShot | None:
    if not told.HasField("zero_shot"):
        return None
    relative = told.zero_shot
    similarity = relative.similarity if relative.HasField("similarity") else None
    return types.ZeroShot(relative.language, relative.name, similarity)
