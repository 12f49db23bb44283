"""`panglot models import --language`: a model fine-tuned as a whole, such as XLSR-53 on Italian.

`Wav2Vec2ForCTC` with a flat `vocab.json`. All of its encoder was trained, so it is a base model of
its own, with a fingerprint of its own, that no other adapter fits. What the store gets is its head
alone, as an adapter without blocks.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import langcodes
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from transformers import Wav2Vec2CTCTokenizer

from common.errors import AdapterRefused, InvalidRequest, ModelNotFound
from speech.adapters.card import AdapterCard, Training
from speech.base_model import load_base_model
from speech.wav2vec2.encoder import Wav2Vec2SharedEncoder
from speech.wav2vec2.importing import model_directory, put_adapter


@dataclass(frozen=True)
class Imported:
    """What an import made, or found made: `fresh` says which."""

    card: AdapterCard
    fresh: bool


def import_finetuned(name: str, language: str, store: Path) -> Imported:
    """Put the head of model `name` into the store, as `<store>/<last part of name>-<language>/`.

    Args:
        name: a directory in the hub's layout, or a hub id.
        language: BCP-47 tag of what it hears; the model does not say.
        store: a directory, made if missing.

    Raises:
        InvalidRequest: `language` is no tag.
        ModelNotFound: there is no such model, it is not of wav2vec2, or it has adapters (MMS).
        AdapterRefused: its head or its vocabulary cannot be served.
        StoreUnavailable: the store cannot be written.
    """
    if not langcodes.tag_is_valid(language):
        raise InvalidRequest(f"--language is {language!r:.40}: give a BCP-47 tag such as it")
    tag = langcodes.standardize_tag(language)
    base = load_base_model(name)
    if not isinstance(base.encoder, Wav2Vec2SharedEncoder):
        raise ModelNotFound(f"{name!r} is no wav2vec2 model, whose head could be imported")
    directory = model_directory(name, ["*.json", "model*.safetensors"])
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    if config.get("adapter_attn_dim"):
        raise ModelNotFound(
            f"{name!r} has adapter layers, as MMS: give --languages in place of --language"
        )
    weight, bias = _head(directory, name, base.encoder.d_model)
    symbols, blank = _classes(directory, name, len(bias))
    # The blank is class 0 wherever a head is used; many of these models have it last.
    order = [blank, *(number for number in range(len(bias)) if number != blank)]
    content = save({"lm_head.weight": weight[order], "lm_head.bias": bias[order]})
    model = Path(name).resolve().name if Path(name).is_dir() else name.rpartition("/")[2]
    card = AdapterCard(
        id=f"{re.sub(r'[^0-9A-Za-z_.-]+', '-', model).strip('.-')[:80]}-{tag}",
        version=1,
        language=tag,
        kind="attention",
        rank=1,
        layers=(),
        vocabulary=tuple(symbols[number] for number in order),
        base_model=name,
        base_fingerprint=base.fingerprint,
        sha256=hashlib.sha256(content).hexdigest(),
        training=Training(
            sources=(model,),
            licences=("see the model's own page",),
            hours=None,
            strategy="imported: the whole model was fine-tuned elsewhere; steps and seed not known",
            steps=0,
            seed=0,
        ),
        evaluation=None,
        lexicon=None,
        served_by="adapter",
    )
    return Imported(card, put_adapter(store, card, content))


def _head(directory: Path, name: str, d_model: int) -> tuple[Tensor, Tensor]:
    """Weight `[n_vocab, d_model]` and bias `[n_vocab]` of its CTC head."""
    found: dict[str, Tensor] = {}
    try:
        for path in sorted(directory.glob("model*.safetensors")):
            with safe_open(path, framework="pt") as file:
                present = {"lm_head.weight", "lm_head.bias"} & set(file.keys())
                found |= {key: file.get_tensor(key) for key in present}
    except (OSError, SafetensorError) as error:
        raise AdapterRefused(f"{name}: its safetensors cannot be read") from error
    if len(found) < 2:
        raise AdapterRefused(
            f"{name}: it has no head (lm_head.weight, lm_head.bias): a model that is only "
            "pretrained hears no language"
        )
    weight, bias = found["lm_head.weight"], found["lm_head.bias"]
    if bias.dim() != 1 or weight.shape != (len(bias), d_model):
        raise AdapterRefused(
            f"{name}: its head is {tuple(weight.shape)} with a bias {tuple(bias.shape)}, where its "
            f"encoder is {d_model} wide"
        )
    if not (torch.isfinite(weight).all() and torch.isfinite(bias).all()):
        raise AdapterRefused(f"{name}: its head holds NaN or infinity")
    return weight, bias


def _classes(directory: Path, name: str, n_vocab: int) -> tuple[list[str], int]:
    """Symbol of each class of the head, and which class is the blank.

    A word's end is `" "`, and what is no part of a text is empty.
    """
    tokens = _vocabulary(directory, name)
    try:
        tokenizer = Wav2Vec2CTCTokenizer.from_pretrained(directory)
        # Where the head knows more than vocab.json: `<s>` and `</s>`, added later.
        numbers: Mapping[str, int] = {**tokenizer.get_vocab(), **tokens}
    except Exception as error:  # transformers raises kinds of its own
        raise AdapterRefused(f"{name}: its tokenizer's files cannot be read") from error
    by_class = {number: token for token, number in numbers.items()}
    classes, taken = set(range(n_vocab)), set(tokens.values())
    if not (taken <= classes <= by_class.keys()) or len(taken) < len(tokens):
        raise AdapterRefused(
            f"{name}: vocab.json numbers {len(tokens)} tokens, the head has {n_vocab} classes: "
            "each must have one token, numbered from 0"
        )
    blank = numbers.get(str(tokenizer.pad_token), n_vocab)
    if blank >= n_vocab:
        raise AdapterRefused(
            f"{name}: its head has no class for {tokenizer.pad_token}, which CTC's blank must be"
        )
    mute = {tokenizer.pad_token, tokenizer.unk_token, tokenizer.bos_token, tokenizer.eos_token}
    symbols = ["" if by_class[x] in mute else by_class[x] for x in range(n_vocab)]
    if tokenizer.do_lower_case:
        symbols = [symbol.lower() for symbol in symbols]
    return [
        " " if symbol == tokenizer.word_delimiter_token else symbol for symbol in symbols
    ], blank


def _vocabulary(directory: Path, name: str) -> dict[str, int]:
    try:
        document = json.loads((directory / "vocab.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AdapterRefused(f"{name}: it has no readable vocab.json") from error
    if isinstance(document, dict) and any(isinstance(x, dict) for x in document.values()):
        raise AdapterRefused(f"{name}: its vocab.json is of many languages, as that of MMS")
    if not isinstance(document, dict) or not all(type(x) is int for x in document.values()):
        raise AdapterRefused(f"{name}: its vocab.json does not number tokens")
    return document
