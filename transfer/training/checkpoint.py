"""Where a run stands, on the disk: written whole or not at all, and continued only as it began."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any

import torch
from torch import Tensor

from common.errors import InvalidRequest
from transfer.data.manifest import Clip
from transfer.files import whole
from transfer.training.learner import Learner
from transfer.training.settings import TrainSettings

CHECKPOINT = "checkpoint.pt"
_DEAF_CER = 0.95
_LATER = {"prototypes": 0.0, "tone": 0.0}
"""Settings that the recipes of earlier versions lack, and what they were then."""


@dataclass
class Standing:
    """Where a run stands, between two optimiser steps.

    Attributes:
        epoch: whole epochs that are done, judged and kept.
        batch: batches of the next one that are done; with several processes, of each.
        step: optimiser steps.
        loss, symbols: of the epoch so far: the sum over all symbols, and their number.
        skipped: batches whose loss or gradient was no number.
        in_a_row: of these, those since the last good step.
        best_wer, best_cer, best_epoch: of the weights kept; no epoch is 0.
        deaf_epoch: the last that heard next to nothing. A new head begins by writing noise, and
            then nothing but blanks for hundreds of steps: patience counts from where that ends.
        wall_s: seconds that it took, in all sessions.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss: float = 0.0
    symbols: float = 0.0
    skipped: int = 0
    in_a_row: int = 0
    best_wer: float = float("inf")
    best_cer: float = float("inf")
    best_epoch: int = 0
    deaf_epoch: int = 0
    wall_s: float = 0.0

    def judged(self, wer: float, cer: float, settings: TrainSettings) -> bool:
        """Take note of the epoch's error rates; whether they are the best so far."""
        if cer >= _DEAF_CER:
            self.deaf_epoch = self.epoch
        better = cer < self.best_cer if settings.chosen_by == "cer" else wer < self.best_wer
        if better:
            self.best_wer, self.best_cer, self.best_epoch = wer, cer, self.epoch
        return better

    def ended(self, settings: TrainSettings) -> bool:
        """Whether there is nothing more to learn: all epochs, or none better for too long."""
        since = self.epoch - max(self.best_epoch, self.deaf_epoch)
        return self.epoch >= settings.epochs or since >= settings.patience


def recipe_of(
    settings: TrainSettings,
    fingerprint: str,
    vocabulary: Sequence[str],
    clips: Sequence[Clip],
    source: str | None,
    n_processes: int,
) -> dict[str, Any]:
    """All that decides a run's result: it goes on with none but its own.

    Args:
        settings: of the run; by what name the base model was called does not matter.
        fingerprint: of the base model.
        vocabulary: symbol of each CTC class.
        clips: of both splits; where they lie does not matter.
        source: key of the adapter it starts from.
        n_processes: that train together.
    """
    digest = hashlib.sha256()
    for clip in clips:
        heard = [PurePath(clip.audio).name, clip.text, clip.split, clip.duration_s]
        digest.update(json.dumps(heard).encode())
    values = asdict(settings) | {
        "base model's weights": fingerprint,
        "vocabulary": "".join(vocabulary),
        "clips": digest.hexdigest(),
        "source": source,
        "processes": n_processes,
    }
    del values["base_model"]
    recipe: dict[str, Any] = json.loads(json.dumps(values))  # tuples come back as lists
    return recipe


def differences(recipe: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What is not as in `other`: `rank 32 (was 64)`."""
    return [
        f"{name} {value} (was {other.get(name)})"
        if len(f"{value}") < 40
        else name  # a digest says nothing to anybody
        for name, value in recipe.items()
        if other.get(name) != value
    ]


class Checkpoints:
    """The checkpoint of one run folder."""

    def __init__(self, run: Path, recipe: dict[str, Any], every_s: float) -> None:
        """Checkpoints in `run`; `due` after `every_s` seconds."""
        self._path = run / CHECKPOINT
        self._recipe = recipe
        self._every_s = every_s
        self._saved_at = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last one is too old."""
        return time.monotonic() - self._saved_at >= self._every_s

    def save(self, learner: Learner, state: Standing, masks: Tensor | None = None) -> None:
        """Write where the run stands; `masks` is the state of their generator within an epoch."""
        content = {
            "recipe": self._recipe,
            "standing": asdict(state),
            "weights": learner.weights(),
            "optimizer": learner.optimizer.state_dict(),
            "masks": masks,
        }
        with whole(self._path) as file:
            torch.save(content, file)
        self._saved_at = time.monotonic()

    def resume(self, learner: Learner) -> tuple[Standing, Tensor | None]:
        """Take over the checkpoint where there is one: `save`'s arguments.

        Raises:
            InvalidRequest: it is of another run, or cannot be read; the message says what differs.
        """
        if not self._path.is_file():
            return Standing(), None
        run = self._path.parent
        do = "add --restart to begin anew, or train into another --runs folder"
        try:
            content = torch.load(self._path, map_location="cpu", weights_only=True)
            recipe, standing = _LATER | content["recipe"], Standing(**content["standing"])
        except Exception as error:  # torch and pickle raise kinds of their own
            raise InvalidRequest(
                f"{run} holds a checkpoint that cannot be read, or of an earlier version: {do}"
            ) from error
        if found := differences(self._recipe, recipe):
            raise InvalidRequest(
                f"{run} holds a run of its own: {', '.join(found)}; go on with the same "
                f"manifest and settings, {do}"
            )
        learner.load(content["weights"])
        learner.optimizer.load_state_dict(content["optimizer"])
        return standing, content["masks"]
