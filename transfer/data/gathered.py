"""Usable clips of a corpus of any size: on disk, but for what splits and paces are decided by."""

from __future__ import annotations

import json
import tempfile
from array import array
from collections.abc import Iterator
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from transfer.data.assign import UNSAID, Corpus
from transfer.data.manifest import SPLITS, Clip
from transfer.data.pace import FEWEST_CLIPS, pace_of
from transfer.data.speech_source import Row
from transfer.data.text import scoring_form


class Gathered:
    """Clips in the order they were added, in a scratch file that goes with the process."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8", dir=folder)  # noqa: SIM115
        self._texts: dict[str, int] = {}
        self._speakers: dict[str, int] = {}
        self._text_of = array("i")
        self._speaker_of = array("i")
        self._given = array("i")
        self._paced = array("b")
        self._letters = array("i")
        self._seconds = array("d")

    def __len__(self) -> int:
        return len(self._text_of)

    def add(self, row: Row, clip: Clip, *, paced: bool) -> None:
        """Keep a clip; `row` is where it came from, `paced` whether its speaker's pace counts."""
        where = {"file": row.file, "number": row.number}
        self._file.write(json.dumps([where, asdict(clip)], ensure_ascii=False) + "\n")
        text = scoring_form(clip.text, clip.language)
        self._text_of.append(self._texts.setdefault(text, len(self._texts)))
        speaker = f"{clip.source}\t{clip.speaker}"
        known = self._speakers.setdefault(speaker, len(self._speakers)) if clip.speaker else UNSAID
        self._speaker_of.append(known)
        self._given.append(UNSAID if row.split is None else SPLITS.index(row.split))
        self._paced.append(paced and known != UNSAID)
        self._letters.append(len(clip.text))
        self._seconds.append(clip.duration_s)

    def __iter__(self) -> Iterator[tuple[Row, Clip]]:
        """Each clip with the row it came from, as far as a report needs it."""
        self._file.seek(0)
        for line in self._file:
            where, fields = json.loads(line)
            clip = Clip(**fields)
            yield Row(**where, audio=Path(clip.audio), text=clip.text), clip

    def says_less(self) -> npt.NDArray[np.bool_]:
        """Which clips are far too short for their text, by their own speaker's pace; `[n_clip]`."""
        letters, seconds = np.array(self._letters), np.array(self._seconds)
        speaker_of = np.array(self._speaker_of)
        speaker_of[~np.array(self._paced, bool)] = UNSAID
        found = np.zeros(len(self), bool)
        order = np.argsort(speaker_of, kind="stable")
        bounds = np.searchsorted(speaker_of[order], np.arange(len(self._speakers) + 1))
        for start, end in pairwise(bounds):
            own = order[start:end]
            if len(own) >= FEWEST_CLIPS:
                pace = pace_of(letters[own], seconds[own])
                found[own] = pace.says_less(letters[own], seconds[own])
        return found

    def corpus(self, kept: npt.NDArray[np.bool_]) -> Corpus:
        """What the splits of the clips `kept` are decided by."""
        used, text_of = np.unique(np.array(self._text_of, np.int32)[kept], return_inverse=True)
        texts = list(self._texts)
        return Corpus(
            [texts[number] for number in used],
            list(self._speakers),
            text_of.astype(np.int32),
            np.array(self._speaker_of, np.int32)[kept],
            np.array(self._given, np.int32)[kept],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
