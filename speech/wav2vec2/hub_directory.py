"""A wav2vec 2.0 model under the hub's names: checked against its architecture, and written.

A directory appears whole or not at all: it is filled under another name and renamed.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from transformers import Wav2Vec2Config, Wav2Vec2Model

from common.errors import ModelNotFound
from speech.adapters.kinds import ATTENTION, AdapterShape, from_file
from speech.wav2vec2.fairseq import Head
from speech.wav2vec2.fairseq_config import POSITIONS, Tensors

_PREFIX = "wav2vec2."


@dataclass(frozen=True)
class HubModel:
    """What a directory is to hold.

    Attributes:
        config: its architecture.
        encoder: tensors of `Wav2Vec2Model`.
        head: `lm_head.*`; empty without one.
        adapters: by language code, as MMS publishes them.
        documents: JSON by file name, `config.json` apart.
        assumed, missing: for people to read; see `conversion.Converted`.
        architecture: of a model that is neither a plain encoder nor one with a CTC head.
    """

    config: Wav2Vec2Config
    encoder: Tensors
    head: Tensors
    adapters: Mapping[str, Head] = field(default_factory=dict)
    documents: Mapping[str, Any] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    architecture: str | None = None


def unprefixed(name: str) -> str:
    """A tensor's name as `Wav2Vec2Model` has it; older ones name the weight norm otherwise."""
    name = name.removeprefix(_PREFIX)
    for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
        name = name.replace(f"{POSITIONS}.{old}", f"{POSITIONS}.parametrizations.weight.{new}")
    return name


def check(model: HubModel) -> None:
    """Raises ModelNotFound unless all tensors are there, and of the shapes the config gives."""
    try:
        with torch.device("meta"):
            expected = {
                name: tuple(value.shape)
                for name, value in Wav2Vec2Model(model.config).state_dict().items()
            }
    except Exception as error:  # transformers raises kinds of its own
        raise ModelNotFound("the checkpoint's configuration is of no model") from error
    if not any("adapter_layer" in name for name in model.encoder):
        # MMS may be published without a default language.
        expected = {name: shape for name, shape in expected.items() if "adapter_layer" not in name}
    _compare("the checkpoint", model.encoder, expected)
    d_model = int(model.config.hidden_size)
    if model.head:
        n_vocab = _classes("the checkpoint", model.head)
        model.config.vocab_size = n_vocab
        head = {"lm_head.weight": (n_vocab, d_model), "lm_head.bias": (n_vocab,)}
        _compare("the checkpoint", model.head, head)
    for code, adapter in model.adapters.items():
        n_vocab = _classes(f"the adapter {code}", adapter.tensors)
        shape = AdapterShape(
            ATTENTION,
            d_model,
            int(model.config.adapter_attn_dim or 0),
            tuple(range(int(model.config.num_hidden_layers))),
            n_vocab,
        )
        _compare(f"the adapter {code}", from_file(ATTENTION, adapter.tensors), shape.tensors())


def _classes(where: str, tensors: Tensors) -> int:
    bias = tensors.get("lm_head.bias")
    if bias is None or bias.dim() != 1:
        raise ModelNotFound(f"{where} has no head, or one without a bias")
    return len(bias)


def _compare(where: str, tensors: Tensors, expected: Mapping[str, tuple[int, ...]]) -> None:
    for name in sorted(tensors.keys() | expected.keys()):
        found = tuple(tensors[name].shape) if name in tensors else "missing"
        wanted = expected.get(name, "none of that name")
        if found != wanted:
            raise ModelNotFound(f"{where}: tensor {name} is {found}, its architecture has {wanted}")


def write(model: HubModel, out: Path) -> None:
    """Write `model` as the directory `out`; ModelNotFound, and nothing left, where it cannot be."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        try:
            _fill(model, scratch)
            for path in scratch.iterdir():
                path.chmod(0o644)
            scratch.chmod(0o755)  # made for us alone, and so is what safetensors writes
            scratch.rename(out)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except (OSError, SafetensorError) as error:  # a full disk is the one or the other
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelNotFound(f"the model cannot be written to {out}: {reason}") from error


def _fill(model: HubModel, directory: Path) -> None:
    head = bool(model.head)
    plain = "Wav2Vec2ForCTC" if head else "Wav2Vec2Model"
    model.config.architectures = [model.architecture or plain]
    _write_json(directory / "config.json", model.config.to_diff_dict())
    for name, document in model.documents.items():
        _write_json(directory / name, document)
    prefix = _PREFIX if head else ""
    tensors = {f"{prefix}{name}": value for name, value in model.encoder.items()} | model.head
    _save(directory / "model.safetensors", tensors)
    for code, adapter in model.adapters.items():
        _save(directory / f"adapter.{code}.safetensors", adapter.tensors)


def _write_json(path: Path, document: object) -> None:
    text = json.dumps(document, ensure_ascii=False, indent=2)
    path.write_text(f"{text}\n", encoding="utf-8")


def _save(path: Path, tensors: Tensors) -> None:
    save_file({name: value.contiguous() for name, value in tensors.items()}, path, {"format": "pt"})
