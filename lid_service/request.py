"""What callers ask for, checked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from panglot.v1 import lid_pb2

from common.audio import SAMPLE_RATE_HZ, Samples, from_wire, milliseconds
from common.errors import IdleStream, InvalidRequest, UnknownLanguage
from common.tags import nearest_tags
from lid_service.posteriors import Question
from lid_service.windows import MAX_MS, MIN_MS, SlidingWindows, Window

_DEFAULT_TOP_K = 5
_DEFAULT_MIN_PROBABILITY = 0.5
_DEFAULT_WINDOW_MS, _DEFAULT_HOP_MS = 2000, 500

StreamRequest = lid_pb2.IdentifyStreamRequest


def question_of(
    request: lid_pb2.IdentifyRequest | lid_pb2.IdentifyStreamConfig, languages: Sequence[str]
) -> Question:
    """Raises InvalidRequest where a field is out of its limits, or a candidate not a language."""
    known, named = frozenset(languages), set[str]()
    for tag in request.candidates:
        if tag not in known:
            nearest = ", ".join(nearest_tags(tag[:64], languages))
            raise UnknownLanguage(
                f"candidates: {tag!r:.64} is not a language this model knows; nearest: {nearest}"
            )
        if tag in named:
            raise InvalidRequest(f"candidates: {tag!r} stands there twice: name it once")
        named.add(tag)
    top_k = request.top_k if request.HasField("top_k") else _DEFAULT_TOP_K
    if top_k < 1:
        raise InvalidRequest(f"top_k is {top_k}: give 1 or more")
    least = _DEFAULT_MIN_PROBABILITY
    if request.HasField("min_probability"):
        least = request.min_probability
    if not 0 <= least <= 1:  # NaN neither
        raise InvalidRequest(f"min_probability is {least:g}: give 0 to 1")
    return Question(tuple(request.candidates), top_k, least)


def window_of(request: lid_pb2.IdentifyRequest) -> Samples:
    """Raises InvalidRequest where it is too short or too long."""
    samples = from_wire(request.pcm_s16le)
    if not MIN_MS <= len(samples) * 1000 / SAMPLE_RATE_HZ <= MAX_MS:
        raise InvalidRequest(
            f"pcm_s16le holds {milliseconds(len(samples))} ms: give {MIN_MS} to {MAX_MS}"
        )
    return samples


def windows_of(config: lid_pb2.IdentifyStreamConfig) -> SlidingWindows:
    """Raises InvalidRequest where a window or the step between two is out of its limits."""
    window_ms = config.window_ms if config.HasField("window_ms") else _DEFAULT_WINDOW_MS
    if not MIN_MS <= window_ms <= MAX_MS:
        raise InvalidRequest(f"config.window_ms is {window_ms}: give {MIN_MS} to {MAX_MS}")
    hop_ms = config.hop_ms if config.HasField("hop_ms") else min(_DEFAULT_HOP_MS, window_ms)
    if not MIN_MS <= hop_ms <= window_ms:
        raise InvalidRequest(
            f"config.hop_ms is {hop_ms}: give {MIN_MS} to {window_ms}, which is config.window_ms"
        )
    per_ms = SAMPLE_RATE_HZ // 1000
    return SlidingWindows(window_ms * per_ms, hop_ms * per_ms)


class StreamRequests:
    """A stream's messages, each within the time a stream may be idle."""

    def __init__(self, messages: AsyncIterator[StreamRequest], idle_s: float) -> None:
        """Raise IdleStream when `messages` has nothing for `idle_s` seconds."""
        self._messages = messages
        self._idle_s = idle_s

    async def config(self) -> lid_pb2.IdentifyStreamConfig:
        """The first message; raises InvalidRequest when it is none."""
        message = await self._next()
        if message is None or message.WhichOneof("request") != "config":
            raise InvalidRequest("the first message of a stream must be `config`")
        return message.config

    async def windows(self, sliding: SlidingWindows) -> AsyncGenerator[Window]:
        """Windows of the audio that follows; reads no further than the one that is asked for."""
        while (message := await self._next()) is not None:
            if message.WhichOneof("request") != "pcm_s16le":
                raise InvalidRequest("after `config` only `pcm_s16le` may come")
            for window in sliding.feed(message.pcm_s16le):
                yield window
        for window in sliding.flush():
            yield window

    async def _next(self) -> StreamRequest | None:
        try:
            async with asyncio.timeout(self._idle_s):
                return await anext(self._messages, None)
        except TimeoutError as error:
            raise IdleStream(
                f"nothing was sent for {self._idle_s:g} s: close your side when there is no more"
            ) from error
