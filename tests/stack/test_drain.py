"""SIGTERM: what is under way finishes, nothing new begins, and the process ends well."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import grpc

from tests.stack.clips import SILENCE, clip, word_error_rate
from tests.stack.running import RunningStack, running_gateway
from tests.stack.talking import (
    END,
    check_protocol,
    configuration,
    pieces,
    spoken,
    talk,
)


async def test_a_gateway_drains(stack: RunningStack, log: Path) -> None:
    said = clip("en-2")
    first = configuration(fixed="en")
    begun = asyncio.Event()
    async with running_gateway(stack, log) as (gateway, process):
        stream = asyncio.create_task(
            talk(
                gateway.address,
                spoken(first, said.pcm + SILENCE),
                lambda event: begun.set() if event.HasField("partial") else None,
            )
        )
        await begun.wait()
        gateway.signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        refused = await talk(gateway.address, [first, *pieces(said.pcm), END])
        outcome = await stream
        assert await process.wait() == 0
    assert refused.code is grpc.StatusCode.UNAVAILABLE
    assert outcome.code is grpc.StatusCode.OK, outcome.details
    check_protocol(outcome.events)
    assert word_error_rate(said.text, outcome.text) <= 0.35, outcome.text
