"""What serves a language, as the client is told."""

from __future__ import annotations

from collections.abc import Iterable

from panglot.v1 import transcription_pb2

from common.catalogue import ServedLanguage
from common.zero_shot import StandIn


def started(stream_id: str, named: Iterable[ServedLanguage]) -> transcription_pb2.StreamStarted:
    """The first event of a stream in which the client named these languages."""
    return transcription_pb2.StreamStarted(
        stream_id=stream_id, zero_shot=[language(each) for each in named if each.stand_in]
    )


def language(served: ServedLanguage) -> transcription_pb2.Language:
    """One entry of a list of languages."""
    return transcription_pb2.Language(
        tag=served.tag,
        name=served.name,
        served_by=served.adapter,
        held_out_wer=served.held_out_wer,
        zero_shot=zero_shot(served.stand_in),
    )


def zero_shot(relative: StandIn | None) -> transcription_pb2.ZeroShot | None:
    """Unset where the language is served itself."""
    if relative is None:
        return None
    return transcription_pb2.ZeroShot(
        language=relative.tag, name=relative.name, similarity=relative.similarity
    )
