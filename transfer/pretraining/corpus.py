"""All recordings of a run in one file of samples, which is mapped and not read into memory.

Decoding is the slow part of hearing, and cannot begin in the middle of every format. So each
recording is decoded once: 16 bits at 16 kHz, 115 MB an hour.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from common.audio import SAMPLE_RATE_HZ, Samples, to_wire
from common.errors import CorruptAudio, InvalidRequest
from transfer.data.audio import read_audio
from transfer.files import whole, writable, write_whole
from transfer.pretraining.recordings import LeftOut, Recording
from transfer.pretraining.settings import SHORTEST_S

SAMPLES_FILE = "audio.s16"
INDEX_FILE = "audio.json"


@dataclass(frozen=True)
class Piece:
    """A stretch of one recording.

    Attributes:
        language: BCP-47 tag.
        first: its first sample in the file.
        n_samples: 16,000 a second.
    """

    language: str
    first: int
    n_samples: int


@dataclass(frozen=True)
class Corpus:
    """What can be heard.

    Attributes:
        recordings: each whole, in the order they were named.
        left_out: those that cannot be used.
        digest: of languages, names and sizes of the files; where they lie does not matter.
        samples: int16 `[n_samples]`, of all.
    """

    recordings: tuple[Piece, ...]
    left_out: tuple[LeftOut, ...]
    digest: str
    samples: npt.NDArray[np.int16]

    def pieces(self, longest_s: float) -> list[Piece]:
        """The recordings, those that are longer cut into equal parts."""
        longest = int(longest_s * SAMPLE_RATE_HZ)
        pieces = []
        for whole_one in self.recordings:
            n_part = -(-whole_one.n_samples // longest)
            n_samples = whole_one.n_samples // n_part
            pieces += [
                Piece(whole_one.language, whole_one.first + part * n_samples, n_samples)
                for part in range(n_part)
            ]
        return pieces

    def audio(self, piece: Piece) -> Samples:
        """float32 `[n_samples]` in [-1, 1]."""
        found = self.samples[piece.first : piece.first + piece.n_samples]
        return found.astype(np.float32) / 32768.0


def gather(
    recordings: Sequence[Recording], folder: Path, advance: Callable[[], None] = lambda: None
) -> None:
    """Decode all recordings into `folder`, unless it was done; each file once.

    Raises:
        InvalidRequest: not one of them can be used.
        StoreUnavailable: there is no room.
    """
    digest = digest_of(recordings)
    if (folder / INDEX_FILE).is_file() and _index(folder)["digest"] == digest:
        return
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / INDEX_FILE).unlink(missing_ok=True)  # it must never be of other samples
    found, left_out, first = [], [], 0
    seen: set[tuple[str, Path]] = set()
    with whole(folder / SAMPLES_FILE) as file:
        for recording in recordings:
            advance()
            key = (recording.language, recording.path)
            if key in seen:
                continue
            seen.add(key)
            samples, reason = _heard(recording.path)
            if reason:
                left_out.append({"path": str(recording.path), "reason": reason})
                continue
            found.append(Piece(recording.language, first, len(samples)))
            file.write(to_wire(samples))
            first += len(samples)
        if not found:
            reasons = ", ".join(sorted({each["reason"] for each in left_out}))
            raise InvalidRequest(f"none of the {len(left_out)} recordings can be used: {reasons}")
    index = {
        "digest": digest,
        "recordings": [asdict(piece) for piece in found],
        "left_out": left_out,
    }
    write_whole(folder / INDEX_FILE, json.dumps(index, ensure_ascii=False))


def open_corpus(folder: Path) -> Corpus:
    """What `gather` has written."""
    index = _index(folder)
    return Corpus(
        recordings=tuple(Piece(**piece) for piece in index["recordings"]),
        left_out=tuple(LeftOut(Path(x["path"]), x["reason"]) for x in index["left_out"]),
        digest=index["digest"],
        samples=np.memmap(folder / SAMPLES_FILE, np.int16, "r"),
    )


def digest_of(recordings: Sequence[Recording]) -> str:
    """See `Corpus.digest`."""
    digest = hashlib.sha256()
    for recording in recordings:
        size = recording.path.stat().st_size if recording.path.is_file() else -1
        digest.update(json.dumps([recording.language, recording.path.name, size]).encode())
    return digest.hexdigest()


def _heard(path: Path) -> tuple[Samples, str]:
    """A recording's samples, and why they are of no use; empty where they are."""
    nothing = np.zeros(0, np.float32)
    try:
        path.stat()  # FFmpeg says no more than that it cannot decode
        samples = read_audio(path)
    except CorruptAudio:
        return nothing, "audio cannot be decoded"
    except OSError as error:
        return nothing, f"it cannot be read ({error.strerror})"
    return samples, _useless(samples)


def _useless(samples: Samples) -> str:
    if len(samples) < SHORTEST_S * SAMPLE_RATE_HZ:
        return f"shorter than {SHORTEST_S:g} s"
    if not np.isfinite(samples).all():
        return "audio holds values that are no numbers"
    return "" if samples.any() else "nothing but silence"


def _index(folder: Path) -> dict[str, Any]:
    index: dict[str, Any] = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
    return index
