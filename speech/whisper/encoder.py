"""Whisper's encoder behind the seam: `transformers`' modules hold the weights, the forward is ours.

Its own knows neither true lengths nor adapters, and pads everything to 30 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch.nn.functional as F
from torch import Tensor
from transformers.models.whisper.modeling_whisper import WhisperEncoder, WhisperEncoderLayer

from speech.encoder import Adapt, SharedEncoder, within
from speech.features import HOP_SAMPLES, log_mel, pad_batch

# Below this the window of the features reaches beyond the audio.
_MIN_SAMPLES = 400
_SAMPLES_PER_POSITION = 320


class WhisperSharedEncoder(SharedEncoder):
    """Whisper's encoder without its padding to 30 s.

    Padding within a batch is zeroed before each convolution that could see it, and masked as a key
    of attention.
    """

    def __init__(self, whisper: WhisperEncoder) -> None:
        """Share the weights of `whisper`; nothing is copied."""
        super().__init__()
        self.whisper = whisper
        self.n_mels = int(whisper.config.num_mel_bins)
        self.d_model = int(whisper.config.d_model)
        self.n_layers = len(whisper.layers)
        self.min_samples = _MIN_SAMPLES
        # As far as its position embeddings reach: 30 s.
        self.max_samples = int(whisper.config.max_source_positions) * _SAMPLES_PER_POSITION

    def features(self, audio: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Log-mel features `[batch, n_mels, n_feature_frames]` and their lengths."""
        weight = self.whisper.conv1.weight
        mels = [log_mel(samples.to(weight.device), self.n_mels) for samples in audio]
        features, lengths = pad_batch(mels)
        return features.to(weight.dtype), lengths.to(weight.device)

    def n_frames(self, n_samples: int) -> int:
        """A frame per two of the features, and one for what is left."""
        return (n_samples // HOP_SAMPLES + 1) // 2

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

    def finish(self, hidden: Tensor) -> Tensor:
        """The layer norm after the last layer."""
        normed: Tensor = self.whisper.layer_norm(hidden)
        return normed


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
