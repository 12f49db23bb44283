"""What is published is heard by the next stream: nothing is restarted, no stream is cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from client.aio import AsyncClient
from common.adapter_files import AdapterFiles
from speech.adapters.card import WEIGHTS_FILE, read_card
from speech.adapters.store import open_weights
from tests.stack.adapters import RANDOM, random_candidate
from tests.stack.clips import clip
from tests.stack.running import PANGLOT, RunningStack, eventually
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
from transfer.publishing.candidate import Candidate
from transfer.publishing.publish import publish
from transfer.publishing.rollout import promote, rollback

PCM = clip("it-1").pcm


class Publisher:
    """Publishes to the store that a running stack reads, in a language new to it."""

    def __init__(self, stack: RunningStack, language: str) -> None:
        self.stack = stack
        self.language = language
        self.store = Path(stack.settings()["PANGLOT_MODELS"])
        self.files = AdapterFiles(str(self.store))

    def made(self, seed: int) -> Candidate:
        """A candidate for the stack's base."""
        folder = self.store / f"{RANDOM[0]}-random"
        like = read_card(folder)
        shape, _ = open_weights(like, (folder / WEIGHTS_FILE).read_bytes())
        return random_candidate(self.language, like, shape.d_model, seed)

    async def publish(self, seed: int, canary: float | None = None) -> None:
        """What `panglot publish` does, without starting a process for it."""
        made = await asyncio.to_thread(self.made, seed)
        await asyncio.to_thread(publish, self.files, made, canary=canary)

    async def hearing(self) -> set[str]:
        """What hears a short stream."""
        first = configuration(fixed=self.language)
        return set(adapters(await talk(self.stack.address, [first, *pieces(PCM[:32_000]), END])))

    async def until_served(self, adapter: str) -> None:
        """Wait until the gateway knows."""

        async def asked() -> bool:
            async with AsyncClient(self.stack.address) as client:
                return any(each.served_by == adapter for each in await client.languages())

        await eventually(asked, lambda: f"{adapter} is not served")

    async def until_logged(self, words: str) -> None:
        """Wait until the gateway says so."""

        async def asked() -> bool:
            return words in self.stack.log("gateway")

        await eventually(asked, lambda: f"the gateway does not say {words!r}")


def adapters(outcome: Outcome) -> list[str]:
    """What heard a stream that went well, final by final."""
    check_protocol(outcome.events)
    return [final.adapter for final in outcome.finals]


async def test_a_language_is_taught_to_a_running_stack(stack: RunningStack, tmp_path: Path) -> None:
    guarani = Publisher(stack, "gn")
    first = configuration(fixed="gn")
    refused = await talk(stack.address, [first, END])
    assert refused.code.name == "INVALID_ARGUMENT"

    # From the command line, as it is typed.
    guarani.made(1).write(tmp_path / "gn")
    process = await asyncio.create_subprocess_exec(
        *(PANGLOT, "publish", "gn", "--runs", tmp_path, "--store", guarani.store),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    assert process.returncode == 0, complained
    assert b"gn: gn-random@1 serves all streams" in said
    await guarani.until_served("gn-random@1")

    # A stream is in the middle of a segment when the next version comes.
    heard, published = asyncio.Event(), asyncio.Event()

    async def speaking() -> AsyncIterator[Request]:
        yield first
        while not published.is_set():
            async for piece in paced(PCM):
                yield piece
        yield END

    def noticed(event: Event) -> None:
        if event.HasField("partial"):
            heard.set()

    running = asyncio.create_task(talk(stack.address, speaking(), noticed))
    await heard.wait()
    await guarani.publish(2)
    await guarani.until_served("gn-random@2")
    published.set()
    outcome = await running
    served = adapters(outcome)
    assert served[0] == "gn-random@1"
    assert served == sorted(served), "a segment went back to the version before"
    for final in outcome.finals:
        partials = {
            event.partial.adapter
            for event in outcome.events
            if event.HasField("partial") and event.partial.segment == final.segment
        }
        assert partials <= {final.adapter}, "a segment was heard by two versions"

    assert await guarani.hearing() == {"gn-random@2"}
    await asyncio.to_thread(rollback, guarani.files, "gn")
    await guarani.until_served("gn-random@1")
    assert await guarani.hearing() == {"gn-random@1"}


async def test_a_canary_hears_its_share_and_costs_nobody_a_word(stack: RunningStack) -> None:
    quechua = Publisher(stack, "qu")
    await quechua.publish(1)
    await quechua.until_served("qu-random@1")
    await quechua.publish(2, canary=50)
    await quechua.until_logged("qu-random@2 for 50 %")
    found = await asyncio.gather(*(quechua.hearing() for _ in range(16)))
    assert all(len(each) == 1 for each in found), "a stream was heard by two versions"
    assert set.union(*found) == {"qu-random@1", "qu-random@2"}
    await asyncio.to_thread(promote, quechua.files, "qu")
    await quechua.until_served("qu-random@2")

    # One that no worker can load: what is stable hears the stream.
    await quechua.publish(3, canary=99.99)
    (quechua.store / "qu-random@3" / WEIGHTS_FILE).write_bytes(b"not what the card says")
    await quechua.until_logged("qu-random@3 for 99.99 %")
    assert await quechua.hearing() == {"qu-random@2"}
    await quechua.until_logged("canary failed")
    assert "sha256 of adapter.safetensors is" in stack.log("gateway")
