"""Step 1: what a client may say, and in which order."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from panglot.v1 import transcription_pb2

from common.catalogue import Catalogue
from common.errors import IdleStream, InvalidRequest
from gateway.audio import AudioSpec, audio_spec
from gateway.options import Options
from gateway.segmenter import SegmenterSettings
from gateway.selection import with_languages
from gateway.settings import GatewaySettings

Request = transcription_pb2.TranscribeRequest

_END_SILENCE_MS = (100, 5000)
_MAX_SEGMENT_MS = (2000, 28_000)
_MAX_PHRASES = 100
_MAX_PHRASE_CHARACTERS = 100


@dataclass(frozen=True)
class StreamPlan:
    """A checked configuration."""

    audio: AudioSpec
    segmenter: SegmenterSettings
    options: Options


class Requests:
    """A client's messages, each within the time a stream may be idle."""

    def __init__(self, messages: AsyncIterator[Request], idle_s: float) -> None:
        """Raise IdleStream when `messages` has nothing for `idle_s` seconds."""
        self._messages = messages
        self._idle_s = idle_s
        self._audio_ended = asyncio.Event()

    async def config(self) -> transcription_pb2.StreamConfig:
        """The first message; raises InvalidRequest when it is none."""
        message = await self._next()
        kind = message.WhichOneof("request") if message else None
        if message is None or kind != "config":
            raise InvalidRequest(f"the first message must be `config`; it is {_told(kind)}")
        return message.config

    async def audio(
        self, select: Callable[[transcription_pb2.LanguageSelection], None]
    ) -> AsyncIterator[bytes]:
        """Bytes of audio until the client says that there are no more.

        Calls `select` where the client asks for other languages: before it, all bytes that were
        sent before have been taken.
        """
        while (message := await self._next()) is not None:
            match message.WhichOneof("request"):
                case "audio":
                    yield message.audio
                case "language":
                    select(message.language)
                case "end_of_audio":
                    break
                case kind:
                    raise InvalidRequest(
                        "after `config` only `audio` and `language` may come, then "
                        f"`end_of_audio`; this is {_told(kind)}"
                    )
        self._audio_ended.set()

    async def nothing_more(self) -> None:
        """After the audio the client may only close its side; raises InvalidRequest otherwise."""
        await self._audio_ended.wait()
        async for message in self._messages:
            kind = message.WhichOneof("request")
            raise InvalidRequest(f"{_told(kind)} after `end_of_audio`: open a new stream for it")

    async def _next(self) -> Request | None:
        try:
            async with asyncio.timeout(self._idle_s):
                return await anext(self._messages, None)
        except TimeoutError as error:
            raise IdleStream(
                f"nothing was sent for {self._idle_s:g} s: send silence while nobody speaks, or "
                "`end_of_audio`"
            ) from error


def plan_stream(
    config: transcription_pb2.StreamConfig, catalogue: Catalogue, settings: GatewaySettings
) -> StreamPlan:
    """Check a configuration.

    Raises:
        InvalidRequest, UnsupportedAudio, UnknownLanguage: names the field, the value, the limit.
    """
    end_silence_ms = settings.end_silence_ms
    if config.HasField("end_silence_ms"):
        end_silence_ms = _within("end_silence_ms", config.end_silence_ms, _END_SILENCE_MS)
    max_segment_ms = settings.max_segment_ms
    if config.HasField("max_segment_ms"):
        max_segment_ms = _within("max_segment_ms", config.max_segment_ms, _MAX_SEGMENT_MS)
    options = Options(
        fixed=None,
        candidates=None,
        partials=not config.HasField("partial_results") or config.partial_results,
        boosted_phrases=_phrases(config.boosted_phrases),
    )
    return StreamPlan(
        audio=audio_spec(config.audio),
        segmenter=SegmenterSettings(end_silence_ms=end_silence_ms, max_segment_ms=max_segment_ms),
        options=with_languages(options, config.language, catalogue, "config.language"),
    )


def _phrases(phrases: Sequence[str]) -> tuple[str, ...]:
    """Checked, and with single spaces between words."""
    field = "config.boosted_phrases"
    if len(phrases) > _MAX_PHRASES:
        raise InvalidRequest(f"{field} has {len(phrases)} phrases: give at most {_MAX_PHRASES}")
    for number, phrase in enumerate(phrases):
        told = f"{field}[{number}] is {phrase!r:.64}"
        if len(phrase) > _MAX_PHRASE_CHARACTERS:
            raise InvalidRequest(
                f"{told}, {len(phrase)} characters: give 1 to {_MAX_PHRASE_CHARACTERS}"
            )
        if any(unicodedata.category(character) == "Cc" for character in phrase):
            raise InvalidRequest(f"{told}: give no control characters, such as tabs or line ends")
        if not phrase.strip():
            raise InvalidRequest(f"{told}, which is blank: give words, or leave it out")
    return tuple(" ".join(phrase.split()) for phrase in phrases)


def _within(field: str, value: int, limits: tuple[int, int]) -> int:
    low, high = limits
    if not low <= value <= high:
        raise InvalidRequest(f"config.{field} is {value}: give {low} to {high}")
    return value


def _told(kind: str | None) -> str:
    return f"`{kind}`" if kind else "empty"
