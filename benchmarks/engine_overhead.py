"""What a worker makes of its encoder: its throughput against that of the encoder alone.

    python -m benchmarks.engine_overhead [--repeats 5]

A worker process, over gRPC: 48 spans of real clips at a time, five languages mixed, the audio of
each sent as fast as it is taken and its end asked for once, no partials. Log-mel features,
adapters, heads, CTC decoding, word times, confidence, the wire, and this program's own sending are
in it. Against it, in this process, on as many threads and in the same precision: the encoder's
forward and nothing else, on features made beforehand, in the batches that the worker's own schedule
makes of the same spans. `with_lexicon` adds the lexicon's search, which a worker runs beside the
encoder, on the same cores. The worker is given time (a deadline of a minute), so that it works for
throughput.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import grpc
import numpy as np
import torch
from panglot.v1 import asr_pb2, asr_pb2_grpc
from torch import Tensor

from asr_service.jobs import Excerpt, Job
from asr_service.residency import Resident
from asr_service.schedule import LaneRoom, Schedule, ScheduleLimits
from asr_service.settings import WorkerSettings
from benchmarks.plot import COLOURS, plot
from benchmarks.report import write
from benchmarks.turns import ratio
from client.aio import AsyncClient
from client.audio import open_audio
from client.demo import Clip, read_clips
from client.stack import Stack, StackOptions
from common.audio import from_wire
from common.settings import load_settings
from speech.adapters.card import AdapterCard, read_card, write_card
from speech.base_model import load_base_model
from speech.encoder import FRAME_MS, SharedEncoder
from speech.precision import limit_threads, place

ROOT = Path(__file__).parent.parent
CLIPS = ROOT / "tests" / "audio" / "clips.json"
IN_FLIGHT, TIMES = 48, 10
"""Spans at once, and how often each clip is sent."""
PLAIN = "-plain"
"""Ends the id of an adapter without its lexicon."""


@dataclass(frozen=True)
class Spoken:
    """A span: s16le at 16 kHz, and the card of the adapter that hears it."""

    pcm: bytes
    card: AdapterCard

    @property
    def seconds(self) -> float:
        """Its duration."""
        return len(self.pcm) / 32_000


async def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5, help="rounds that are counted")
    repeats: int = parser.parse_args().repeats
    with tempfile.TemporaryDirectory(prefix="adapters-") as directory:
        cards = _put_adapters(Path(directory))
        plain, full = _spans(cards, PLAIN), _spans(cards, "")
        bare = _Bare(plain)
        with _environment(directory):
            stack = Stack(StackOptions(workers=1, port=0))
        try:
            with _environment(directory):
                await stack.start()
            async with AsyncClient(stack.address) as client:
                address = (await client.fleet()).workers[0].address
            sides: dict[str, Callable[[], Awaitable[float]]] = {
                "encoder": lambda: asyncio.to_thread(bare),
                "worker": lambda: _send_all(address, plain),
                "with_lexicon": lambda: _send_all(address, full),
            }
            took_s: dict[str, list[float]] = {name: [] for name in sides}
            for repeat in range(repeats + 1):
                for name, side in sides.items():
                    seconds = await side()
                    if repeat:  # the first round loads the adapters and warms up
                        took_s[name].append(seconds)
        finally:
            await stack.stop()
    audio_s = sum(span.seconds for span in plain)
    _draw(took_s, audio_s)
    print(write("engine_overhead", _rows(took_s, audio_s, bare), _claims(took_s)))


@contextmanager
def _environment(models: str) -> Iterator[None]:
    """What the worker is told: which adapters, and that throughput is wanted."""
    told = {"PANGLOT_MODELS": models, "PANGLOT_WORKER_FINAL_SECONDS": "60"}
    before = dict(os.environ)
    os.environ.update(told)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _put_adapters(directory: Path) -> dict[str, AdapterCard]:
    """The shipped adapters, and each once more without its lexicon; by id."""
    cards = {}
    for folder in sorted(path.parent for path in (ROOT / "models").glob("*/card.json")):
        card = read_card(folder)
        for each in (card, dataclasses.replace(card, id=card.id + PLAIN, lexicon=None)):
            shutil.copytree(folder, directory / each.id)
            write_card(each, directory / each.id)
            cards[each.id] = each
    return cards


def _spans(cards: dict[str, AdapterCard], suffix: str) -> list[Spoken]:
    """Every clip in one language that has an adapter, `TIMES` over; languages mixed."""
    clips = [clip for clip in read_clips(CLIPS) if len(clip.languages) == 1]
    served = [clip for clip in clips if clip.languages[0] in cards]
    spoken = [Spoken(_pcm(clip), cards[clip.languages[0] + suffix]) for clip in served]
    order = np.random.default_rng(0).permutation(TIMES * len(spoken))
    return [spoken[number % len(spoken)] for number in order]


def _pcm(clip: Clip) -> bytes:
    with open_audio(clip.path) as source:
        return b"".join(source)


class _Bare:
    """The encoder alone, on the batches that the worker's schedule makes."""

    def __init__(self, spans: Sequence[Spoken]) -> None:
        limit_threads(len(os.sched_getaffinity(0)))
        placement = place("cpu")
        self._encoder: SharedEncoder = load_base_model().encoder.to(placement.device)
        self._encoder.to(placement.dtype)
        audio = [[torch.from_numpy(job.audio) for job in batch] for batch in _batches(spans)]
        self.batches: list[tuple[Tensor, Tensor]] = [self._encoder.features(x) for x in audio]

    @torch.inference_mode()
    def __call__(self) -> float:
        """Seconds for all batches."""
        began = time.perf_counter()
        for features, lengths in self.batches:
            self._encoder(features, lengths)
        return time.perf_counter() - began


def _batches(spans: Sequence[Spoken]) -> Iterator[tuple[Job, ...]]:
    """As the worker forms them while `IN_FLIGHT` spans are always there."""
    settings = load_settings(WorkerSettings)
    schedule = Schedule(
        ScheduleLimits(
            max_rows=settings.max_batch_rows,
            max_frames=int(settings.max_batch_s * 1000) // FRAME_MS,
            final_deadline_s=60.0,
            max_jobs=IN_FLIGHT,
            max_waiting_frames=int(settings.max_waiting_s * 1000) // FRAME_MS,
        )
    )
    jobs = [_job(number, span) for number, span in enumerate(spans)]
    for job in jobs[:IN_FLIGHT]:
        schedule.add(job)
    coming = iter(jobs[IN_FLIGHT:])
    while batch := schedule.take(0.0, LaneRoom(0, 0)):
        yield batch
        for _, job in zip(batch, coming, strict=False):
            schedule.add(job)


def _job(number: int, span: Spoken) -> Job:
    excerpt = Excerpt(from_wire(span.pcm))
    return Job(
        span_id=str(number),
        newest=lambda: excerpt,
        excerpt=excerpt,
        language=span.card.language,
        resident=Resident(1, span.card, None),
        final=True,
        submitted=float(number),
        deadline=float(number),
        boosted_phrases=(),
        answer=asyncio.get_running_loop().create_future(),
    )


async def _send_all(address: str, spans: Sequence[Spoken]) -> float:
    """Seconds until the last of `spans` is answered, `IN_FLIGHT` at a time."""
    waiting = iter(spans)
    async with grpc.aio.insecure_channel(address) as channel:
        stub: asr_pb2_grpc.AsrServiceAsyncStub = asr_pb2_grpc.AsrServiceStub(channel)

        async def sender() -> None:
            for span in waiting:
                async for response in stub.Recognize(_requests(span)):
                    assert response.HasField("final")

        began = time.perf_counter()
        await asyncio.gather(*(sender() for _ in range(IN_FLIGHT)))
        return time.perf_counter() - began


async def _requests(span: Spoken) -> AsyncIterator[asr_pb2.RecognizeRequest]:
    config = asr_pb2.SpanConfig(
        span_id="benchmark", language=span.card.language, adapter=span.card.key
    )
    yield asr_pb2.RecognizeRequest(config=config)
    yield asr_pb2.RecognizeRequest(pcm_s16le=span.pcm)
    finalize = asr_pb2.Finalize(sequence=1, sample_count=len(span.pcm) // 2)
    yield asr_pb2.RecognizeRequest(finalize=finalize)


def _rows(took_s: dict[str, list[float]], audio_s: float, bare: _Bare) -> list[dict[str, Any]]:
    sizes = [len(lengths) for _, lengths in bare.batches]
    return [
        {
            "side": name,
            "audio_s": round(audio_s, 1),
            "took_s": [round(each, 2) for each in seconds],
            "audio_s_per_s": round(audio_s / median(seconds), 1),
            "batches_of_encoder": len(sizes),
            "rows_per_batch_of_encoder": round(sum(sizes) / len(sizes), 1),
        }
        for name, seconds in took_s.items()
    ]


def _claims(took_s: dict[str, list[float]]) -> dict[str, Any]:
    bare = took_s["encoder"]
    return {
        "worker_over_bare_encoder": ratio(took_s["worker"], bare),
        "worker_with_lexicon_over_bare_encoder": ratio(took_s["with_lexicon"], bare),
    }


def _draw(took_s: dict[str, list[float]], audio_s: float) -> None:
    with plot(
        "engine_overhead",
        "A worker against its encoder, same batches",
        "",
        "throughput [s of audio per s]",
    ) as axes:
        names = [name.replace("_", " ") for name in took_s]
        speed = [audio_s / median(seconds) for seconds in took_s.values()]
        axes.bar(names, speed, color=COLOURS[: len(names)])


if __name__ == "__main__":
    asyncio.run(main())
