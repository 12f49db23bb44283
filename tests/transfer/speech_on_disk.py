"""Small recordings and the folders that others publish speech in, written for tests."""

from __future__ import annotations

import wave
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import av
import numpy as np

from transfer.data.audio import Samples, write_flac


def noise(seed: int, seconds: float = 1.5, level: float = 0.1) -> Samples:
    """Unlike that of any other seed, and as loud as speech."""
    samples = np.random.default_rng(seed).normal(0.0, level, round(16_000 * seconds))
    return samples.astype(np.float32)


def record(path: Path, samples: Samples) -> Path:
    """Write a recording as `.flac`, `.wav` or `.mp3`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pcm = (np.clip(samples, -1.0, 1.0) * 32767).round().astype(np.int16)
    if path.suffix == ".flac":
        write_flac(path, samples)
    elif path.suffix == ".wav":
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes(pcm.tobytes())
    else:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libmp3lame", rate=16_000, layout="mono")
            frame = av.AudioFrame.from_ndarray(pcm[None, :], format="s16p", layout="mono")
            frame.sample_rate = 16_000
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
    return path


def write_tsv(path: Path, rows: Iterable[Sequence[str]]) -> Path:
    """Write rows, header first, as Common Voice does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    return path


def sentence(number: int) -> str:
    """Unlike any other number's: no three words stand in two."""
    letters = "abcdefghij"
    word = "".join(letters[int(digit)] for digit in f"{number:03d}")
    return f"{word}x {word}y {word}z"


SCRIPTED = ("client_id", "path", "sentence_id", "sentence", "up_votes", "locale")


def common_voice(folder: Path, splits: Mapping[str, Sequence[tuple[int, str]]]) -> Path:
    """A release, the folder called by its locale: of each table, its clips and who speaks them."""
    for name, clips in splits.items():
        rows = [
            (who, f"cv_{n}.mp3", f"s{n}", sentence(n).title(), "2", folder.name) for n, who in clips
        ]
        write_tsv(folder / f"{name}.tsv", [SCRIPTED, *rows])
        for number, _ in clips:
            if not (folder / "clips" / f"cv_{number}.mp3").exists():
                record(folder / "clips" / f"cv_{number}.mp3", noise(number))
    return folder


def fleurs(folder: Path, splits: Mapping[str, Sequence[int]]) -> Path:
    """FLEURS: tables with no header and recordings in a folder for each."""
    for name, numbers in splits.items():
        rows = [
            (str(n), f"{n}.wav", f"{sentence(n)}.", sentence(n), "a | b", "24000", "FEMALE")
            for n in numbers
        ]
        write_tsv(folder / f"{name}.tsv", rows)
        for number in numbers:
            record(folder / "audio" / name / f"{number}.wav", noise(number))
    return folder
