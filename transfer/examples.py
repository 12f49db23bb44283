"""Clips as the adapter sees them: the frozen lower layers run once, before training.

Everything below the first adapted layer never changes, so its output is computed once per clip and
speed and kept in half precision: a third of every step saved. The waveform is disturbed here (see
`transfer.augment`), hidden features are masked in the training loop.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from speech.encoder import SharedEncoder
from speech.features import SAMPLE_RATE_HZ
from transfer.audio import Samples, read_audio
from transfer.augment import disturbed
from transfer.manifest import Clip
from transfer.vocabulary import encode

_SHORTEST_S = 0.1


@dataclass(frozen=True)
class Example:
    """One clip, ready for the adapted layers.

    Attributes:
        hidden: per speed, float16 `[n_frames, d_model]`, input of the first adapted layer.
        targets: int64 `[n_symbols]`, CTC classes of the text.
        text: what the clip says.
    """

    hidden: tuple[Tensor, ...]
    targets: Tensor
    text: str

    @property
    def n_frames(self) -> int:
        """Frames at the first speed."""
        return len(self.hidden[0])


@dataclass(frozen=True)
class Batch:
    """Rows of similar length.

    Attributes:
        hidden: float32 `[batch, n_frames, d_model]`, zero beyond each row's length.
        lengths: int64 `[batch]`, frames.
        targets: int64 `[sum of target_lengths]`, concatenated.
        target_lengths: int64 `[batch]`.
        texts: one per row.
    """

    hidden: Tensor
    lengths: Tensor
    targets: Tensor
    target_lengths: Tensor
    texts: tuple[str, ...]


@torch.inference_mode()
def precompute(
    encoder: SharedEncoder,
    clips: Sequence[Clip],
    vocabulary: Sequence[str],
    *,
    first_layer: int,
    speeds: Sequence[float] = (1.0,),
    seed: int = 0,
    half: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> list[Example]:
    """Run the layers below `first_layer` over every clip at every speed; call `advance` per clip.

    `half` computes in bfloat16.

    A clip at another speed than 1 is also disturbed: see `transfer.augment.disturbed`.
    """
    device = next(encoder.parameters()).device
    chance = np.random.default_rng(seed)
    examples = []
    for clip in clips:
        samples = read_audio(clip.audio)
        hidden = []
        for speed in speeds:
            heard = disturbed(samples, speed, chance) if speed != 1.0 else samples
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
                hidden.append(_lower_layers(encoder, heard, first_layer, device))
        targets = torch.tensor(encode(clip.text, vocabulary), dtype=torch.long)
        examples.append(Example(tuple(hidden), targets, clip.text))
        advance()
    return examples


def batches(
    examples: Sequence[Example], frames: int, order: random.Random | None = None
) -> Iterator[Batch]:
    """Group examples of similar length into batches of about `frames` frames.

    With `order`, lengths are jittered, batches shuffled and each example heard at a random speed;
    without, everything comes longest first at the first speed.
    """
    keys = [e.n_frames * (order.uniform(0.9, 1.1) if order else 1.0) for e in examples]
    ranked = sorted(range(len(examples)), key=lambda index: -keys[index])
    groups: list[list[int]] = [[]]
    for index in ranked:
        rows = groups[-1]
        # The first row of a group is about its longest: the whole is padded to it.
        if rows and (len(rows) + 1) * examples[rows[0]].n_frames > frames:
            groups.append(rows := [])
        rows.append(index)
    if order:
        order.shuffle(groups)
    for group in groups:
        chosen = [examples[index] for index in group]
        yield _collate(chosen, [order.randrange(len(e.hidden)) if order else 0 for e in chosen])


def _collate(examples: Sequence[Example], speeds: Sequence[int]) -> Batch:
    rows = [e.hidden[speed].float() for e, speed in zip(examples, speeds, strict=True)]
    return Batch(
        hidden=torch.nn.utils.rnn.pad_sequence(rows, batch_first=True),
        lengths=torch.tensor([len(row) for row in rows]),
        targets=torch.cat([e.targets for e in examples]),
        target_lengths=torch.tensor([len(e.targets) for e in examples]),
        texts=tuple(e.text for e in examples),
    )


def _lower_layers(
    encoder: SharedEncoder, samples: Samples, first_layer: int, device: torch.device
) -> Tensor:
    samples = np.pad(samples, (0, max(0, int(_SHORTEST_S * SAMPLE_RATE_HZ) - len(samples))))
    features, lengths = encoder.features([torch.from_numpy(samples[: encoder.max_samples])])
    hidden, lengths = encoder.subsample(features.to(device), lengths.to(device))
    hidden = encoder.run_layers(hidden, lengths, layers=range(first_layer))
    return hidden[0].to("cpu", torch.float16)
