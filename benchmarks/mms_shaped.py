"""Models and adapters of MMS's architecture, of any size, with random weights.

What is timed does not depend on what the weights say, so nothing needs to be downloaded.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor
from transformers import Wav2Vec2Config, Wav2Vec2ForCTC, Wav2Vec2Model

from speech.adapters.card import WEIGHTS_FILE, AdapterCard, Training, write_card
from speech.adapters.kinds import ATTENTION, AdapterShape
from speech.features import SAMPLE_RATE_HZ
from speech.wav2vec2.encoder import Wav2Vec2SharedEncoder


@dataclass(frozen=True)
class Shape:
    """Size of the encoder; `rank` is its adapters' (`adapter_attn_dim`)."""

    n_layers: int
    d_model: int
    n_heads: int
    feed_forward: int
    convolution: int
    rank: int


SMALL = Shape(12, 512, 8, 2048, convolution=128, rank=16)
"""For two cores."""
FINGERPRINT = "sha256:random"
MMS_1B = Shape(48, 1280, 16, 5120, convolution=512, rank=16)


def config(shape: Shape, *, adapters: bool = True) -> Wav2Vec2Config:
    """As MMS's own but for the sizes; without room for an adapter unless `adapters`."""
    return Wav2Vec2Config(
        hidden_size=shape.d_model,
        num_hidden_layers=shape.n_layers,
        num_attention_heads=shape.n_heads,
        intermediate_size=shape.feed_forward,
        conv_dim=(shape.convolution,) * 7,
        conv_bias=True,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        adapter_attn_dim=shape.rank if adapters else None,
        mask_time_prob=0.0,
        mask_feature_prob=0.0,
    )


def encoder_of(model: Wav2Vec2ForCTC) -> Wav2Vec2SharedEncoder:
    """Our encoder with the weights of `model`, its adapter layers left out."""
    plain = copy.copy(model.config)
    plain.adapter_attn_dim = None
    wav2vec2 = Wav2Vec2Model(plain)
    weights = {
        name: value
        for name, value in model.wav2vec2.state_dict().items()
        if "adapter_layer" not in name
    }
    wav2vec2.load_state_dict(weights)
    encoder = Wav2Vec2SharedEncoder(wav2vec2.requires_grad_(False), normalise=True)
    encoder.eval()
    encoder.fold_weight_norm()
    return encoder


def adapter_shape(shape: Shape, number: int) -> AdapterShape:
    """Of language `number`: alphabets differ in size, as MMS's do."""
    n_vocab = 30 + 7 * number % 67
    return AdapterShape(ATTENTION, shape.d_model, shape.rank, tuple(range(shape.n_layers)), n_vocab)


def published_adapter(shape: AdapterShape, seed: int) -> dict[str, Tensor]:
    """The tensors of an `adapter.<code>.safetensors`, float32."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=draw) * 0.02

    tensors = {
        "lm_head.weight": normal(shape.n_vocab, shape.d_model),
        "lm_head.bias": normal(shape.n_vocab),
    }
    for layer in shape.layers:
        prefix = f"wav2vec2.encoder.layers.{layer}.adapter_layer"
        tensors |= {
            f"{prefix}.norm.weight": 1 + normal(shape.d_model),
            f"{prefix}.norm.bias": normal(shape.d_model),
            f"{prefix}.linear_1.weight": normal(shape.rank, shape.d_model),
            f"{prefix}.linear_1.bias": normal(shape.rank),
            f"{prefix}.linear_2.weight": normal(shape.d_model, shape.rank),
            f"{prefix}.linear_2.bias": normal(shape.d_model),
        }
    return tensors


def publish(store: Path, name: str, shape: AdapterShape, tensors: dict[str, Tensor]) -> str:
    """Put an adapter of the encoder `FINGERPRINT` into the directory `store`; returns its key."""
    content = save(tensors)
    card = AdapterCard(
        id=name,
        version=1,
        language=name,
        kind="attention",
        rank=shape.rank,
        layers=shape.layers,
        vocabulary=("", *(chr(ord("a") + number) for number in range(shape.n_vocab - 1))),
        base_model="random",
        base_fingerprint=FINGERPRINT,
        sha256=hashlib.sha256(content).hexdigest(),
        training=Training(("none",), ("CC0-1.0",), 0.0, "random", 0, 0),
        evaluation=None,
        lexicon=None,
        served_by="adapter",
    )
    (store / name).mkdir(parents=True)
    (store / name / WEIGHTS_FILE).write_bytes(content)
    write_card(card, store / name)
    return card.key


def speech_like(n_row: int, seconds: float) -> list[Tensor]:
    """Noise, float32 `[n_samples]` each."""
    draw = torch.Generator().manual_seed(0)
    n_samples = int(seconds * SAMPLE_RATE_HZ)
    return [torch.randn(n_samples, generator=draw) * 0.1 for _ in range(n_row)]
