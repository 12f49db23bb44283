"""fairseq's checkpoints of wav2vec 2.0, XLSR, XLS-R and MMS, into directories in the hub's layout.

Pretrained: tensors such as `encoder.layers.0.fc1.weight`. Fine-tuned with CTC: the same below
`w2v_encoder.w2v_model.`, with a head `w2v_encoder.proj`. MMS: besides, an adapter and a head per
language under `adapter`. Published: https://github.com/facebookresearch/fairseq, examples/wav2vec
and examples/mms.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from torch import Tensor
from transformers import Wav2Vec2Config

from common.errors import ModelNotFound
from speech.wav2vec2.checkpoint import fields
from speech.wav2vec2.fairseq_config import POSITIONS, Tensors, configuration

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
"""First symbols of a dictionary. fairseq calls the blank, which is the first, `<s>`."""


@dataclass(frozen=True)
class Head:
    """A CTC head with its symbols.

    Attributes:
        tensors: under the hub's names: `lm_head.*`, and adapter layers where it has them.
        symbols: of each class; None where the checkpoint does not say.
    """

    tensors: Tensors
    symbols: tuple[str, ...] | None


@dataclass(frozen=True)
class FairseqModel:
    """A checkpoint under the hub's names.

    Attributes:
        config: its architecture.
        encoder: tensors of `Wav2Vec2Model`, adapter layers of its own included.
        head: None where it is only pretrained.
        adapters: of MMS, by language code.
        normalise: whether it hears audio of zero mean and unit variance.
        assumed: what the checkpoint does not say and was assumed, for people to read.
    """

    config: Wav2Vec2Config
    encoder: Tensors
    head: Head | None
    adapters: Mapping[str, Head]
    normalise: bool
    assumed: tuple[str, ...]


def is_fairseq(checkpoint: object) -> TypeGuard[dict[str, Any]]:
    """Whether what a checkpoint file held looks like fairseq's."""
    return isinstance(checkpoint, dict) and isinstance(checkpoint.get("model"), dict)


def read_fairseq(checkpoint: dict[str, Any], heads: int | None = None) -> FairseqModel:
    """Give a checkpoint's tensors the hub's names, and find its architecture.

    Args:
        checkpoint: as `read_checkpoint` gives it.
        heads: attention heads, where the checkpoint does not say.

    Raises:
        ModelNotFound: it is of another model, or does not say what it must.
    """
    encoder, head = _renamed(checkpoint["model"])
    stated = _stated(checkpoint)
    assumed: list[str] = []
    config = configuration(encoder, stated, heads, assumed)
    symbols = _symbols(checkpoint.get("task_state"))
    adapters = {
        code: _adapter(code, entry) for code, entry in fields(checkpoint.get("adapter")).items()
    }
    for tensors in (*(adapter.tensors for adapter in adapters.values()), encoder):
        config.adapter_attn_dim = _rank(tensors) or config.adapter_attn_dim
    if config.adapter_attn_dim is not None and not config.do_stable_layer_norm:
        raise ModelNotFound("adapters in layers that end in their norms are not served")
    normalise = stated.get("normalize")
    if normalise is None:
        normalise = config.feat_extract_norm == "layer"
        assumed.append(f"the audio is {'' if normalise else 'not '}normalised")
    return FairseqModel(
        config=config,
        encoder=encoder,
        head=Head(head, symbols) if head else None,
        adapters=adapters,
        normalise=bool(normalise),
        assumed=tuple(assumed),
    )


_MODULES = {
    "layer_norm": "feature_projection.layer_norm",
    "post_extract_proj": "feature_projection.projection",
    "encoder.layer_norm": "encoder.layer_norm",
}
_CONVOLUTION_MODULES = {"0": "conv", "2": "layer_norm", "2.1": "layer_norm"}
"""A group norm stands alone, a layer norm between two transpositions."""
_LAYER_MODULES = {
    **{f"self_attn.{part}_proj": f"attention.{part}_proj" for part in ("k", "q", "v", "out")},
    "self_attn_layer_norm": "layer_norm",
    "fc1": "feed_forward.intermediate_dense",
    "fc2": "feed_forward.output_dense",
    "final_layer_norm": "final_layer_norm",
}
_PARAMETERS = {
    "mask_emb": "masked_spec_embed",
    "encoder.pos_conv.0.weight_g": f"{POSITIONS}.parametrizations.weight.original0",
    "encoder.pos_conv.0.weight_v": f"{POSITIONS}.parametrizations.weight.original1",
    "encoder.pos_conv.0.bias": f"{POSITIONS}.bias",
}
_ADAPTER_PARAMETERS = {
    "ln_W": "norm.weight",
    "ln_b": "norm.bias",
    "W_a": "linear_1.weight",
    "b_a": "linear_1.bias",
    "W_b": "linear_2.weight",
    "b_b": "linear_2.bias",
}
_ONLY_FOR_PRETRAINING = re.compile(
    r"(quantizer|input_quantizer|project_q|project_inp|final_proj|target_glu)\."
)


def _renamed(tensors: Mapping[str, object]) -> tuple[Tensors, Tensors]:
    """The tensors of the encoder, and those of the head, under the hub's names."""
    encoder, head = {}, {}
    for name, tensor in tensors.items():
        short = re.sub(r"^(w2v_encoder\.)?(w2v_model\.)?", "", str(name))
        if _ONLY_FOR_PRETRAINING.match(short):
            continue
        if not isinstance(tensor, Tensor):
            raise ModelNotFound(f"the checkpoint's {name!r:.100} is no tensor")
        if short in ("proj.weight", "proj.bias"):
            head[f"lm_head.{short.removeprefix('proj.')}"] = tensor
            continue
        encoder[_hub_name(short)] = _one_adapter(short, tensor)
    return encoder, head


def _hub_name(name: str) -> str:
    if name in _PARAMETERS:
        return _PARAMETERS[name]
    module, _, part = name.rpartition(".")
    if module in _MODULES:
        return f"{_MODULES[module]}.{part}"
    match = re.fullmatch(r"(feature_extractor\.conv_layers|encoder\.layers)\.(\d+)\.(.+)", module)
    if match:
        stack, number, inner = match.groups()
        if inner == "adapter_layer" and part in _ADAPTER_PARAMETERS:
            return f"{stack}.{number}.adapter_layer.{_ADAPTER_PARAMETERS[part]}"
        modules = _LAYER_MODULES if stack == "encoder.layers" else _CONVOLUTION_MODULES
        if inner in modules:
            return f"{stack}.{number}.{modules[inner]}.{part}"
    raise ModelNotFound(
        f"the checkpoint holds {name!r:.100}, which wav2vec 2.0 has not: is it of another model?"
    )


def _one_adapter(name: str, tensor: Tensor) -> Tensor:
    """Adapters are stacked; those that are published are stacks of one."""
    if ".adapter_layer." not in name:
        return tensor
    if tensor.shape[0] != 1:
        raise ModelNotFound(
            f"the checkpoint's {name} holds {tensor.shape[0]} adapters in one tensor; one is read"
        )
    return tensor[0]


def _adapter(code: str, entry: object) -> Head:
    """One language of MMS."""
    if not re.fullmatch(r"\w[\w.-]{0,90}", code):
        raise ModelNotFound(f"{code!r:.100} is no language code of an adapter")
    parts = fields(entry)
    layers, head = _renamed(fields(parts.get("model")))
    if not head or not layers or any(".adapter_layer." not in name for name in layers):
        raise ModelNotFound(
            f"the adapter {code} is not made of adapter layers and a head: it cannot be served"
        )
    tensors = {f"wav2vec2.{name}": tensor for name, tensor in layers.items()} | head
    return Head(tensors, _symbols(parts.get("task_state")))


def _rank(tensors: Tensors) -> int | None:
    ranks = (
        tensor.shape[0]
        for name, tensor in tensors.items()
        if name.endswith("adapter_layer.linear_1.weight")
    )
    return next(ranks, None)


def _symbols(task_state: object) -> tuple[str, ...] | None:
    """The target dictionary that newer checkpoints carry."""
    found = fields(fields(task_state).get("target_dictionary")).get("symbols")
    if not isinstance(found, list) or not all(isinstance(symbol, str) for symbol in found):
        return None
    return (*SPECIAL, *found[len(SPECIAL) :])


def read_dictionary(path: Path) -> tuple[str, ...]:
    """The symbols of a `dict.ltr.txt`: `SYMBOL COUNT` a line; raises ModelNotFound."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelNotFound(f"the dictionary {path} cannot be read as text") from error
    symbols = []
    for line in filter(None, lines):
        symbol, _, count = line.removesuffix(" #fairseq:overwrite").rpartition(" ")
        if not symbol or not count.isdecimal():
            raise ModelNotFound(f"{path}: {line!r:.60} is not a symbol and its count")
        symbols.append(symbol)
    return (*SPECIAL, *symbols)


def _stated(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the pretrained model: of `cfg`, or of `args` as older files have it.

    A fine-tuned model keeps those of the model it was made of in `w2v_args`.
    """
    cfg = fields(checkpoint.get("cfg"))
    stated = _settings(cfg) if cfg else fields(checkpoint.get("args"))
    inner = fields(stated.get("w2v_args"))
    return (_settings(inner) if "model" in inner else inner) or stated


def _settings(cfg: Mapping[str, Any]) -> dict[str, Any]:
    task = fields(cfg.get("task"))
    stated = {"normalize": task["normalize"]} if "normalize" in task else {}
    return stated | fields(cfg.get("model"))
