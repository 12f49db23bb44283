"""What one GPU holds: an encoder of MMS-1B's size, 64 languages mixed. Needs CUDA.

    python -m benchmarks.gpu_capacity

Random weights in MMS-1B's shape (48 layers by 1280, attention adapters of rank 16), bfloat16, all
1,162 adapters of MMS resident. On this process's own threads, without gRPC:

- `offline`: rows of 10 s, a batch of each size, eager and compiled;
- `streams`: each stream sends a chunk of 160 or 960 ms as it is spoken; its segment so far, up to
  6 s and then anew, is encoded again with every chunk, in a batch with all others that wait, and
  its text is on the host before it counts. Latency is from the chunk's last sample; a stream whose
  chunk still waits when the next one comes is answered for both at once, as late as for the first;
- `swap`: an adapter from pinned host memory into its slot, and what a batch notices of 20 a second.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.progress import track
from torch import Tensor
from transformers import Wav2Vec2ForCTC

from benchmarks.mms_shaped import (
    MMS_1B,
    Shape,
    adapter_shape,
    config,
    encoder_of,
    published_adapter,
    speech_like,
)
from benchmarks.plot import plot
from benchmarks.report import quantile, write
from speech.adapters.kinds import ATTENTION, AdapterShape, from_file
from speech.adapters.slots import AdapterSlots, SlotLimits
from speech.encoder import Encoded
from speech.features import SAMPLE_RATE_HZ
from speech.precision import Placement

N_ADAPTER, N_LANGUAGE, MAX_VOCAB = 1162, 64, 128
N_DISTINCT = 16
"""Adapters that are really drawn; the rest are copies of them under other numbers."""
OFFLINE_ROWS, OFFLINE_ROW_S = (8, 16, 32, 64, 128), 10.0
CHUNKS_MS = (160, 960)
STREAMS = (16, 32, 64, 128, 256, 512)
SEGMENT_MS, LEVEL_S, MAX_ROWS = 6000, 10.0, 64
QUANTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}


@dataclass(frozen=True)
class Packed:
    """An adapter in host memory, ready for a slot."""

    shape: AdapterShape
    packed: Tensor


class Served:
    """The encoder with all its adapters on one device."""

    def __init__(self, shape: Shape, placement: Placement, n_adapter: int) -> None:
        self.placement = placement
        torch.manual_seed(0)
        with placement.device:
            model = Wav2Vec2ForCTC(config(shape)).requires_grad_(False).eval()
            self._encoder = encoder_of(model).to(placement.device, placement.dtype)
        self._encode: Callable[..., Encoded] = self._encoder
        limits = SlotLimits(n_adapter, shape.rank, MAX_VOCAB)
        self.slots = AdapterSlots(limits, self._encoder, placement)
        self.adapters = []
        for number in range(N_DISTINCT):
            size = adapter_shape(shape, number)
            tensors = from_file(ATTENTION, published_adapter(size, number))
            self.adapters.append(Packed(size, self.slots.pack(size, tensors)))
        for number in range(n_adapter):
            self.swap(1 + number, number)

    def swap(self, slot: int, number: int) -> None:
        """Put adapter `number` into `slot`; returns when it can serve."""
        adapter = self.adapters[number % N_DISTINCT]
        self.slots.write(slot, adapter.shape, adapter.packed)

    @torch.inference_mode()
    def batch(self, audio: Sequence[Tensor], slots: Sequence[int]) -> list[list[int]]:
        """Audio on the host to the best class of each frame, on the host."""
        adapters = self.slots.batch(slots)
        encoded = self._encode(*self._encoder.features(audio), adapters)
        best: list[list[int]] = adapters.log_probs(encoded).argmax(dim=-1).tolist()
        return best

    def compile(self) -> None:
        """Compile the encoder, adapters and all."""
        self._encode = torch.compile(self._encoder, dynamic=False)


def main() -> None:
    """Measure and write the results."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("gpu_capacity needs a CUDA device, and there is none: nothing measured")
    began = time.perf_counter()
    served = Served(MMS_1B, Placement(torch.device("cuda"), torch.bfloat16), N_ADAPTER)
    rows: list[dict[str, Any]] = [
        {
            "measure": "resident",
            "adapters": N_ADAPTER,
            "loaded_in_s": round(time.perf_counter() - began, 1),
            "device_memory_gib": round(torch.cuda.memory_allocated() / 2**30, 1),
        }
    ]
    rows += [_swap(served), *_storm(served)]
    rows += offline(served, "eager")
    rows += [row for chunk_ms in CHUNKS_MS for row in streams(served, chunk_ms)]
    served.compile()
    rows += offline(served, "compiled")
    _draw(rows)
    device = torch.cuda.get_device_name()
    print(write("gpu_capacity", rows, {"device": device, **_claims(rows)}))


def offline(served: Served, how: str) -> list[dict[str, Any]]:
    """Seconds of audio per second, by rows of a batch."""
    rows = []
    for n_row in track(OFFLINE_ROWS, description=f"offline, {how}"):
        audio = speech_like(n_row, OFFLINE_ROW_S)
        slots = [1 + row % N_LANGUAGE for row in range(n_row)]
        took_s = _repeated(lambda a=audio, s=slots: served.batch(a, s), 10)  # type: ignore[misc]
        speed = n_row * OFFLINE_ROW_S / quantile(took_s, 0.5)
        rows.append({"measure": "offline", "how": how, "rows": n_row, "rtfx": round(speed)})
    return rows


def streams(served: Served, chunk_ms: int) -> list[dict[str, Any]]:
    """Latency by number of streams, until it exceeds a chunk."""
    rows = []
    for n_stream in track(STREAMS, description=f"streams, chunks of {chunk_ms} ms"):
        latency_ms = _live(served, n_stream, chunk_ms)
        told = {name: round(quantile(latency_ms, each), 1) for name, each in QUANTILES.items()}
        row = {"measure": "streams", "chunk_ms": chunk_ms, "streams": n_stream, **told}
        rows.append(row)
        if told["p95_ms"] > chunk_ms:
            break
    return rows


def _live(served: Served, n_stream: int, chunk_ms: int) -> list[float]:
    """Latencies of the chunks of `LEVEL_S`, the first second not counted."""
    audio = speech_like(1, SEGMENT_MS / 1000)[0]
    # Chunks of different streams come at different moments, and segments begin at different times.
    due_s = [number * chunk_ms / 1000 / n_stream for number in range(n_stream)]
    spoken_ms = [number * 370 % SEGMENT_MS for number in range(n_stream)]
    latency_ms = []
    began = time.perf_counter()
    while (now := time.perf_counter() - began) < LEVEL_S:
        waiting = sorted((n for n in range(n_stream) if due_s[n] <= now), key=due_s.__getitem__)
        batch = waiting[:MAX_ROWS]
        if not batch:
            time.sleep(max(0.0, min(due_s) - now))
            continue
        first_s = [due_s[n] for n in batch]
        for n in batch:
            while due_s[n] <= now:
                due_s[n] += chunk_ms / 1000
                spoken_ms[n] = spoken_ms[n] % SEGMENT_MS + chunk_ms
        lengths = [min(spoken_ms[n], SEGMENT_MS) * SAMPLE_RATE_HZ // 1000 for n in batch]
        served.batch([audio[:length] for length in lengths], [1 + n % N_LANGUAGE for n in batch])
        done = time.perf_counter() - began
        latency_ms += [1000 * (done - first) for first in first_s if first >= 1.0]
    return latency_ms


def _swap(served: Served) -> dict[str, Any]:
    took_s = _repeated(lambda: served.swap(1, 3), 200)
    told = {name: round(1000 * quantile(took_s, each), 3) for name, each in QUANTILES.items()}
    return {"measure": "swap", "bytes": served.adapters[3].packed.nbytes, **told}


def _storm(served: Served) -> list[dict[str, Any]]:
    """A batch of 16 rows of 2 s, without swaps and with 20 a second beside it, in turn."""
    audio, slots = speech_like(16, 2.0), [1 + row for row in range(16)]
    took_s: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(4):
        for storm in took_s:
            over = threading.Event()
            swapping = threading.Thread(target=_swap_until, args=(served, over))
            if storm:
                swapping.start()
            took_s[storm] += _repeated(lambda: served.batch(audio, slots), 100)
            over.set()
            if storm:
                swapping.join()
    return [
        {
            "measure": "batch_of_others",
            "storm": storm,
            **{name: round(1000 * quantile(each, q), 2) for name, q in QUANTILES.items()},
        }
        for storm, each in took_s.items()
    ]


def _swap_until(served: Served, over: threading.Event) -> None:
    number = N_LANGUAGE
    while not over.wait(1 / 20):
        served.swap(1 + number % served.slots.limits.n_slot, number)
        number += 1


def _repeated(work: Callable[[], object], times: int) -> list[float]:
    """Seconds of each; three rounds before warm up."""
    took_s = []
    for repeat in range(times + 3):
        began = time.perf_counter()
        work()
        if repeat >= 3:
            took_s.append(time.perf_counter() - began)
    return took_s


def _claims(rows: list[dict[str, Any]]) -> dict[str, Any]:
    best = {
        how: max(r["rtfx"] for r in rows if r["measure"] == "offline" and r["how"] == how)
        for how in ("eager", "compiled")
    }
    p99 = {r["storm"]: r["p99_ms"] for r in rows if r["measure"] == "batch_of_others"}
    claims: dict[str, Any] = {
        "adapters_resident": N_ADAPTER,
        "offline_rtfx": max(best.values()),
        "compiled_over_eager": round(best["compiled"] / best["eager"], 2),
        "swap_p99_ms": next(r["p99_ms"] for r in rows if r["measure"] == "swap"),
        "others_p99_change": round(p99[True] / p99[False] - 1, 4),
    }
    for row in rows:
        if row["measure"] == "streams":
            name = f"p95_ms_{row['streams']}_streams_{row['chunk_ms']}_ms"
            claims[name] = row["p95_ms"]
    return claims


def _draw(rows: list[dict[str, Any]]) -> None:
    with plot(
        "gpu_capacity",
        "MMS-1B's shape, 64 languages mixed: end of chunk to text",
        "real-time streams",
        "latency [ms]",
    ) as axes:
        for chunk_ms in CHUNKS_MS:
            mine = [r for r in rows if r["measure"] == "streams" and r["chunk_ms"] == chunk_ms]
            for name in QUANTILES:
                axes.plot(
                    [row["streams"] for row in mine],
                    [row[name] for row in mine],
                    label=f"chunks of {chunk_ms} ms, {name[:3]}",
                )
        axes.set(xscale="log", yscale="log", xticks=STREAMS, xticklabels=STREAMS)
        axes.minorticks_off()


if __name__ == "__main__":
    main()
