"""Models and adapters of random numbers, large enough to be wrong in every way a real one can."""

from __future__ import annotations

import hashlib
from pathlib import Path

import av
import numpy as np
import torch
from safetensors.torch import save
from tokenizers import AddedToken, Tokenizer, decoders
from tokenizers.models import WordLevel
from torch import Tensor
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

from speech.adapters.card import WEIGHTS_FILE, AdapterCard, Training, write_card
from speech.adapters.kinds import AdapterShape
from speech.adapters.module import Adapter
from speech.base_model import WhisperBase, fingerprint
from speech.whisper.encoder import WhisperSharedEncoder

D_MODEL = 32
N_LAYERS = 2
LANGUAGES = ("en", "zh", "de", "jw")
_WORDS = [f"{space}{letter}" for space in ("", " ") for letter in "abcdefghij"]
_SPECIAL = (
    "endoftext",
    "startoftranscript",
    *LANGUAGES,
    "translate",
    "transcribe",
    "startoflm",
    "startofprev",
    "nospeech",
    "notimestamps",
)


def tiny_tokenizer() -> Tokenizer:
    """Twenty letters, half of them with a space before, and Whisper's markers in its order."""
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(_WORDS)}, "a"))
    tokenizer.add_special_tokens([AddedToken(f"<|{name}|>", special=True) for name in _SPECIAL])
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def tiny_whisper(seed: int = 0) -> WhisperForConditionalGeneration:
    """Weights far larger than a fresh model's, so that each of them shows in the output."""
    torch.manual_seed(seed)
    end = len(_WORDS)
    config = WhisperConfig(
        vocab_size=len(_WORDS) + len(_SPECIAL),
        num_mel_bins=80,
        d_model=D_MODEL,
        encoder_layers=N_LAYERS,
        decoder_layers=N_LAYERS,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        init_std=0.3,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=end + 1,
        begin_suppress_tokens=None,
    )
    whisper = WhisperForConditionalGeneration(config)
    for name, parameter in whisper.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    whisper.requires_grad_(False).eval()
    return whisper


def tiny_model(seed: int = 0) -> WhisperBase:
    """A base model in float32 that any test may cast or change."""
    whisper = tiny_whisper(seed)
    return WhisperBase(
        name="tiny",
        fingerprint=fingerprint(whisper.model.encoder),
        encoder=WhisperSharedEncoder(whisper.model.encoder),
        whisper=whisper,
        tokenizer=tiny_tokenizer(),
        generation=GenerationConfig(alignment_heads=[[0, 1], [1, 0]]),
    )


def random_adapter(shape: AdapterShape, seed: int = 0) -> Adapter:
    """An adapter that changes much, in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    adapter = Adapter(shape)
    for parameter in adapter.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return adapter.requires_grad_(False).eval()


def make_card(adapter: Adapter, name: str, base_fingerprint: str, sha256: str = "") -> AdapterCard:
    """A card that fits `adapter`: blank, space, then letters."""
    shape = adapter.shape
    letters = tuple(chr(ord("a") + number) for number in range(shape.n_vocab - 2))
    return AdapterCard(
        id=name,
        version=1,
        language="it",
        kind="bottleneck",
        rank=shape.rank,
        layers=shape.layers,
        vocabulary=("", " ", *letters)[: shape.n_vocab],
        base_model="tiny",
        base_fingerprint=base_fingerprint,
        sha256=sha256,
        training=Training(("none",), ("CC0-1.0",), 0.5, "few-shot", 10, 1),
        evaluation=None,
        lexicon=None,
        served_by="adapter",
    )


def publish(store: Path, adapter: Adapter, name: str, base: str) -> AdapterCard:
    """Write `adapter` with its card into the directory `store`."""
    content = save(adapter.state_dict())
    card = make_card(adapter, name, base, hashlib.sha256(content).hexdigest())
    (store / name).mkdir()
    (store / name / WEIGHTS_FILE).write_bytes(content)
    write_card(card, store / name)
    return card


def noise(n_samples: int, seed: int = 0) -> Tensor:
    """float32 `[n_samples]`: noise whose loudness comes and goes, as that of speech does."""
    generator = torch.Generator().manual_seed(seed)
    loudness = torch.sin(torch.arange(n_samples) / 900).abs()
    return torch.randn(n_samples, generator=generator) * loudness * 0.2


def read_clip(path: Path) -> Tensor:
    """float32 `[n_samples]` of a 16 kHz mono file."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    samples = np.concatenate(frames)
    assert samples.dtype == np.int16
    return torch.from_numpy(samples.astype(np.float32) / 32768)
