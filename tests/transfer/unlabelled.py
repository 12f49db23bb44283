"""Audio that nobody has written down, and a small model to go on with, for tests.

`python -m tests.transfer.unlabelled ARGUMENTS` pre-trains in a process of its own.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model

from common.audio import Samples
from tests.speech.tiny_mms import tiny_config
from transfer.data.audio import write_flac
from transfer.pretraining.learner import Learner
from transfer.pretraining.model import open_start
from transfer.pretraining.pretrain import pretrain
from transfer.pretraining.recordings import named_audio
from transfer.pretraining.settings import PretrainSettings
from transfer.training.processes import launched

SETTINGS = PretrainSettings(
    steps=6,
    learning_rate=3e-3,
    batch_s=4.0,
    crop_s=2.0,
    accumulation=2,
    precision="fp32",
)


_DROPOUTS = ("hidden_dropout", "attention_dropout", "feat_proj_dropout", "activation_dropout")


def tiny_base(directory: Path, norm: str = "layer", **changes: Any) -> Path:
    """A pretrained encoder as the hub has it, without a quantiser; little of everything."""
    torch.manual_seed(0)
    config = tiny_config(
        **{
            "initializer_range": 0.1,
            "conv_dim": (32,) * 7,
            "feat_extract_norm": norm,
            "conv_bias": norm == "layer",
            "do_stable_layer_norm": norm == "layer",
            "codevector_dim": 16,
            "proj_codevector_dim": 16,
            "num_codevectors_per_group": 8,
            "num_negatives": 10,
            "hidden_size": 64,
            "layerdrop": 0.1,
            **dict.fromkeys(_DROPOUTS, 0.0),
            **changes,
        }
    )
    Wav2Vec2Model(config).save_pretrained(directory)
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=norm == "layer")
    extractor.save_pretrained(directory)
    return directory


def melodies(folder: Path, count: int = 12, seed: int = 0) -> Path:
    """Recordings of one to three seconds, of chords that come in a fixed order at any pace."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(seed)
    for number in range(count):
        write_flac(folder / f"{number:02}.flac", _melody(chance))
    return folder


def _melody(chance: np.random.Generator) -> Samples:
    parts = []
    place = chance.integers(5)
    for _ in range(chance.integers(3, 6)):
        time = np.arange(int(chance.uniform(0.3, 0.7) * 16_000)) / 16_000
        pitch = 2 * np.pi * time * 1.4**place
        parts.append(np.sin(200 * pitch) + np.sin(530 * pitch))
        place = (place + 2) % 5
    melody = 0.2 * np.concatenate(parts) + chance.normal(0, 0.01, sum(map(len, parts)))
    return melody.astype(np.float32)


@dataclass(frozen=True)
class Arguments:
    """Of a process that pre-trains.

    Attributes:
        base, audio, run: as of the command.
        settings: other than `SETTINGS`.
        killed_after: so many optimiser steps it dies, by SIGKILL and without a word.
    """

    base: str
    audio: str
    run: str
    settings: dict[str, Any] = field(default_factory=dict)
    killed_after: int | None = None

    def command(self) -> list[str]:
        """For `python`."""
        return ["-m", "tests.transfer.unlabelled", json.dumps(asdict(self))]


def main(arguments: Arguments) -> None:
    """Pre-train as told."""
    torch.set_num_threads(1)
    if arguments.killed_after is not None:
        _kill_after(arguments.killed_after)
    settings = replace(SETTINGS, base_model=arguments.base, **arguments.settings)
    with launched() as processes:
        pretrain(
            open_start(settings),
            named_audio([f"be={arguments.audio}"]),
            settings,
            Path(arguments.run),
            processes=processes,
            checkpoint_every_s=0.0,
        )


def _kill_after(steps: int) -> None:
    genuine, left = Learner.step, steps

    def deadly(*arguments: Any) -> bool:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return genuine(*arguments)

    Learner.step = deadly  # type: ignore[assignment,method-assign]


if __name__ == "__main__":
    main(Arguments(**json.loads(sys.argv[1])))
