"""wav2vec 2.0's encoder behind the seam: MMS, XLS-R, XLSR-53 and their kin.

`transformers`' modules hold the weights, the forward is ours: theirs lets a group norm hear the
padding of a batch, and has room for one language's adapters only. Baevski et al., "wav2vec 2.0"
(2020); Babu et al., "XLS-R" (2021); Pratap et al., "Scaling Speech Technology to 1,000+ Languages"
(2023).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import Wav2Vec2Config, Wav2Vec2Model, Wav2Vec2PreTrainedModel
from transformers.models.wav2vec2.modeling_wav2vec2 import (
    Wav2Vec2Attention,
    Wav2Vec2EncoderLayer,
    Wav2Vec2GroupNormConvLayer,
)
from transformers.utils import logging as transformers_logging

from common.errors import ModelNotFound
from speech.encoder import FRAME_MS, Adapt, SharedEncoder, within
from speech.features import SAMPLE_RATE_HZ

# Its positions are a convolution and reach any length, but attention's cost grows with the square
# of it. 30 s is what the other family takes, so that a segment fits whichever encoder runs.
_MAX_SAMPLES = 30 * SAMPLE_RATE_HZ

_Model = TypeVar("_Model", bound=Wav2Vec2PreTrainedModel)


class Wav2Vec2SharedEncoder(SharedEncoder):
    """wav2vec 2.0 up to the last hidden state, on the true length of each row."""

    def __init__(self, wav2vec2: Wav2Vec2Model, normalise: bool) -> None:
        """Share the weights of `wav2vec2`; nothing is copied.

        Args:
            wav2vec2: without adapter layers of its own.
            normalise: whether it hears audio of zero mean and unit variance.
        """
        super().__init__()
        self.wav2vec2 = wav2vec2
        self.normalise = normalise
        config = wav2vec2.config
        self.stable = bool(config.do_stable_layer_norm)
        self.convolutions = tuple(zip(config.conv_kernel, config.conv_stride, strict=True))
        self.d_model = int(config.hidden_size)
        self.n_layers = len(wav2vec2.encoder.layers)
        self.min_samples = _reach(self.convolutions)
        self.max_samples = _MAX_SAMPLES

    def fold_weight_norm(self) -> None:
        """Compute the weight of the position convolution once, not in every batch.

        Fingerprint the weights first: they are another tensor afterwards.
        """
        conv = self.wav2vec2.encoder.pos_conv_embed.conv
        if parametrize.is_parametrized(conv, "weight"):
            parametrize.remove_parametrizations(conv, "weight")
            conv.requires_grad_(False)

    def features(self, audio: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Raw audio `[batch, n_samples]`, zero beyond each row's end, and its lengths."""
        weight = self.wav2vec2.feature_projection.projection.weight
        rows = [samples.to(weight.device, torch.float32) for samples in audio]
        if self.normalise:
            rows = [_normalised(row) for row in rows]
        lengths = torch.tensor([len(row) for row in rows], device=weight.device)
        return nn.utils.rnn.pad_sequence(rows, batch_first=True).to(weight.dtype), lengths

    def n_frames(self, n_samples: int) -> int:
        """What the convolutions leave; none of them is padded."""
        for kernel, stride in self.convolutions:
            n_samples = (n_samples - kernel) // stride + 1
        return n_samples

    def subsample(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Convolutions and positions: `[batch, n_frames, d_model]` and int64 `[batch]` frames."""
        hidden = features[:, None]
        for layer, (kernel, stride) in zip(
            self.wav2vec2.feature_extractor.conv_layers, self.convolutions, strict=True
        ):
            # None of them is padded: a frame within a row's length hears nothing beyond it.
            lengths = (lengths - kernel).div(stride, rounding_mode="floor") + 1
            if isinstance(layer, Wav2Vec2GroupNormConvLayer) and len(features) > 1:
                hidden = layer.activation(
                    _group_norm(layer.layer_norm, layer.conv(hidden), lengths)
                )
            else:
                hidden = layer(hidden)
        hidden, _ = self.wav2vec2.feature_projection(hidden.transpose(1, 2))
        if len(features) > 1:  # the next convolution reaches beyond a row's end
            hidden = hidden * within(lengths, hidden.shape[1])[:, :, None]
        encoder = self.wav2vec2.encoder
        hidden = hidden + encoder.pos_conv_embed(hidden)
        return hidden if self.stable else encoder.layer_norm(hidden), lengths

    def run_layers(
        self,
        hidden: Tensor,
        lengths: Tensor,
        adapt: Adapt | None = None,
        layers: range | None = None,
    ) -> Tensor:
        """Transformer layers over `[batch, n_frames, d_model]`; all unless `layers` says which.

        Where the norms come after the sub-layers, `adapt` comes after the norm: it ends the
        sub-layer there, as in fairseq's layers with adapters.
        """
        mask = None
        if hidden.shape[0] > 1 and int(lengths.min()) < hidden.shape[1]:
            mask = within(lengths, hidden.shape[1])[:, None, None, :]
        for index in layers if layers is not None else range(self.n_layers):
            layer = cast(Wav2Vec2EncoderLayer, self.wav2vec2.encoder.layers[index])
            if self.stable:
                hidden = hidden + _attend(layer.attention, layer.layer_norm(hidden), mask)
            else:
                hidden = layer.layer_norm(hidden + _attend(layer.attention, hidden, mask))
            if adapt is not None:
                hidden = adapt(hidden, index, "attention")
            if self.stable:
                hidden = hidden + layer.feed_forward(layer.final_layer_norm(hidden))
            else:
                hidden = layer.final_layer_norm(hidden + layer.feed_forward(hidden))
            if adapt is not None:
                hidden = adapt(hidden, index, "feed_forward")
        return hidden

    def finish(self, hidden: Tensor) -> Tensor:
        """The layer norm after the last layer, where each layer does not end in one."""
        return self.wav2vec2.encoder.layer_norm(hidden) if self.stable else hidden


def load_wav2vec2(directory: Path, name: str) -> Wav2Vec2SharedEncoder:
    """Read the encoder of a directory in the hub's layout; float32 on the CPU, without gradients.

    A head, and adapter layers (in MMS those of a default language), are left where they are.

    Raises:
        ModelNotFound: it has no safetensors, lacks weights, or is of a shape that is not served.
    """
    config, normalise = read_architecture(directory, name)
    config.adapter_attn_dim = None
    wav2vec2 = read_weights(_WithoutHead, directory, config, name)
    encoder = Wav2Vec2SharedEncoder(wav2vec2, normalise)
    encoder.eval()
    return encoder


def read_architecture(directory: Path, name: str) -> tuple[Wav2Vec2Config, bool]:
    """The configuration of a model, and whether it hears audio of zero mean and unit variance.

    Raises:
        ModelNotFound: it cannot be read, or is of a shape that is not served.
    """
    try:
        config = Wav2Vec2Config.from_pretrained(directory)
        normalise = _normalises(directory)
    except Exception as error:  # transformers raises kinds of its own
        raise ModelNotFound(f"base model {name!r} has no readable configuration") from error
    _check(config, name)
    config.mask_time_prob = config.mask_feature_prob = 0.0  # only its own training used the mask
    return config, normalise


def read_weights(kind: type[_Model], directory: Path, config: Wav2Vec2Config, name: str) -> _Model:
    """A model of `kind` from safetensors; float32 on the CPU, in evaluation, without gradients.

    Raises:
        ModelNotFound: it has no safetensors, or lacks weights.
    """
    if not any(directory.glob("*.safetensors")):
        raise ModelNotFound(
            f"base model {name!r} has no safetensors; a checkpoint that stands there is made into "
            "such by: panglot models convert CHECKPOINT OUT_DIR"
        )
    transformers_logging.disable_progress_bar()  # a service's log is no place for one
    try:
        loaded: Any = kind.from_pretrained(
            directory,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
        model, found = loaded
        if found["missing_keys"]:  # it would be left random, with no more than a warning
            raise ValueError(f"no weights for {sorted(found['missing_keys'])[:3]}")
    except Exception as error:  # safetensors and transformers raise kinds of their own
        raise ModelNotFound(f"base model {name!r} holds no readable wav2vec2 model") from error
    model.requires_grad_(False)
    return cast(_Model, model.eval())


class _WithoutHead(Wav2Vec2Model):
    # What else a checkpoint may hold, and transformers would warn of.
    _keys_to_ignore_on_load_unexpected: list[str] | set[str] | None = [  # noqa: RUF012 theirs
        r"adapter_layer",
        r"^lm_head",
        r"^quantizer",
        r"^project_(q|hid)",
        r"masked_spec_embed",
    ]


def _normalises(directory: Path) -> bool:
    path = directory / "preprocessor_config.json"
    if not path.is_file():
        return True  # as the feature extractor of transformers does
    return bool(json.loads(path.read_text(encoding="utf-8")).get("do_normalize", True))


def _check(config: Wav2Vec2Config, name: str) -> None:
    if config.add_adapter:
        raise ModelNotFound(
            f"base model {name!r} has convolutions after its layers (add_adapter), which are not "
            "served: give a model without"
        )
    stride = math.prod(config.conv_stride)
    if stride * 1000 != FRAME_MS * SAMPLE_RATE_HZ:
        raise ModelNotFound(
            f"base model {name!r} has a frame per {stride} samples, where "
            f"{FRAME_MS * SAMPLE_RATE_HZ // 1000} is served"
        )


def _reach(convolutions: Sequence[tuple[int, int]]) -> int:
    """Samples that one output frame hears, which is the shortest audio that gives one."""
    samples = 1
    for kernel, stride in reversed(convolutions):
        samples = (samples - 1) * stride + kernel
    return samples


def _normalised(samples: Tensor) -> Tensor:
    """Zero mean and unit variance, as `transformers.Wav2Vec2FeatureExtractor` has it."""
    variance, mean = torch.var_mean(samples, correction=0)
    return (samples - mean) / (variance + 1e-7).sqrt()


def _group_norm(norm: nn.GroupNorm, hidden: Tensor, lengths: Tensor) -> Tensor:
    """One group per channel, over the frames of each row's true length.

    Args:
        norm: its weight, bias and epsilon are used.
        hidden: float `[batch, n_channels, n_frames]`.
        lengths: int64 `[batch]`.
    """
    statistics = [
        torch.var_mean(row[:, :n_frames].float(), dim=-1, correction=0)
        for row, n_frames in zip(hidden, lengths.tolist(), strict=True)
    ]
    variance, mean = (torch.stack(each)[:, :, None] for each in zip(*statistics, strict=True))
    scale = norm.weight[:, None] * (variance + norm.eps).rsqrt()
    shift = norm.bias[:, None] - mean * scale
    return torch.addcmul(shift.to(hidden.dtype), hidden, scale.to(hidden.dtype))


def _attend(attention: Wav2Vec2Attention, hidden: Tensor, mask: Tensor | None) -> Tensor:
    batch, n_frames, d_model = hidden.shape
    query, key, value = (
        projection(hidden).view(batch, n_frames, attention.num_heads, -1).transpose(1, 2)
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return attention.out_proj(mixed.transpose(1, 2).reshape(batch, n_frames, d_model))  # type: ignore[no-any-return]
