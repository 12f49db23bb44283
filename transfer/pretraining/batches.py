"""A batch as the model takes it: audio, masks, and for each masked frame its distractors.

Baevski et al., "wav2vec 2.0" (2020), by the functions of `transformers`' own model. They draw from
NumPy's generator: see `chance.seeded`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import Wav2Vec2Config
from transformers.models.wav2vec2.modeling_wav2vec2 import (
    _compute_mask_indices,
    _sample_negative_indices,
)

from common.audio import Samples
from transfer.pretraining.model import Start
from transfer.pretraining.settings import MASK_FRAMES, MIN_MASKS


@dataclass(frozen=True)
class Batch:
    """Rows of similar length.

    Attributes:
        audio: float32 `[batch, n_samples]`, zero beyond each row's end.
        heard: int64 `[batch, n_samples]`, 1 up to each row's end; None for a model that is not told
            where rows end.
        masked: bool `[batch, n_frames]`, never beyond a row's end.
        negatives: int64 `[batch, n_frames, n_negative]`, other masked frames of the same row, as
            indices into all frames of the batch; zero where nothing is masked.
    """

    audio: Tensor
    heard: Tensor | None
    masked: Tensor
    negatives: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on `device`."""
        heard = None if self.heard is None else self.heard.to(device)
        return Batch(
            self.audio.to(device), heard, self.masked.to(device), self.negatives.to(device)
        )


def make_batch(rows: Sequence[Samples], start: Start, mask_prob: float) -> Batch:
    """Pad, normalise and mask rows of float32 `[n_samples]`."""
    lengths = torch.tensor([len(row) for row in rows])
    heard = (torch.arange(int(lengths.max()))[None, :] < lengths[:, None]).long()
    audio = np.zeros(heard.shape, np.float32)
    for number, row in enumerate(rows):
        audio[number, : len(row)] = _normalised(row) if start.normalise else row
    frames = torch.tensor([n_frames(len(row), start.model.config) for row in rows])
    of_frames: Any = (torch.arange(int(frames.max()))[None, :] < frames[:, None]).long()
    masked = _compute_mask_indices(
        of_frames.shape, mask_prob, MASK_FRAMES, of_frames, min_masks=MIN_MASKS
    )
    negatives = _sample_negative_indices(
        masked.shape, start.model.config.num_negatives, mask_time_indices=masked
    )
    return Batch(
        audio=torch.from_numpy(audio),
        heard=heard if start.padding_is_masked else None,
        masked=torch.from_numpy(masked),
        negatives=torch.from_numpy(negatives).long(),
    )


def n_frames(n_samples: int, config: Wav2Vec2Config) -> int:
    """Frames that the convolutions leave of so many samples."""
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        n_samples = (n_samples - kernel) // stride + 1
    return n_samples


def _normalised(samples: Samples) -> Samples:
    """Zero mean and unit variance, as `transformers.Wav2Vec2FeatureExtractor` has it."""
    scaled: Samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    return scaled
