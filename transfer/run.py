"""What a finished run leaves behind, so that evaluating and publishing need nothing else."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from common.errors import InvalidRequest
from speech.adapters.kinds import BOTTLENECK, AdapterShape
from speech.adapters.module import Adapter
from transfer.settings import TrainSettings

RUN_FILE = "run.json"
WEIGHTS = "best.safetensors"
"""Weights of the epoch with the lowest development CER."""


@dataclass(frozen=True)
class RunRecord:
    """A run's result, beside its weights.

    Attributes:
        language: BCP-47 tag.
        vocabulary: symbol of each CTC class.
        settings: as trained.
        source: the adapter it started from, `<id>@<version>`, or None.
        steps: optimiser steps taken.
        development_wer, development_cer: greedy, of the weights kept.
    """

    language: str
    vocabulary: tuple[str, ...]
    settings: TrainSettings
    source: str | None
    steps: int
    development_wer: float
    development_cer: float

    def write(self, run: Path) -> None:
        """Write `run.json`."""
        text = json.dumps(asdict(self), ensure_ascii=False, indent=2)
        (run / RUN_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, run: Path) -> RunRecord:
        """Read `run.json`; `InvalidRequest` when there is no finished run."""
        path = run / RUN_FILE
        if not path.is_file():
            raise InvalidRequest(f"no finished run in {run}: train the language first")
        document = json.loads(path.read_text(encoding="utf-8"))
        settings: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in document["settings"].items()
        }
        document["settings"] = TrainSettings(**settings)
        document["vocabulary"] = tuple(document["vocabulary"])
        return cls(**document)

    def adapter(self, run: Path, d_model: int) -> Adapter:
        """The trained weights, in evaluation mode."""
        shape = AdapterShape(
            BOTTLENECK, d_model, self.settings.rank, self.settings.layers, len(self.vocabulary)
        )
        adapter = Adapter(shape)
        adapter.load_state_dict(load_file(run / WEIGHTS))
        return adapter.eval()

    def strategy(self) -> str:
        """The run in one line, for the card."""
        layers = f"{self.settings.layers[0] + 1}-{self.settings.layers[-1] + 1}"
        started = f"started from {self.source}" if self.source else "started from nothing"
        return (
            f"bottleneck of rank {self.settings.rank} after layers {layers}, encoder frozen; "
            f"{self.settings.epochs} epochs at {self.settings.learning_rate:g}; {started}"
        )
