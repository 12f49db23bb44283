"""Our side of `streams`: the whole stack, over sockets, as `panglot serve` starts it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.paced import Said, Script
from client.aio import AsyncClient
from client.stack import Stack, StackOptions
from client.types import Final, Options


class Panglot:
    """A client of the stack; partials on, as captions need them.

    Args:
        candidates: the languages to identify among; empty: each stream's is told.
        end_silence_ms: silence that ends a segment.
    """

    def __init__(
        self, client: AsyncClient, candidates: tuple[str, ...], end_silence_ms: int
    ) -> None:
        self._client = client
        self._candidates = candidates
        self._end_silence_ms = end_silence_ms

    async def recognize(self, script: Script, pieces: AsyncIterator[bytes]) -> list[Said]:
        """See `paced.Side`."""
        options = Options(
            language=None if self._candidates else script.language,
            candidates=self._candidates,
            end_silence_ms=self._end_silence_ms,
        )
        said = []
        async for event in self._client.transcribe(pieces, options=options):
            match event:
                case Final(segment) if segment.text:
                    said.append(
                        Said(segment.start_ms, segment.end_ms, segment.text, time.monotonic())
                    )
        return said


@asynccontextmanager
async def running(candidates: tuple[str, ...], end_silence_ms: int) -> AsyncIterator[Panglot]:
    """A stack for the duration; raises StackError when it does not start."""
    stack = Stack(StackOptions(port=0))
    try:
        await stack.start()
        async with AsyncClient(stack.address) as client:
            yield Panglot(client, candidates, end_silence_ms)
    finally:
        await stack.stop()
