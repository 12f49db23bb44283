"""What a finished run leaves behind, so that evaluating and publishing need nothing else."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from common.errors import InvalidRequest
from speech.adapters.kinds import KINDS, AdapterShape
from speech.adapters.module import Adapter
from transfer.files import whole
from transfer.training.settings import TrainSettings
from transfer.training.source import Fusion, Head

RUN_FILE = "run.json"
WEIGHTS = "best.safetensors"
"""Weights of the epoch with the lowest development error rate."""
ENCODER = "encoder."
"""Prefix of the encoder's tensors beside the adapter's, in the weights of a full fine-tune."""
MODEL = "model"
"""Folder of the whole model, where a full fine-tune made one."""


@dataclass(frozen=True)
class RunRecord:
    """A run's result, beside its weights.

    Attributes:
        language: BCP-47 tag.
        vocabulary: symbol of each CTC class.
        settings: as trained.
        source: the adapters it started from, as `Start.text` has them, or None.
        fusion, head: how it started from them; see `Start`.
        steps: optimiser steps taken.
        development_wer, development_cer: greedy, of the weights kept.
        level: of the strategy, such as `few-shot`; None where the caller set all by hand.
        hours: of speech that was learned from; None in runs of earlier versions.
        left_out: clips that could not be learned from.
        skipped: batches whose loss was no number.
        wall_s: seconds that it took, in all sessions.
    """

    language: str
    vocabulary: tuple[str, ...]
    settings: TrainSettings
    source: str | None
    steps: int
    development_wer: float
    development_cer: float
    level: str | None = None
    hours: float | None = None
    left_out: int = 0
    skipped: int = 0
    wall_s: float = 0.0
    fusion: Fusion = "best"
    head: Head = "letters"

    def write(self, run: Path) -> None:
        """Write `run.json`; with it the run is finished."""
        text = json.dumps(asdict(self), ensure_ascii=False, indent=2)
        with whole(run / RUN_FILE) as file:
            file.write(f"{text}\n".encode())

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

    def base_model(self, run: Path) -> str:
        """Name of the model whose encoder the adapter fits: after a full fine-tune, its own."""
        return str(run / MODEL) if self.settings.unfrozen else self.settings.base_model

    def adapter(self, run: Path, d_model: int) -> Adapter:
        """The trained weights, in evaluation mode."""
        settings = self.settings
        shape = AdapterShape(
            KINDS[settings.kind], d_model, settings.rank, settings.layers, len(self.vocabulary)
        )
        adapter = Adapter(shape)
        weights = load_file(run / WEIGHTS)
        adapter.load_state_dict(
            {name: value for name, value in weights.items() if not name.startswith(ENCODER)}
        )
        return adapter.eval()

    def strategy(self) -> str:
        """The run in one line, for the card."""
        settings = self.settings
        level = f"{self.level}: " if self.level else ""
        if settings.unfrozen:
            what = f"layers {span(settings.unfrozen)} of the encoder and a head, fine-tuned"
        else:
            what = (
                f"{settings.kind} of rank {settings.rank} after layers {span(settings.layers)}, "
                "encoder frozen"
            )
        started = self._started()
        if settings.epochs == 0:
            return f"{level}{self.source} as it is, nothing learned"
        beside = "".join(
            f", {name} learned beside with weight {weight:g}"
            for name, weight in (("prototypes", settings.prototypes), ("tones", settings.tone))
            if weight
        )
        epochs = f"{settings.epochs} epochs at {settings.learning_rate:g}"
        return f"{level}{what}; {epochs}; {started}{beside}"

    def _started(self) -> str:
        if not self.source:
            return "started from nothing"
        whose = self.source if self.fusion == "best" else f"the {self.fusion} of {self.source}"
        head = {"letters": "", "phonemes": ", letters by sound", "new": ", head new"}
        return f"started from {whose}{head[self.head]}"


def span(layers: tuple[int, ...]) -> str:
    """Layers as people count them, from 1: `3-6`, or `1,3,5`."""
    if layers == tuple(range(layers[0], layers[-1] + 1)):
        return f"{layers[0] + 1}-{layers[-1] + 1}" if len(layers) > 1 else f"{layers[0] + 1}"
    return ",".join(str(layer + 1) for layer in layers)
