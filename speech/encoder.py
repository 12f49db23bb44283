"""Step 8: one forward of the shared encoder, on the true length of each row.

The encoder knows nothing of adapters: it calls `adapt` after each sub-layer, and what stands behind
that call is one adapter module (training), a batch of slots (serving), or nothing (universal, LID).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.whisper.modeling_whisper import WhisperEncoder, WhisperEncoderLayer

from speech.features import log_mel, pad_batch

Site = Literal["attention", "feed_forward"]
"""The sub-layer of a transformer layer after which an adapter may stand."""

FRAME_MS = 20
"""Duration of one output frame: 10 ms of features, halved by the second convolution."""


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


class WhisperSharedEncoder(nn.Module):
    """Whisper's encoder without its padding to 30 s.

    A row of a padded batch equals the same audio run alone: padding is zeroed before each
    convolution that could see it, and masked as a key of attention.
    """

    def __init__(self, whisper: WhisperEncoder) -> None:
        """Share the weights of `whisper`; nothing is copied."""
        super().__init__()
        self.whisper = whisper
        self.n_mels = int(whisper.config.num_mel_bins)
        self.d_model = int(whisper.config.d_model)
        self.n_layers = len(whisper.layers)

    @property
    def max_samples(self) -> int:
        """Longest audio its position embeddings reach: 30 s."""
        return int(self.whisper.config.max_source_positions) * 320

    def features(self, audio: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Log-mel features of several utterances, padded into one batch; see `pad_batch`."""
        return pad_batch([log_mel(samples, self.n_mels) for samples in audio])

    def forward(self, features: Tensor, lengths: Tensor, adapt: Adapt | None = None) -> Encoded:
        """Encode a batch.

        Args:
            features: float `[batch, n_mels, n_feature_frames]` from `features`.
            lengths: int64 `[batch]`, feature frames of each row.
            adapt: what to do after each sub-layer; None leaves the encoder as it is.
        """
        hidden, lengths = self.subsample(features, lengths)
        hidden = self.run_layers(hidden, lengths, adapt)
        return Encoded(self.whisper.layer_norm(hidden), lengths)

    def subsample(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Convolutions and positions: `[batch, n_frames, d_model]` and int64 `[batch]` frames."""
        features = features * within(lengths, features.shape[-1])[:, None, :]
        hidden = F.gelu(self.whisper.conv1(features))
        hidden = hidden * within(lengths, hidden.shape[-1])[:, None, :]
        hidden = F.gelu(self.whisper.conv2(hidden)).transpose(1, 2)
        positions = self.whisper.embed_positions.weight[: hidden.shape[1]]
        return hidden + positions, (lengths + 1) // 2

    def run_layers(
        self,
        hidden: Tensor,
        lengths: Tensor,
        adapt: Adapt | None = None,
        layers: range | None = None,
    ) -> Tensor:
        """Transformer layers over `[batch, n_frames, d_model]`; all unless `layers` says which."""
        mask = None
        if hidden.shape[0] > 1 and int(lengths.min()) < hidden.shape[1]:
            mask = within(lengths, hidden.shape[1])[:, None, None, :]
        for index in layers if layers is not None else range(self.n_layers):
            layer = cast(WhisperEncoderLayer, self.whisper.layers[index])
            hidden = hidden + _attend(layer, hidden, mask)
            if adapt is not None:
                hidden = adapt(hidden, index, "attention")
            hidden = hidden + layer.fc2(F.gelu(layer.fc1(layer.final_layer_norm(hidden))))
            if adapt is not None:
                hidden = adapt(hidden, index, "feed_forward")
        return hidden


def _attend(layer: WhisperEncoderLayer, hidden: Tensor, mask: Tensor | None) -> Tensor:
    attention = layer.self_attn
    batch, n_frames, d_model = hidden.shape
    hidden = layer.self_attn_layer_norm(hidden)
    query, key, value = (
        projection(hidden).view(batch, n_frames, attention.num_heads, -1).transpose(1, 2)
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    mixed = mixed.transpose(1, 2).reshape(batch, n_frames, d_model)
    return attention.out_proj(mixed)  # type: ignore[no-any-return]
