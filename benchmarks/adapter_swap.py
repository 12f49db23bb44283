"""How soon an adapter serves, and what others notice of it.

    python -m benchmarks.adapter_swap [--rounds 6]

Adapters of 10 MB (float32, in MMS's published form) for an encoder of MMS's architecture, 12 layers
by 512, through the worker's own `AdapterCache`: from host memory into a slot, and from disk (its
files are in the page cache) over checksum, checks and packing into a slot. Every swap pushes
another adapter out.

Meanwhile others are served: batches of 4 rows of 1 s, one after another on the model's thread,
their adapters held. Their latency without swaps, and in a storm of them: 20 in a second from host
memory, 5 in a second from disk, and `unpaced` from host memory as fast as they go. The conditions
take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from torch import Tensor
from transformers import Wav2Vec2ForCTC

from asr_service.host_memory import HostMemory
from asr_service.residency import AdapterCache
from benchmarks.mms_shaped import (
    FINGERPRINT,
    SMALL,
    config,
    encoder_of,
    publish,
    published_adapter,
    speech_like,
)
from benchmarks.plot import plot
from benchmarks.report import quantile, write
from common.adapter_files import AdapterFiles
from speech.adapters.card import WEIGHTS_FILE
from speech.adapters.kinds import ATTENTION, AdapterShape
from speech.adapters.slots import AdapterSlots, SlotLimits
from speech.adapters.store import AdapterStore
from speech.encoder import SharedEncoder
from speech.precision import place

RANK, N_VOCAB = 208, 64
"""Make 10 MB of an adapter for this encoder."""
N_ADAPTER, N_HELD, N_SLOT = 12, 4, 6
N_TIMED, N_BATCH, ROW_S = 100, 150, 1.0
NONE = "none"
STORMS = {"host": 1 / 20, "disk": 1 / 5, "unpaced": 0.0}
"""Seconds from one swap to the next."""


class _Serving:
    """Slots behind the worker's cache, and a model that serves from them."""

    def __init__(self, encoder: SharedEncoder, directory: str, host_bytes: int) -> None:
        placement = place("cpu")
        self._encoder = encoder.to(placement.device, placement.dtype)
        self._slots = AdapterSlots(SlotLimits(N_SLOT, RANK, N_VOCAB), encoder, placement)
        store = AdapterStore(AdapterFiles(directory), FINGERPRINT, encoder.d_model)
        self.cache = AdapterCache(store, HostMemory(host_bytes), self._slots)

    @torch.inference_mode()
    def batch(self, audio: list[Tensor], slots: list[int]) -> Tensor:
        """Audio to log-probabilities, as a worker does it."""
        adapters = self._slots.batch(slots)
        return adapters.log_probs(self._encoder(*self._encoder.features(audio), adapters))


async def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=6, help="turns of each condition")
    rounds: int = parser.parse_args().rounds
    torch.manual_seed(0)
    encoder = encoder_of(Wav2Vec2ForCTC(config(SMALL)))
    with tempfile.TemporaryDirectory(prefix="adapters-") as directory:
        keys, n_bytes = _put_adapters(Path(directory))
        host, disk = (_Serving(encoder, directory, size) for size in (2**40, 0))
        try:
            sides = {"host": host, "disk": disk}
            swap_ms = {name: await _swaps(side, keys) for name, side in sides.items()}
            others_ms: dict[str, list[float]] = {name: [] for name in (NONE, *STORMS)}
            for _ in track(range(rounds), description="rounds"):
                for name in others_ms:
                    side = disk if name == "disk" else host
                    others_ms[name] += await _others(side, keys, name)
        finally:
            await host.cache.close()
            await disk.cache.close()
    _draw(swap_ms, others_ms)
    rows = [{"swap_from": name, **_told(each)} for name, each in swap_ms.items()]
    rows += [{"storm": name, **_told(each)} for name, each in others_ms.items()]
    print(write("adapter_swap", rows, _claims(swap_ms, others_ms, n_bytes)))


def _put_adapters(directory: Path) -> tuple[list[str], int]:
    """The keys of the adapters, and the size of one's file."""
    shape = AdapterShape(ATTENTION, SMALL.d_model, RANK, tuple(range(SMALL.n_layers)), N_VOCAB)
    names = [f"language{number}" for number in range(N_ADAPTER)]
    keys = [
        publish(directory, name, shape, published_adapter(shape, number))
        for number, name in enumerate(names)
    ]
    return keys, (directory / names[0] / WEIGHTS_FILE).stat().st_size


async def _swaps(side: _Serving, keys: list[str]) -> list[float]:
    """Milliseconds until an adapter that was in no slot could serve."""
    took_ms = []
    for number, key in zip(range(len(keys) + N_TIMED), cycle(keys), strict=False):
        began = time.perf_counter()
        async with side.cache.hold(key):
            if number >= len(keys):  # the first time all come from disk
                took_ms.append(1000 * (time.perf_counter() - began))
    return took_ms


async def _others(side: _Serving, keys: list[str], storm: str) -> list[float]:
    """Milliseconds of each of `N_BATCH` batches of those who do not change their adapters."""
    audio = speech_like(N_HELD, ROW_S)
    loop = asyncio.get_running_loop()
    took_ms = []
    async with AsyncExitStack() as stack:
        held = [await stack.enter_async_context(side.cache.hold(key)) for key in keys[:N_HELD]]
        slots = [resident.slot for resident in held]
        model = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="model"))
        swapping = asyncio.create_task(_storm(side, keys[N_HELD:], STORMS.get(storm)))
        for _ in range(N_BATCH):
            began = time.perf_counter()
            await loop.run_in_executor(model, side.batch, audio, slots)
            took_ms.append(1000 * (time.perf_counter() - began))
        swapping.cancel()
        await asyncio.gather(swapping, return_exceptions=True)
    return took_ms


async def _storm(side: _Serving, keys: list[str], every_s: float | None) -> None:
    if every_s is None:
        return
    for key in cycle(keys):
        due = asyncio.create_task(asyncio.sleep(every_s))
        async with side.cache.hold(key):
            pass
        await due


def _told(each: list[float]) -> dict[str, Any]:
    shares = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
    told = {name: round(quantile(each, share), 2) for name, share in shares.items()}
    return {"n": len(each), **told}


def _claims(
    swap_ms: dict[str, list[float]], others_ms: dict[str, list[float]], n_bytes: int
) -> dict[str, Any]:
    p99_ms = {name: quantile(each, 0.99) for name, each in others_ms.items()}
    changes = {name: round(p99_ms[name] / p99_ms[NONE] - 1, 4) for name in STORMS}
    return {
        "adapter_mb": round(n_bytes / 1e6, 1),
        "host_to_serving_ms": round(quantile(swap_ms["host"], 0.5), 2),
        "disk_to_serving_ms": round(quantile(swap_ms["disk"], 0.5), 2),
        "host_to_serving_p95_ms": round(quantile(swap_ms["host"], 0.95), 2),
        "disk_to_serving_p95_ms": round(quantile(swap_ms["disk"], 0.95), 2),
        "others_p99_change": changes["host"],
        "others_p99_change_from_disk": changes["disk"],
        "others_p99_change_unpaced": changes["unpaced"],
    }


def _draw(swap_ms: dict[str, list[float]], others_ms: dict[str, list[float]]) -> None:
    with plot(
        "adapter_swap",
        "Adapters of 10 MB: until it serves, and what others notice",
        "latency [ms]",
        "share within",
    ) as axes:
        for name, each in swap_ms.items():
            _distribution(axes, each, f"swap from {name}")
        for name, each in others_ms.items():
            _distribution(axes, each, f"batch of others, storm: {name}")
        axes.set(xscale="log", ylim=(0, 1.02))


def _distribution(axes: Any, each: list[float], label: str) -> None:
    # A hundred points say it all, and keep the file small.
    shares = [number / 100 for number in range(1, 101)]
    axes.plot([quantile(each, share) for share in shares], shares, label=label, markevery=20)


if __name__ == "__main__":
    asyncio.run(main())
