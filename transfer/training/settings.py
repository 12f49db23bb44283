"""What a training run is, as one value that is written beside its results."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from common.errors import InvalidRequest
from speech.adapters.kinds import KindName
from speech.encoder import FRAME_MS

_LIMITS: dict[str, tuple[float, float]] = {
    "rank": (1, 4096),
    "epochs": (0, 10_000),
    "learning_rate": (0.0, math.inf),
    "encoder_learning_rate": (0.0, math.inf),
    "warmup_steps": (0, math.inf),
    "weight_decay": (0.0, math.inf),
    "batch_s": (0.1, math.inf),
    "accumulation": (1, 10_000),
    "clip_norm": (1e-6, math.inf),
    "time_masks": (0, 100),
    "time_mask_frames": (0, 1000),
    "feature_dropout": (0.0, 0.9),
    "patience": (1, math.inf),
    "memory_gb": (0.0, math.inf),
    "prototypes": (0.0, 100.0),
    "tone": (0.0, 100.0),
    "seed": (0, 2**31),
}
_SPEEDS = (0.5, 2.0)


@dataclass(frozen=True)
class TrainSettings:
    """Settings of one run; the defaults are what was measured to work on 5 to 45 minutes.

    Attributes:
        kind: architecture of the adapter; see `speech.adapters.kinds`.
        rank: width of the bottleneck.
        layers: encoder layers that get a block, counted from 0; none in a full fine-tune, whose
            adapter is a head alone.
        unfrozen: encoder layers whose own weights learn too: a full fine-tune.
        epochs: passes over the training clips; the learning rate falls to zero over them. 0 takes
            another language's adapter as it is.
        learning_rate: peak of AdamW's, after `warmup_steps`.
        encoder_learning_rate: the same for the weights of `unfrozen` layers, which start from much
            and not from nothing.
        batch_s: seconds of audio in one batch, padding not counted.
        accumulation: batches summed into one optimiser step.
        clip_norm: gradients longer than this are shortened to it.
        speeds: each clip is heard once per epoch, at one of these speeds.
        time_masks, time_mask_frames: SpecAugment along time: how many, and how long at most.
        feature_dropout: share of hidden features silenced for a whole clip.
        patience: epochs without a better development error rate after which training stops, those
            apart in which hardly a letter was right.
        chosen_by: the error rate that `patience` and the choice of the epoch go by. A development
            set of minutes has few words, and letters tell epochs apart sooner.
        precision: `bf16` runs matrix products in bfloat16: 2.8 times as fast on a CPU that has it.
        memory_gb: what the frozen layers make of all clips is kept where it takes no more than
            this; else it is computed anew in every epoch, and disturbed anew.
        prototypes, tone: weights of what is learned beside the letters, see
            `transfer.training.auxiliary`; 0 is without.
        seed: of initial weights, order and masks.
        base_model: name of the model whose encoder is used.

    Raises:
        InvalidRequest: a value is outside its limits; the message names both.
    """

    kind: KindName = "bottleneck"
    rank: int = 64
    layers: tuple[int, ...] = (2, 3, 4, 5)
    unfrozen: tuple[int, ...] = ()
    epochs: int = 30
    learning_rate: float = 1e-3
    encoder_learning_rate: float = 1e-5
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
    chosen_by: Literal["cer", "wer"] = "cer"
    precision: Literal["bf16", "fp32"] = "bf16"
    memory_gb: float = 4.0
    prototypes: float = 0.0
    tone: float = 0.0
    seed: int = 0
    base_model: str = "embedded"

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high or value == math.inf:
                limit = f"{low:g} to {high:g}" if math.isfinite(high) else f"at least {low:g}"
                raise InvalidRequest(f"{name} is {value}: it must be {limit}")
        low, high = _SPEEDS
        if not self.speeds or not all(low <= speed <= high for speed in self.speeds):
            raise InvalidRequest(f"speeds are {self.speeds}: give one or more, of {low} to {high}")
        for name in ("layers", "unfrozen"):
            chosen = getattr(self, name)
            if list(chosen) != sorted({layer for layer in chosen if layer >= 0}):
                raise InvalidRequest(f"{name} are {chosen}: each once, ascending, from 0")
        if not (self.layers or self.unfrozen):
            raise InvalidRequest(
                "layers are empty, and so is unfrozen: nothing would learn to hear"
            )
        if self.unfrozen and (self.layers or self.kind != "attention"):
            raise InvalidRequest(
                "a fine-tuned encoder is served with a head alone: unfrozen layers go with "
                "kind 'attention' and no layers"
            )

    @property
    def batch_frames(self) -> int:
        """`batch_s` in the encoder's output frames."""
        return int(self.batch_s * 1000 / FRAME_MS)

    @property
    def first_layer(self) -> int:
        """The lowest layer where anything learns; those below always say the same."""
        return min((*self.layers, *self.unfrozen))

    @property
    def last_layer(self) -> int:
        """The highest layer where anything learns."""
        return max((*self.layers, *self.unfrozen))


def learning_rate_at(
    step: int, total_steps: int, settings: TrainSettings, peak: float | None = None
) -> float:
    """Linear warm-up to the peak, then linear decay to zero.

    Args:
        step: counts from 0.
        total_steps: where zero is reached.
        settings: of the warm-up, and of the peak unless that is given.
        peak: of other weights than the adapter's.
    """
    peak = settings.learning_rate if peak is None else peak
    warmup = min(settings.warmup_steps, max(1, total_steps // 4))
    if step < warmup:
        return peak * (step + 1) / warmup
    # Batches are drawn anew in each epoch, and may be a few more than were counted.
    left = max(0, total_steps - step)
    return peak * left / max(1, total_steps - warmup)


def default_device() -> torch.device:
    """The first GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
