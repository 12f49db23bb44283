"""`panglot models convert`: a pickled checkpoint into a directory in the hub's layout."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import Wav2Vec2Config

from common.errors import InvalidRequest, ModelNotFound
from speech.wav2vec2.checkpoint import read_checkpoint
from speech.wav2vec2.fairseq import FairseqModel, Head, is_fairseq, read_dictionary, read_fairseq
from speech.wav2vec2.hub_directory import HubModel, check, unprefixed, write

_HUB_CHECKPOINT = "pytorch_model.bin"


@dataclass(frozen=True)
class Converted:
    """What was written.

    Attributes:
        config: the architecture.
        n_parameters: of the encoder.
        n_vocab: classes of its head; None without one.
        adapters: language codes of the adapters beside it.
        assumed: what the checkpoint does not say, and was taken as published models have it.
        missing: what could not be written for want of a dictionary.
    """

    config: Wav2Vec2Config
    n_parameters: int
    n_vocab: int | None
    adapters: tuple[str, ...]
    assumed: tuple[str, ...]
    missing: tuple[str, ...]


def convert(
    checkpoint: Path, out: Path, dictionary: Path | None = None, heads: int | None = None
) -> Converted:
    """Write the model of `checkpoint` to the new directory `out`.

    Args:
        checkpoint: fairseq's `.pt`, or a `pytorch_model.bin` beside its `config.json`, or the
            directory of the latter.
        out: must not exist, or be empty.
        dictionary: fairseq's `dict.ltr.txt`, the symbols of a fine-tuned model's head.
        heads: attention heads, where the checkpoint does not say and no published model tells.

    Raises:
        InvalidRequest: `out` holds something.
        ModelNotFound: the checkpoint cannot be read or is not of wav2vec 2.0, or `out` cannot be
            written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidRequest(f"{out} exists: name a folder that does not, or is empty")
    if checkpoint.is_dir():
        checkpoint = checkpoint / _HUB_CHECKPOINT
    content = read_checkpoint(checkpoint)
    if is_fairseq(content):
        model = _from_fairseq(read_fairseq(content, heads), dictionary)
    elif dictionary is None and heads is None:
        model = _from_hub(content, checkpoint.parent)
    else:
        raise InvalidRequest(
            "--vocab and --heads are for fairseq's checkpoints: this one is read by its config.json"
        )
    check(model)
    write(model, out)
    return Converted(
        config=model.config,
        n_parameters=sum(tensor.numel() for tensor in model.encoder.values()),
        n_vocab=len(model.head["lm_head.bias"]) if model.head else None,
        adapters=tuple(sorted(model.adapters)),
        assumed=model.assumed,
        missing=model.missing,
    )


def _from_fairseq(found: FairseqModel, dictionary: Path | None) -> HubModel:
    head, symbols = ({}, None) if found.head is None else (found.head.tensors, found.head.symbols)
    if dictionary is not None:
        if found.head is None:
            raise ModelNotFound(
                "the checkpoint has no head that a dictionary would be of: it is only pretrained"
            )
        symbols = read_dictionary(dictionary)
    missing = []
    vocabularies: dict[str, Any] = {
        code: _vocabulary(adapter, adapter.symbols, f"adapter {code}")
        for code, adapter in found.adapters.items()
        if adapter.symbols is not None
    }
    if mute := sorted(found.adapters.keys() - vocabularies.keys()):
        missing.append(f"the vocabularies of {len(mute)} adapters, such as {mute[0]}")
    if head and symbols is None and not vocabularies:
        missing.append("vocab.json: the checkpoint does not hold its symbols (give --vocab)")
    if found.head is not None and symbols is not None and not found.adapters:
        vocabularies = _vocabulary(found.head, symbols, "head")
    layer_norms = found.config.feat_extract_norm == "layer"
    preprocessor = {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "feature_size": 1,
        "sampling_rate": 16_000,
        "do_normalize": found.normalise,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": layer_norms,  # as these models were trained
    }
    documents: dict[str, Any] = {"preprocessor_config.json": preprocessor}
    if vocabularies:
        documents["vocab.json"] = vocabularies
    return HubModel(
        found.config, found.encoder, head, found.adapters, documents, found.assumed, tuple(missing)
    )


def _vocabulary(head: Head, symbols: tuple[str, ...], where: str) -> dict[str, int]:
    rows = len(head.tensors["lm_head.bias"])
    if len(symbols) != rows or len(set(symbols)) != rows:
        raise ModelNotFound(
            f"the {where} has {rows} classes, its dictionary {len(set(symbols))} different symbols "
            "with <pad>, <s>, </s> and <unk>"
        )
    return {symbol: number for number, symbol in enumerate(symbols)}


def _from_hub(content: object, directory: Path) -> HubModel:
    """A state dict in the hub's names, beside its configuration."""
    if not isinstance(content, dict) or not content:
        raise ModelNotFound("the checkpoint holds neither fairseq's model nor tensors by name")
    if not (directory / "config.json").is_file():
        raise ModelNotFound(
            "the checkpoint is not fairseq's, and beside it is no config.json to read it by"
        )
    documents = {}
    try:
        config = Wav2Vec2Config.from_pretrained(directory)
        for path in directory.glob("*.json"):
            if path.name != "config.json":
                documents[path.name] = json.loads(path.read_text(encoding="utf-8"))
    except Exception as error:  # transformers raises kinds of its own
        raise ModelNotFound("the JSON files beside the checkpoint cannot be read") from error
    encoder, head = {}, {}
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ModelNotFound(f"the checkpoint's {name!r:.100} is no tensor")
        if name.startswith("lm_head."):
            head[name] = tensor
        elif not re.match(r"(quantizer|project_q|project_hid)\.", name):
            encoder[unprefixed(name)] = tensor
    if "masked_spec_embed" not in encoder:
        config.mask_time_prob = config.mask_feature_prob = 0.0
    return HubModel(config, encoder, head, documents=documents)
