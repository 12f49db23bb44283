"""Small encoders of both families, and four clips that they learn by heart within seconds.

`python -m tests.transfer.learning ARGUMENTS` trains in a process of its own; see `Arguments`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import (
    GenerationConfig,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

from speech.adapters.kinds import BOTTLENECK, AdapterShape
from speech.base_model import WhisperBase
from speech.whisper.encoder import WhisperSharedEncoder
from tests.speech.tiny import random_adapter
from tests.speech.tiny_mms import tiny_config
from transfer.data.audio import Samples, write_flac
from transfer.data.manifest import Clip, read_manifest
from transfer.training.learner import Learner
from transfer.training.processes import launched
from transfer.training.settings import TrainSettings
from transfer.training.source import Fusion, Source, Start
from transfer.training.train import train

SETTINGS = TrainSettings(
    rank=8,
    layers=(1,),
    epochs=30,
    learning_rate=1e-2,
    warmup_steps=4,
    batch_s=3.0,
    speeds=(1.0, 1.1),
    time_masks=1,
    feature_dropout=0.0,
    patience=100,
    precision="fp32",
)
BY_HEART = replace(SETTINGS, layers=(0, 1), epochs=130, speeds=(1.0,), time_masks=0, patience=130)
"""Nothing is disturbed, and as long as it takes."""
TEXTS = ("ab", "ba", "a b", "b a")


def tiny_whisper() -> WhisperBase:
    """Two layers, 32 wide."""
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=64,
        d_model=32,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=0,
    )
    whisper = WhisperForConditionalGeneration(config).requires_grad_(False).eval()
    # As initialised, a convolution lets next to nothing of the sound through.
    for convolution in (whisper.model.encoder.conv1, whisper.model.encoder.conv2):
        convolution.weight.mul_(20.0)
    encoder = WhisperSharedEncoder(whisper.model.encoder)
    return WhisperBase("tiny", "sha256:0", encoder, whisper, Tokenizer(BPE()), GenerationConfig())


def write_wav2vec2(directory: Path) -> Path:
    """A pretrained model as the hub has it, without a head; its layers let the sound through."""
    torch.manual_seed(0)
    model = Wav2Vec2Model(tiny_config(initializer_range=0.1, conv_dim=(32,) * 7))
    model.save_pretrained(directory)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(directory)
    return directory


def spoken(folder: Path, texts: tuple[str, ...] = TEXTS, symbol_s: float = 0.12) -> list[Clip]:
    """Each letter a chord of its own, a space silence; once to learn and once to judge by."""
    made = []
    for number, text in enumerate(texts):
        audio = np.concatenate([_chord(symbol, symbol_s) for symbol in text])
        path = folder / f"{number}.flac"
        write_flac(path, audio)
        made.append(Clip(str(path), text, "en", len(audio) / 16_000, "test", "chords"))
    return made + [replace(clip, split="development") for clip in made]


def _chord(symbol: str, seconds: float) -> Samples:
    pitch = 2 * np.pi * (ord(symbol) - ord("a") + 1) * np.arange(int(seconds * 16_000)) / 16_000
    tone = np.sin(230.0 * pitch) + np.sin(610.0 * pitch)
    return (0.2 * tone * (symbol != " ")).astype(np.float32)


@dataclass(frozen=True)
class Arguments:
    """Of a process that trains.

    Attributes:
        manifest: of `spoken`.
        run: its folder.
        settings: other than `SETTINGS`.
        every_s: between checkpoints within an epoch.
        killed_at: `step` or `write`: what it dies of, by SIGKILL and without a word.
        killed_after: so many of them.
        fusion: of two adapters of random numbers, to start from.
    """

    manifest: str
    run: str
    settings: dict[str, Any] = field(default_factory=dict)
    every_s: float = 0.0
    killed_at: str | None = None
    killed_after: int = 0
    fusion: Fusion | None = None

    def command(self) -> list[str]:
        """For `python`."""
        return ["-m", "tests.transfer.learning", json.dumps(asdict(self))]


def random_start(fusion: Fusion) -> Start:
    """Two adapters of the shape that `SETTINGS` ask for, writing a and b."""
    shape = AdapterShape(BOTTLENECK, 32, SETTINGS.rank, SETTINGS.layers, 4)
    sources = (
        Source(f"s{seed}@1", random_adapter(shape, seed).state_dict(), ("", " ", "a", "b"))
        for seed in (1, 2)
    )
    return Start(tuple(sources), (0.25, 0.75), fusion)


def main(arguments: Arguments) -> None:
    """Train as told."""
    torch.set_num_threads(1)
    if arguments.killed_at == "step":
        _killing(Learner, "step", arguments.killed_after)
    if arguments.killed_at == "write":
        # What was written is not yet known by its name, and perhaps not yet on the disk.
        _killing(os, "fsync", arguments.killed_after)
    with launched() as processes:
        train(
            tiny_whisper(),
            read_manifest(Path(arguments.manifest)),
            "en",
            replace(SETTINGS, **arguments.settings),
            Path(arguments.run),
            None if arguments.fusion is None else random_start(arguments.fusion),
            processes=processes,
            checkpoint_every_s=arguments.every_s,
        )


def _killing(holder: Any, name: str, after: int) -> None:
    genuine: Callable[..., Any] = getattr(holder, name)
    calls = 0

    def deadly(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            os.kill(os.getpid(), signal.SIGKILL)
        return genuine(*arguments, **named)

    setattr(holder, name, deadly)


if __name__ == "__main__":
    main(Arguments(**json.loads(sys.argv[1])))
