"""Where a run of pre-training stands, on the disk; it goes on only as it began."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from common.errors import InvalidRequest
from transfer.files import whole
from transfer.pretraining.learner import Learner
from transfer.pretraining.settings import PretrainSettings
from transfer.training.checkpoint import CHECKPOINT, differences


@dataclass
class Standing:
    """Where a run stands, between two optimiser steps.

    Chance depends on the number of a batch alone, so that nothing of it stands here.

    Attributes:
        step: optimiser steps.
        skipped: batches whose loss or gradient was no number.
        in_a_row: of these, those since the last good step.
        judged: of each judgement `step` and the means of `learner.Sums`.
        wall_s: seconds that it took, in all sessions.
    """

    step: int = 0
    skipped: int = 0
    in_a_row: int = 0
    judged: list[dict[str, float]] = field(default_factory=list)
    wall_s: float = 0.0


def recipe_of(
    settings: PretrainSettings, fingerprint: str, audio: str, n_processes: int
) -> dict[str, Any]:
    """All that decides a run's result.

    Args:
        settings: of the run; by what name the base model was called does not matter.
        fingerprint: of the weights it starts from.
        audio: digest of the recordings.
        n_processes: that learn together.
    """
    values = asdict(settings) | {
        "base model's weights": fingerprint,
        "recordings": audio,
        "processes": n_processes,
    }
    del values["base_model"]
    recipe: dict[str, Any] = json.loads(json.dumps(values))
    return recipe


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

    def save(self, learner: Learner, state: Standing) -> None:
        """Write where the run stands.

        Raises:
            StoreUnavailable: it cannot be written; the one before stands there still.
        """
        content = {
            "recipe": self._recipe,
            "standing": asdict(state),
            "model": learner.model.state_dict(),
            "optimizer": learner.optimizer.state_dict(),
        }
        with whole(self._path) as file:
            torch.save(content, file)
        self._saved_at = time.monotonic()

    def resume(self, learner: Learner) -> Standing:
        """Take over the checkpoint where there is one.

        Raises:
            InvalidRequest: it is of another run, or cannot be read; the message says what differs.
        """
        if not self._path.is_file():
            return Standing()
        run = self._path.parent
        do = "add --restart to begin anew, or give another --name"
        try:
            content = torch.load(self._path, map_location="cpu", weights_only=True)
            recipe, standing = content["recipe"], Standing(**content["standing"])
        except Exception as error:  # torch and pickle raise kinds of their own
            raise InvalidRequest(
                f"{run} holds a checkpoint that cannot be read, or of an earlier version: {do}"
            ) from error
        if found := differences(self._recipe, recipe):
            raise InvalidRequest(
                f"{run} holds a run of its own: {', '.join(found)}; go on with the same audio and "
                f"settings, {do}"
            )
        learner.model.load_state_dict(content["model"])
        learner.optimizer.load_state_dict(content["optimizer"])
        return standing
