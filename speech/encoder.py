"""Step 8: one forward of the shared encoder, on the true length of each row.

Two families stand behind this seam: `whisper_encoder` and `wav2vec2_encoder`. An encoder knows
nothing of adapters: it calls `adapt` after each sub-layer, and what stands behind that call is one
adapter module (training), a batch of slots (serving), or nothing (universal, LID).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

Site = Literal["attention", "feed_forward"]
"""The sub-layer of a transformer layer after which an adapter may stand."""

FRAME_MS = 20
"""Duration of one output frame, in both families: 320 samples."""


class Adapt(Protocol):
    """Changes the residual stream after one sub-layer."""

    def __call__(self, hidden: Tensor, layer: int, site: Site) -> Tensor:
        """Adapt `hidden`, float `[batch, n_frames, d_model]`; `layer` counts from 0. Same shape."""
        ...


@dataclass(frozen=True)
class Encoded:
    """Encoder output of one batch.

    Attributes:
        states: float `[batch, n_frames, d_model]`; what lies beyond a row's length means nothing.
        lengths: int64 `[batch]`, frames of 20 ms.
    """

    states: Tensor
    lengths: Tensor

    @property
    def mask(self) -> Tensor:
        """Bool `[batch, n_frames]`, true within each row's length."""
        return within(self.lengths, self.states.shape[1])


def within(lengths: Tensor, n_frames: int) -> Tensor:
    """Bool `[batch, n_frames]`, true where the frame's index is below the row's length."""
    return torch.arange(n_frames, device=lengths.device)[None, :] < lengths[:, None]


class SharedEncoder(nn.Module):
    """What all languages share. A row of a padded batch equals the same audio run alone.

    Attributes:
        d_model: width of the residual stream.
        n_layers: transformer layers.
        min_samples, max_samples: shortest and longest audio it takes, at 16 kHz.
    """

    d_model: int
    n_layers: int
    min_samples: int
    max_samples: int

    @abstractmethod
    def features(self, audio: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """What `subsample` takes, of several utterances.

        Args:
            audio: per utterance float32 `[n_samples]` at 16 kHz.

        Returns:
            floats padded into one batch, and int64 `[batch]`, the length of each row in them; both
            where and in what precision the encoder's weights are.
        """

    @abstractmethod
    def n_frames(self, n_samples: int) -> int:
        """Frames that `subsample` makes of an utterance of `n_samples`."""

    @abstractmethod
    def subsample(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Convolutions and positions: `[batch, n_frames, d_model]` and int64 `[batch]` frames."""

    @abstractmethod
    def run_layers(
        self,
        hidden: Tensor,
        lengths: Tensor,
        adapt: Adapt | None = None,
        layers: range | None = None,
    ) -> Tensor:
        """Transformer layers over `[batch, n_frames, d_model]`; all unless `layers` says which."""

    @abstractmethod
    def finish(self, hidden: Tensor) -> Tensor:
        """What the family does after its last layer; `[batch, n_frames, d_model]`, same shape."""

    def forward(self, features: Tensor, lengths: Tensor, adapt: Adapt | None = None) -> Encoded:
        """Encode a batch that `features` made; `adapt` of None leaves the encoder as it is."""
        hidden, lengths = self.subsample(features, lengths)
        return Encoded(self.finish(self.run_layers(hidden, lengths, adapt)), lengths)
