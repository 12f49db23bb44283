"""The whole stack on this machine: latency, accuracy, speed and memory, over real sockets.

    python -m benchmarks.end_to_end [--repeats 5]

Every clip of `tests/audio` is streamed in real time, `--repeats` times over, in an order that
differs each time; nobody says which language it is. Latency is from sending the last speech of a
clip (the last 10 ms within 40 dB of its loudest) to the arrival of its last final, the silence
that ends a segment included. Then all clips are sent as fast as they are taken, by one sender and
by four.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from pathlib import Path
from statistics import mean
from typing import Any

from rich.progress import track

from benchmarks.plot import COLOURS, plot
from benchmarks.report import spread, write
from client.aio import AsyncClient
from client.demo import Clip, Heard, read_clips, stream
from client.scoring import word_errors
from client.stack import Stack, StackOptions
from client.types import Fleet, Options

CLIPS = Path(__file__).parent.parent / "tests" / "audio" / "clips.json"


async def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5, help="times each clip is streamed")
    repeats: int = parser.parse_args().repeats
    clips = read_clips(CLIPS)
    candidates = tuple(sorted({tag for clip in clips for tag in clip.languages}))
    stack = Stack(StackOptions(port=0))
    try:
        await stack.start()
        async with AsyncClient(stack.address) as client:
            heard = await _live(client, clips, candidates, repeats)
            offline = [await _offline(client, clips, candidates, n) for n in (1, 4)]
            fleet = await client.fleet()
    finally:
        await stack.stop()
    rows = [_row(clip, [each for each in heard if each.clip == clip]) for clip in clips] + offline
    _draw(rows)
    print(write("end_to_end", rows, _claims(heard, offline, fleet)))


async def _live(
    client: AsyncClient, clips: list[Clip], candidates: tuple[str, ...], repeats: int
) -> list[Heard]:
    await stream(client, clips[0], candidates, lambda event: None)  # the first one warms up
    order = [
        clip
        for repeat in range(repeats)
        for clip in random.Random(repeat).sample(clips, len(clips))
    ]
    return [
        await stream(client, clip, candidates, lambda event: None)
        for clip in track(order, description="streaming in real time")
    ]


async def _offline(
    client: AsyncClient, clips: list[Clip], candidates: tuple[str, ...], n_sender: int
) -> dict[str, Any]:
    waiting = [clip.path for clip in clips for _ in range(4)]
    audio_ms = 0

    async def send() -> None:
        nonlocal audio_ms
        while waiting:
            path = waiting.pop()
            transcript = await client.transcribe_file(path, Options(candidates=candidates))
            audio_ms += transcript.duration_ms

    began = time.monotonic()
    await asyncio.gather(*(send() for _ in range(n_sender)))
    took_s = time.monotonic() - began
    return {
        "senders": n_sender,
        "audio_s": round(audio_ms / 1000, 1),
        "took_s": round(took_s, 1),
        "times_real_time": round(audio_ms / 1000 / took_s, 1),
        "real_time_factor": round(took_s / (audio_ms / 1000), 3),
    }


def _row(clip: Clip, heard: list[Heard]) -> dict[str, Any]:
    errors = [word_errors(clip.text, each.text) for each in heard]
    return {
        "clip": clip.path.name,
        "languages": clip.languages,
        "adapters": sorted({segment.adapter for each in heard for segment in each.segments}),
        "right_language": sum(each.languages == clip.languages for each in heard) / len(heard),
        "wer": round(sum(e for e, _ in errors) / max(1, sum(n for _, n in errors)), 3),
        "latency_ms": [round(each.latency_ms) for each in heard if each.latency_ms is not None],
    }


def _claims(heard: list[Heard], offline: list[dict[str, Any]], fleet: Fleet) -> dict[str, Any]:
    latency = spread([each.latency_ms for each in heard if each.latency_ms is not None])
    errors = [word_errors(each.clip.text, each.text) for each in heard]
    return {
        "latency_p50_ms": latency["p50"],
        "latency_p95_ms": latency["p95"],
        "latency_max_ms": latency["max"],
        "unanswered": sum(each.latency_ms is None for each in heard),
        "right_language": round(mean(each.languages == each.clip.languages for each in heard), 3),
        "wer": round(sum(e for e, _ in errors) / sum(n for _, n in errors), 3),
        "real_time_factor_one_sender": offline[0]["real_time_factor"],
        "times_real_time_one_sender": offline[0]["times_real_time"],
        "times_real_time_four_senders": offline[1]["times_real_time"],
        "worker_memory_mib": round(max(worker.memory_bytes for worker in fleet.workers) / 2**20),
    }


def _draw(rows: list[dict[str, Any]]) -> None:
    with plot("end_to_end", "One live stream", "clip", "end of speech to final [ms]") as axes:
        for row in rows:
            if latency_ms := row.get("latency_ms"):
                name = [row["clip"].partition(".")[0]] * len(latency_ms)
                axes.plot(name, latency_ms, "o", color=COLOURS[0], alpha=0.6)
        axes.tick_params(axis="x", rotation=45)
        axes.set(ylim=(0, None))


if __name__ == "__main__":
    asyncio.run(main())
