"""Which language is spoken: how often right, of new speakers, and how fast over the wire.

    python -m benchmarks.lid [--runs runs/language-id] [--windows 60]

Accuracy after 0.5, 1, 2 and 3 s of speech, chosen among the taught languages and among all that
the model knows. Clips are held out. Where a language has two corpora, of one speaker each, the head
that judges one of them learned from the other: `panglot language-id train` leaves both out in turn
and keeps those heads in its run. Of the other languages there is one speaker, whom the head knows;
rows say which is which. Beside it the model without a head, as it is and padded to 6 s.
Then the service, alone on the machine: one 2 s window at a time, and many at once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import torch
from panglot.v1 import lid_pb2, lid_pb2_grpc

from benchmarks.lid_plot import draw
from benchmarks.report import spread, write
from client import probes
from client.stack import free_ports
from client.supervisor import Child, Supervisor
from common.audio import SAMPLE_RATE_HZ, to_wire
from speech.base_model import load_whisper
from speech.language_id.head import HeadCard, LanguageHead, load_head
from speech.precision import place
from speech.whisper.language_id import WINDOW_SAMPLES, WhisperLanguageIdentifier
from transfer.data.audio import Samples, read_audio
from transfer.data.manifest import Clip, read_manifest
from transfer.identification.crops import speech_of
from transfer.identification.lesson import corpus_of
from transfer.identification.train import folds

WINDOWS_S = (0.5, 1.0, 2.0, 3.0)
SHIPPED = Path("models/language-id")
HEAD, KNOWN = "head, new speakers where two", "head, all speakers known"
TOKEN, PADDED = "language token", "language token, padded to 6 s"
_BATCH = 16
_TOO_SHORT = 0.9
"""A clip with less speech than this share of a window is not judged at that length."""


@dataclass(frozen=True)
class Judged:
    """Windows of one length.

    Attributes:
        clips: what they are of.
        posteriors: float32 `[n_window, n_language + 1]`.
    """

    clips: Sequence[Clip]
    posteriors: npt.NDArray[np.float32]


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("data"), help="corpora and manifests")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/language-id"), help="heads of folds"
    )
    parser.add_argument("--windows", type=int, default=60, help="of each corpus and length")
    parser.add_argument("--requests", type=int, default=200, help="timed, over the wire")
    arguments = parser.parse_args()
    clips = [
        clip for path in sorted(arguments.data.glob("*.jsonl")) for clip in read_manifest(path)
    ]
    base = load_whisper()
    heads = {
        corpora: load_head(arguments.runs / "_".join(corpora) if corpora else SHIPPED, base)
        for corpora in (*folds(clips), ())
    }
    model = WhisperLanguageIdentifier(base, place())
    taught = sorted({clip.language for clip in clips})
    rows: list[dict[str, Any]] = []
    confusions = {}
    for seconds in WINDOWS_S:
        windows = _windows(clips, seconds, arguments.windows)
        for name, judged in _models(model, heads, windows).items():
            rows += _rows(name, seconds, judged, model.languages, taught)
            confusions[name, seconds] = _confusion(judged, model.languages, taught)
            print(name, seconds, f"{_mean(rows, name, seconds, 'restricted'):.3f}", flush=True)
    timing = asyncio.run(_timed(clips, arguments.requests))
    draw(rows, confusions[HEAD, 2.0], taught)
    claims = {
        "accuracy_1s": round(_mean(rows, HEAD, 1.0, "restricted"), 4),
        "accuracy_2s": round(_mean(rows, HEAD, 2.0, "restricted"), 4),
        "accuracy_1s_new_speakers": round(_mean(rows, HEAD, 1.0, "restricted", new=True), 4),
        "accuracy_2s_new_speakers": round(_mean(rows, HEAD, 2.0, "restricted", new=True), 4),
        "latency_p50_ms": timing["one at a time"]["p50"],
        "latency_p95_ms": timing["one at a time"]["p95"],
        "windows_per_s": timing["windows_per_s"],
    }
    print(write("lid", [*rows, {"service": timing}], claims), claims)


def _windows(clips: Sequence[Clip], seconds: float, most: int) -> list[Window]:
    """The first `seconds` of speech of up to `most` held-out clips of each corpus."""
    chance = np.random.default_rng(0)
    wanted = int(seconds * SAMPLE_RATE_HZ)
    held_out = [clip for clip in clips if clip.split != "train"]
    counts: dict[str, int] = {}
    found = []
    for at in chance.permutation(len(held_out)):
        clip = held_out[at]
        if clip.duration_s < seconds * _TOO_SHORT or counts.get(corpus_of(clip), 0) >= most:
            continue
        speech = speech_of(read_audio(clip.audio))[:wanted]
        if len(speech) >= wanted * _TOO_SHORT:
            counts[corpus_of(clip)] = counts.get(corpus_of(clip), 0) + 1
            found.append((clip, speech))
    return found


Window = tuple[Clip, Samples]
Heads = dict[tuple[str, ...], tuple[LanguageHead, HeadCard]]
"""By the corpora that a head never heard; of none, the one that is shipped."""


def _models(
    model: WhisperLanguageIdentifier, heads: Heads, windows: Sequence[Window]
) -> dict[str, Judged]:
    """What each model says of the windows."""
    ordered = sorted(windows, key=lambda window: len(window[1]))
    clips = [clip for clip, _ in ordered]
    states, logits = _heard(model, [speech for _, speech in ordered])
    strange = {name: corpora for corpora in heads for name in corpora}
    said = {
        corpora: (head(states, logits) / card.temperature).softmax(dim=-1)
        for corpora, (head, card) in heads.items()
    }
    joined = [said[strange.get(corpus_of(clip), ())][row] for row, clip in enumerate(clips)]
    # Silence behind, to 5.5 s: with the half second that is always added, 6 s.
    whole = WINDOW_SAMPLES - SAMPLE_RATE_HZ // 2
    _, padded = _heard(model, [np.pad(speech, (0, whole - len(speech))) for _, speech in ordered])
    return {
        HEAD: Judged(clips, torch.stack(joined).numpy()),
        KNOWN: Judged(clips, said[()].numpy()),
        TOKEN: Judged(clips, logits.softmax(dim=-1).numpy()),
        PADDED: Judged(clips, padded.softmax(dim=-1).numpy()),
    }


def _heard(
    model: WhisperLanguageIdentifier, windows: Sequence[Samples]
) -> tuple[torch.Tensor, torch.Tensor]:
    parts = [
        model.heard([torch.from_numpy(window.copy()) for window in windows[at : at + _BATCH]])
        for at in range(0, len(windows), _BATCH)
    ]
    return torch.cat([states for states, _ in parts]), torch.cat([logits for _, logits in parts])


def _rows(
    model: str, seconds: float, judged: Judged, languages: Sequence[str], taught: Sequence[str]
) -> list[dict[str, Any]]:
    corpora = sorted({corpus_of(clip) for clip in judged.clips})
    strange = {name for fold in folds(judged.clips) for name in fold}
    rows = []
    for choice, names in (("restricted", list(taught)), ("open", list(languages))):
        columns = [list(languages).index(name) for name in names]
        best = np.array(names)[judged.posteriors[:, columns].argmax(axis=1)]
        right = best == np.array([clip.language for clip in judged.clips])
        for corpus in corpora:
            own = np.array([corpus_of(clip) == corpus for clip in judged.clips])
            rows.append(
                {
                    "model": model,
                    "speech_s": seconds,
                    "choice": choice,
                    "corpus": corpus,
                    "new_speaker": (corpus in strange and model == HEAD)
                    or model in (TOKEN, PADDED),
                    "windows": int(own.sum()),
                    "accuracy": round(float(right[own].mean()), 4),
                }
            )
    return rows


def _mean(
    rows: Sequence[dict[str, Any]], model: str, seconds: float, choice: str, *, new: bool = False
) -> float:
    """Over languages, each the mean of its corpora; with `new` those judged on new speakers."""
    by_language: dict[str, list[float]] = {}
    for row in rows:
        if (row["model"], row["speech_s"], row["choice"]) == (model, seconds, choice) and (
            row["new_speaker"] or not new
        ):
            by_language.setdefault(row["corpus"].partition(":")[0], []).append(row["accuracy"])
    return float(np.mean([np.mean(each) for each in by_language.values()]))


def _confusion(
    judged: Judged, languages: Sequence[str], taught: Sequence[str]
) -> npt.NDArray[np.float64]:
    """Share of each language's windows heard as each, `[n_taught, n_taught]`."""
    columns = [list(languages).index(name) for name in taught]
    best = judged.posteriors[:, columns].argmax(axis=1)
    matrix = np.zeros((len(taught), len(taught)))
    for clip, heard in zip(judged.clips, best, strict=True):
        matrix[list(taught).index(clip.language), heard] += 1
    return np.asarray(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1))


async def _timed(clips: Sequence[Clip], count: int) -> dict[str, Any]:
    """The service in a process of its own, as `panglot serve` starts it but with all cores."""
    windows = [to_wire(speech) for _, speech in _windows(clips, 2.0, 20)]
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    child = Child(
        "lid",
        (sys.executable, "-P", "-m", "lid_service"),
        probes.serving(address),
        {**os.environ, "PANGLOT_LID_ADDRESS": address},
        drain_s=1.0,
    )
    log_dir = Path(os.environ.get("TMPDIR", "/tmp"))
    supervisor = Supervisor([[child]], log_dir, lambda change: None)
    await supervisor.start()
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            stub: lid_pb2_grpc.LanguageIdServiceAsyncStub = lid_pb2_grpc.LanguageIdServiceStub(
                channel
            )
            one = [await _one(stub, windows[at % len(windows)]) for at in range(count + 20)]
            begun = time.perf_counter()
            many = [windows[at % len(windows)] for at in range(4 * count)]
            gate = asyncio.Semaphore(32)

            async def behind_gate(window: bytes) -> None:
                async with gate:
                    await _one(stub, window)

            await asyncio.gather(*(behind_gate(window) for window in many))
            taken = time.perf_counter() - begun
    finally:
        await supervisor.stop()
    return {
        "one at a time": spread(one[20:]),
        "windows_per_s": round(len(many) / taken, 1),
        "callers_at_once": 32,
    }


async def _one(stub: lid_pb2_grpc.LanguageIdServiceAsyncStub, window: bytes) -> float:
    begun = time.perf_counter()
    await stub.Identify(lid_pb2.IdentifyRequest(pcm_s16le=window))
    return (time.perf_counter() - begun) * 1000


if __name__ == "__main__":
    main()
