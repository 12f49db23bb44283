"""The architecture of a fairseq checkpoint: from its tensors, its settings, or what is published.

Sizes are those of the tensors, and settings that say otherwise are refused. What no tensor shows
(heads, strides, where the norms stand) is read from the settings; a checkpoint without them is
taken for a published model, and what was assumed is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from transformers import Wav2Vec2Config

from common.errors import ModelNotFound

Tensors = dict[str, Tensor]
POSITIONS = "encoder.pos_conv_embed.conv"

_HEADS = {768: 12, 1024: 16, 1280: 16, 1920: 16}
"""Attention heads of the published models by width: base, large, 1B, 2B."""
_CONVOLUTIONS = "[(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512, 2, 2)] * 2"
"""Width, kernel and stride of each convolution of every published model."""
_ACTIVATIONS = ("gelu", "relu")


def configuration(
    tensors: Tensors, stated: Mapping[str, Any], heads: int | None, assumed: list[str]
) -> Wav2Vec2Config:
    """The architecture of an encoder.

    Args:
        tensors: under the hub's names.
        stated: fairseq's settings by name, as far as the checkpoint has them.
        heads: attention heads; None reads or assumes them.
        assumed: takes a sentence for everything that was.

    Raises:
        ModelNotFound: tensors are missing, settings and tensors differ, or heads are not known.
    """
    kernels = _stack(tensors, "feature_extractor.conv_layers", "conv.weight", 3)
    widths = _stack(tensors, "encoder.layers", "feed_forward.intermediate_dense.weight", 2)
    d_ff, d_model = widths[0]
    _, per_group, n_positions = _shape(tensors, f"{POSITIONS}.parametrizations.weight.original1", 3)
    if not per_group or d_model % per_group:
        raise ModelNotFound(f"the position convolution hears {per_group} of {d_model} channels")
    sizes = {
        "encoder_layers": len(widths),
        "encoder_embed_dim": d_model,
        "encoder_ffn_embed_dim": d_ff,
        "conv_pos": n_positions,
        "conv_pos_groups": d_model // per_group,
    }
    for name, size in sizes.items():
        if stated.get(name, size) != size:
            raise ModelNotFound(
                f"the checkpoint's settings say {name} {stated[name]!r:.40}, its tensors {size}"
            )
    layer_norms = "feature_extractor.conv_layers.1.layer_norm.weight" in tensors
    stable = stated.get("layer_norm_first")
    if stable is None:
        stable = layer_norms
        assumed.append(f"norms stand {'before' if stable else 'after'} the sub-layers")
    activation = stated.get("activation_fn", "gelu")
    if activation not in _ACTIVATIONS or stated.get("adp_act_fn", "relu") != "relu":
        raise ModelNotFound(
            f"the checkpoint's activations are {activation!r:.40} and, of adapters, "
            f"{stated.get('adp_act_fn')!r:.40}: gelu or relu, and relu, are read"
        )
    return Wav2Vec2Config(
        hidden_size=d_model,
        num_hidden_layers=len(widths),
        num_attention_heads=_heads(d_model, stated, heads, assumed),
        intermediate_size=d_ff,
        hidden_act=activation,
        feat_extract_norm="layer" if layer_norms else "group",
        conv_dim=[width for width, _, _ in kernels],
        conv_kernel=[kernel for _, _, kernel in kernels],
        conv_stride=_strides(kernels, stated, assumed),
        conv_bias="feature_extractor.conv_layers.0.conv.bias" in tensors,
        num_conv_pos_embeddings=n_positions,
        num_conv_pos_embedding_groups=d_model // per_group,
        do_stable_layer_norm=bool(stable),
        # Without this the model expects the vector that training puts in place of what it hides.
        mask_time_prob=0.05 if "masked_spec_embed" in tensors else 0.0,
    )


def _heads(d_model: int, stated: Mapping[str, Any], heads: int | None, assumed: list[str]) -> int:
    said = stated.get("encoder_attention_heads")
    if heads is None:
        heads = said if isinstance(said, int) else None
    elif said is not None and said != heads:
        raise ModelNotFound(f"--heads is {heads}, the checkpoint's settings say {said!r:.40}")
    if heads is None:
        if d_model not in _HEADS:
            raise ModelNotFound(
                f"the checkpoint does not say how many attention heads its {d_model} channels are "
                "shared by, and no published model has as many: say it with --heads"
            )
        heads = _HEADS[d_model]
        assumed.append(f"{heads} attention heads")
    if heads < 1 or d_model % heads:
        raise ModelNotFound(f"{heads} attention heads cannot share {d_model} channels evenly")
    return heads


def _strides(
    kernels: list[tuple[int, ...]], stated: Mapping[str, Any], assumed: list[str]
) -> list[int]:
    text = stated.get("conv_feature_layers")
    found = _convolutions(_CONVOLUTIONS if text is None else str(text))
    if text is None:
        assumed.append("the strides of the convolutions are 5, then 2")
        if len(found) == len(kernels):  # their widths are free: no stride depends on them
            widths = (width for width, _, _ in kernels)
            found = [(width, *rest) for width, (_, *rest) in zip(widths, found, strict=True)]
    if [(width, kernel) for width, kernel, _ in found] != [(w, k) for w, _, k in kernels]:
        raise ModelNotFound(
            f"the checkpoint's convolutions have the shapes {kernels}, which is not what "
            f"{text or 'a published model'!s:.120} says: their strides are not known"
        )
    return [stride for _, _, stride in found]


def _convolutions(text: str) -> list[tuple[int, ...]]:
    """Read `[(512, 10, 5)] + [(512, 3, 2)] * 4`, which fairseq runs as Python."""
    found: list[tuple[int, ...]] = []
    for inside, times in re.findall(r"\[([^\[\]]*)\](?:\s*\*\s*(\d{1,2}))?", text):
        triples = re.findall(r"\(\s*(\d{1,6})\s*,\s*(\d{1,6})\s*,\s*(\d{1,6})\s*,?\s*\)", inside)
        numbers = [(int(width), int(kernel), int(stride)) for width, kernel, stride in triples]
        found.extend(numbers * int(times or 1))
    return found


def _stack(tensors: Tensors, stack: str, name: str, n_dims: int) -> list[tuple[int, ...]]:
    """Shapes of one tensor in each module of a stack, in order."""
    numbers = {
        int(match[1])
        for tensor in tensors
        if (match := re.match(rf"{re.escape(stack)}\.(\d{{1,4}})\.", tensor))
    }
    return [
        _shape(tensors, f"{stack}.{number}.{name}", n_dims)
        for number in range(max(numbers, default=0) + 1)
    ]


def _shape(tensors: Tensors, name: str, n_dims: int) -> tuple[int, ...]:
    if name not in tensors:
        raise ModelNotFound(f"the checkpoint lacks the tensor {name}")
    shape = tuple(tensors[name].shape)
    if len(shape) != n_dims or 0 in shape:
        raise ModelNotFound(f"the checkpoint's tensor {name} has the shape {shape}")
    return shape
