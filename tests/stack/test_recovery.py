"""Any process may die or hang: what was said still becomes text, once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator

import grpc
import pytest

from tests.stack.clips import LANGUAGES, SILENCE, Clip, clip, word_error_rate
from tests.stack.running import PANGLOT, RunningStack
from tests.stack.talking import (
    END,
    Event,
    Outcome,
    Request,
    check_protocol,
    configuration,
    paced,
    pieces,
    talk,
)

ENGLISH = configuration(fixed="en")
SAID = clip("en-2")


class Interrupted:
    """A stream that goes on only when something has been done to the stack."""

    def __init__(self, stack: RunningStack, first: Request, before: bytes, after: bytes) -> None:
        """Send `before`, wait for `go_on`, send `after`."""
        self._first = first
        self._before = before
        self._after = after
        self._go_on = asyncio.Event()
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._talking = asyncio.create_task(
            talk(stack.address, self._requests(), self._events.put_nowait)
        )

    async def told(self, kind: str) -> None:
        """Wait for an event of that kind; whatever ended the stream is raised here."""
        while True:
            asking = asyncio.create_task(self._events.get())
            await asyncio.wait([asking, self._talking], return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                asking.cancel()
                raise AssertionError(f"no {kind}: {self._talking.result()}")
            if asking.result().HasField(kind):  # type: ignore[arg-type]
                return

    async def go_on(self) -> Outcome:
        """Send the rest; returns when the stream has ended."""
        self._go_on.set()
        return await self._talking

    async def _requests(self) -> AsyncIterator[Request]:
        yield self._first
        async for piece in paced(self._before):
            yield piece
        await self._go_on.wait()
        for piece in pieces(self._after, 3200):
            yield piece
        yield END


def interrupted_speech(stack: RunningStack) -> Interrupted:
    """A sentence that is interrupted in its middle."""
    half = len(SAID.samples) // 2 * 2
    return Interrupted(stack, ENGLISH, SAID.pcm[:half], SAID.pcm[half:] + SILENCE)


def check(outcome: Outcome, *said: Clip) -> None:
    """Everything that was said is there, and nothing twice."""
    assert outcome.code is grpc.StatusCode.OK, outcome.details
    check_protocol(outcome.events)
    text = " ".join(one.text for one in said)
    assert word_error_rate(text, outcome.text) <= 0.35, outcome.text


async def holder(stack: RunningStack) -> str:
    """The id of the worker that recognises the only span there is."""
    fleet = await stack.until(
        lambda fleet: any(w.active_spans for w in fleet.workers), "no worker has the span"
    )
    return next(w.worker_id for w in fleet.workers if w.active_spans)


async def test_a_worker_is_killed(stack: RunningStack) -> None:
    stream = interrupted_speech(stack)
    await stream.told("partial")
    killed = await holder(stack)
    other = next(name for name in ("worker-1", "worker-2") if name != killed)
    os.kill(stack.worker(killed), signal.SIGKILL)
    assert await holder_other_than(stack, killed) == other
    outcome = await stream.go_on()
    check(outcome, SAID)
    assert len(outcome.finals) == 1


async def holder_other_than(stack: RunningStack, killed: str) -> str:
    """The id of the worker that took the span over."""
    fleet = await stack.until(
        lambda fleet: any(w.active_spans and w.worker_id != killed for w in fleet.workers),
        "no other worker has the span",
    )
    return next(w.worker_id for w in fleet.workers if w.active_spans and w.worker_id != killed)


async def test_all_workers_are_killed(stack: RunningStack) -> None:
    stream = interrupted_speech(stack)
    await stream.told("partial")
    for pid in stack.workers:
        os.kill(pid, signal.SIGKILL)
    outcome = await stream.go_on()
    check(outcome, SAID)
    assert len(outcome.finals) == 1


async def test_a_worker_that_is_told_to_stop_finishes(stack: RunningStack) -> None:
    stream = interrupted_speech(stack)
    await stream.told("partial")
    leaving = await holder(stack)
    os.kill(stack.worker(leaving), signal.SIGTERM)
    await stack.until(
        lambda fleet: all(w.draining for w in fleet.workers if w.worker_id == leaving),
        "the worker does not say that it is leaving",
    )
    check(await stream.go_on(), SAID)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_language_identification_is_away(stack: RunningStack, number: signal.Signals) -> None:
    mixed = configuration(candidates=LANGUAGES)
    stream = Interrupted(stack, mixed, SAID.pcm + SILENCE, clip("en-3").pcm + SILENCE)
    await stream.told("final")
    pid = stack.lid
    os.kill(pid, number)
    try:
        outcome = await stream.go_on()
    finally:
        if number is signal.SIGSTOP:
            os.kill(pid, signal.SIGCONT)
    check(outcome, SAID, clip("en-3"))
    assert {final.language for final in outcome.finals} == {"en"}


async def test_redis_is_killed(stack: RunningStack) -> None:
    stream = interrupted_speech(stack)
    await stream.told("partial")
    os.kill(stack.redis, signal.SIGKILL)
    late = talk(stack.address, [ENGLISH, *pieces(clip("en-1").pcm), END])
    outcomes = await asyncio.gather(stream.go_on(), late)
    check(outcomes[0], SAID)
    check(outcomes[1], clip("en-1"))


async def test_redis_hangs(stack: RunningStack) -> None:
    pid = stack.redis
    os.kill(pid, signal.SIGSTOP)
    try:
        await stack.until(lambda fleet: not fleet.registry_available, "nobody noticed")
        outcome = await talk(stack.address, [ENGLISH, *pieces(SAID.pcm), END])
        status, errors = await _status(stack)
        machine, _ = await _status(stack, "--json")
    finally:
        os.kill(pid, signal.SIGCONT)
    check(outcome, SAID)
    assert "worker-1" in status
    assert "registry does not answer" in errors
    assert json.loads(machine)["registry_available"] is False


async def _status(stack: RunningStack, *options: str) -> tuple[str, str]:
    """What `panglot status` prints, on stdout and stderr."""
    running = await asyncio.create_subprocess_exec(
        *(str(PANGLOT), "status", "--server", stack.address, *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await running.communicate()
    assert running.returncode == 0
    return output.decode(), errors.decode()


@pytest.mark.slow
async def test_a_worker_hangs(stack: RunningStack) -> None:
    stream = interrupted_speech(stack)
    await stream.told("partial")
    pid = stack.worker(await holder(stack))
    os.kill(pid, signal.SIGSTOP)
    try:
        check(await stream.go_on(), SAID)
    finally:
        os.kill(pid, signal.SIGCONT)
