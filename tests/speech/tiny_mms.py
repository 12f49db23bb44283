"""Small wav2vec 2.0 models of random numbers, and MMS as it is published, made of one.

Published: `facebook/mms-1b-all` holds `config.json` with `adapter_attn_dim`, a `model.safetensors`
with the adapter and head of a default language, one `adapter.<code>.safetensors` per language, and
a `vocab.json` nested by language code.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
)

D_MODEL = 32
N_LAYERS = 2
RANK = 6
MIN_SAMPLES = 400
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "|")
LETTERS = {"eng": "abcdefgh", "fra": "abcçdeéè'", "cmn-script_simplified": "你好世界再见谢不客气"}
"""Languages of `write_tiny_mms`: vocabularies of different sizes and symbols."""


def tiny_config(**changes: Any) -> Wav2Vec2Config:
    """Everything small but the strides, which make a frame per 320 samples."""
    settings: dict[str, Any] = {
        "hidden_size": D_MODEL,
        "num_hidden_layers": N_LAYERS,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "conv_dim": (16,) * 7,
        "conv_bias": True,
        "feat_extract_norm": "layer",
        "do_stable_layer_norm": True,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
        "initializer_range": 0.3,
        "vocab_size": len(SPECIAL) + len(LETTERS["eng"]),
        **changes,
    }
    return Wav2Vec2Config(**settings)


def tiny_ctc(config: Wav2Vec2Config, seed: int = 0) -> Wav2Vec2ForCTC:
    """A model with a head; weights far larger than a fresh one's, so that each of them shows."""
    torch.manual_seed(seed)
    model = Wav2Vec2ForCTC(config)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
        elif "norm.weight" in name:
            torch.nn.init.normal_(parameter, mean=1.0, std=0.3)
    model.requires_grad_(False).eval()
    return model


def difference(found: Tensor, expected: Tensor) -> float:
    """Largest difference, relative to the largest value expected."""
    return float((found - expected).abs().max() / expected.abs().max())


def vocabulary(code: str) -> dict[str, int]:
    """Token to class of one language, as in its part of `vocab.json`."""
    return {token: number for number, token in enumerate((*SPECIAL, *LETTERS[code]))}


def random_adapter_tensors(model: Wav2Vec2ForCTC, n_vocab: int, seed: int) -> dict[str, Tensor]:
    """One language's tensors under their published names; special tokens are never the best."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {name: tuple(value.shape) for name, value in model._get_adapters().items()}
    shapes["lm_head.weight"] = (n_vocab, shapes["lm_head.weight"][1])
    shapes["lm_head.bias"] = (n_vocab,)
    tensors = {
        name: torch.randn(shape, generator=generator) * 0.3 + float("norm.weight" in name)
        for name, shape in shapes.items()
    }
    tensors["lm_head.bias"][1:4] = -50.0
    return tensors


def write_tiny_mms(directory: Path, seed: int = 0, **changes: Any) -> Path:
    """Write a model as MMS is published, with the languages of `LETTERS`; `eng` is the default.

    Args:
        directory: made if missing.
        seed: of all numbers.
        changes: of `tiny_config`.
    """
    model = tiny_ctc(tiny_config(adapter_attn_dim=RANK, **changes), seed)
    for number, code in enumerate(LETTERS):
        tensors = random_adapter_tensors(model, len(vocabulary(code)), seed * 100 + number)
        if code == "eng":
            model.load_state_dict(tensors, strict=False)
        directory.mkdir(parents=True, exist_ok=True)
        save_file(tensors, directory / f"adapter.{code}.safetensors", {"format": "pt"})
    model.save_pretrained(directory)
    vocabularies = {code: vocabulary(code) for code in LETTERS}
    (directory / "vocab.json").write_text(json.dumps(vocabularies), encoding="utf-8")
    tokenizer(directory, "eng").save_pretrained(directory)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(directory)
    return directory


def tokenizer(directory: Path, code: str) -> Wav2Vec2CTCTokenizer:
    """The tokenizer of one language: `batch_decode` of class numbers gives texts."""
    return Wav2Vec2CTCTokenizer(str(directory / "vocab.json"), target_lang=code)


@cache
def reference(directory: Path, code: str) -> Wav2Vec2ForCTC:
    """`transformers`' own model of one language: loaded, then `load_adapter`, as documented."""
    model = Wav2Vec2ForCTC.from_pretrained(directory, dtype=torch.float32)
    model.load_adapter(code)
    return model.requires_grad_(False).eval()  # type: ignore[no-any-return]


@torch.inference_mode()
def reference_log_probs(directory: Path, code: str, audio: Tensor) -> Tensor:
    """CTC log-probabilities of one utterance alone through `reference`: `[n_frames, n_vocab]`."""
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(directory)
    values = extractor(audio.numpy(), sampling_rate=16_000, return_tensors="pt").input_values
    return reference(directory, code)(values).logits[0].log_softmax(-1)  # type: ignore[no-any-return]


def reference_text(directory: Path, code: str, audio: Tensor) -> str:
    """What `transformers` transcribes, greedily."""
    best = reference_log_probs(directory, code, audio).argmax(-1)
    return str(tokenizer(directory, code).decode(best))
