"""What a training run is, as one value that is written beside its results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from speech.encoder import FRAME_MS


@dataclass(frozen=True)
class TrainSettings:
    """Settings of one run; the defaults are what was measured to work on 15 to 45 minutes.

    Attributes:
        rank: width of the bottleneck.
        layers: encoder layers that are adapted, counted from 0; those below the first run frozen,
            once, before training.
        epochs: passes over the training clips; the learning rate falls to zero over them.
        learning_rate: peak of AdamW's, after `warmup_steps`.
        batch_s: seconds of audio in one batch, padding not counted.
        accumulation: batches summed into one optimiser step.
        clip_norm: gradients longer than this are shortened to it.
        speeds: each clip is heard once per epoch, at one of these speeds.
        time_masks, time_mask_frames: SpecAugment along time: how many, and how long at most.
        feature_dropout: share of hidden features silenced for a whole clip.
        patience: epochs without a better development CER after which training stops.
        precision: `bf16` runs matrix products in bfloat16: 2.8 times as fast on a CPU that has it.
        seed: of initial weights, order and masks.
    """

    rank: int = 64
    layers: tuple[int, ...] = (2, 3, 4, 5)
    epochs: int = 30
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    weight_decay: float = 0.01
    batch_s: float = 24.0
    accumulation: int = 1
    clip_norm: float = 1.0
    speeds: tuple[float, ...] = (1.0, 0.9, 1.1)
    time_masks: int = 2
    time_mask_frames: int = 12
    feature_dropout: float = 0.1
    patience: int = 10
    precision: Literal["bf16", "fp32"] = "bf16"
    seed: int = 0
    base_model: str = "embedded"

    @property
    def batch_frames(self) -> int:
        """`batch_s` in the encoder's output frames."""
        return int(self.batch_s * 1000 / FRAME_MS)


def learning_rate_at(step: int, total_steps: int, settings: TrainSettings) -> float:
    """Linear warm-up to the peak, then linear decay to zero; `step` counts from 0."""
    warmup = min(settings.warmup_steps, max(1, total_steps // 4))
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    return settings.learning_rate * (total_steps - step) / max(1, total_steps - warmup)


def default_device() -> torch.device:
    """The first GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
