"""The report of rows that were left out: a TSV beside the manifest, and counts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

from transfer.data.checks import Defect
from transfer.data.speech_source import Row

_HEADER = ("file", "row", "reason", "detail", "audio", "text")
_LONGEST_FIELD = 500


class Rejections:
    """Every row left out, written as it is found, in place once all are.

    Attributes:
        faulty: how many rows have something wrong with them, by reason.
        aside: how many would only spoil a split, by reason.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.faulty: Counter[str] = Counter()
        self.aside: Counter[str] = Counter()
        self._partial = path.with_name(f".{path.name}.partial")
        self._file = self._partial.open("w", encoding="utf-8")
        self._write(_HEADER)

    def add(self, row: Row, defect: Defect) -> None:
        """Note a row and why it is left out."""
        (self.faulty if defect.fault else self.aside)[defect.reason] += 1
        audio = str(row.audio) if row.audio.name else ""
        self._write((row.file, str(row.number), defect.reason, defect.detail, audio, row.text))

    def _write(self, fields: tuple[str, ...]) -> None:
        line = "\t".join(" ".join(field.split())[:_LONGEST_FIELD] for field in fields)
        self._file.write(f"{line}\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._file.close()
            if kind is None:
                self._partial.replace(self.path)
        finally:
            self._partial.unlink(missing_ok=True)
