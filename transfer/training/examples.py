"""Clips as the adapter sees them, in batches of similar length.

What lies below the first layer that learns always says the same, so its output is computed once per
clip and speed, and kept in half precision: a third of every step saved. Where that would not fit in
memory it is computed when it is needed. The waveform is disturbed here (see `augment`), hidden
features are masked in the training loop.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from common.errors import CorruptAudio
from speech.encoder import FRAME_MS, SharedEncoder
from speech.features import SAMPLE_RATE_HZ
from transfer.data.audio import Samples, read_audio
from transfer.data.manifest import Clip, Rejected
from transfer.training.augment import disturbed
from transfer.training.vocabulary import encode, frames_needed

_SHORTEST_S = 0.1
Group = tuple[tuple[int, int], ...]
"""Rows of a batch: which example, at which of the speeds."""


@dataclass(frozen=True)
class Example:
    """One clip that can be learned from.

    Attributes:
        clip: its audio can be decoded.
        n_frames: at its own speed; enough for its text.
        targets: int64 `[n_symbols]`, CTC classes of the text.
        hidden: per speed, float16 `[n_frames, d_model]`, input of the first layer that learns;
            None where it is computed when needed.
    """

    clip: Clip
    n_frames: int
    targets: Tensor
    hidden: tuple[Tensor, ...] | None


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


@dataclass(frozen=True)
class LowerLayers:
    """The encoder below the first layer that learns.

    Attributes:
        encoder: the whole of it.
        first_layer: counted from 0, the first that is not run.
        half: compute in bfloat16.
    """

    encoder: SharedEncoder
    first_layer: int
    half: bool

    def n_frames(self, samples: Samples) -> int:
        """Frames that come of `samples`."""
        return self.encoder.n_frames(len(_lengthened(samples)))

    def features(self, samples: Samples) -> tuple[Tensor, Tensor]:
        """What the encoder takes of one clip, no shorter and no longer than it can."""
        audio = torch.from_numpy(_lengthened(samples)[: self.encoder.max_samples])
        return self.encoder.features([audio])

    @torch.inference_mode()
    def __call__(self, samples: Samples) -> Tensor:
        """Hidden states of one clip, float16 `[n_frames, d_model]` on the CPU."""
        device = next(self.encoder.parameters()).device
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.half):
            hidden, lengths = self.encoder.subsample(*self.features(samples))
            hidden = self.encoder.run_layers(hidden, lengths, layers=range(self.first_layer))
        return hidden[0].to("cpu", torch.float16)


@dataclass(frozen=True)
class Speech:
    """Clips of one split, ready for the layers that learn.

    Attributes:
        lower: the layers below.
        speeds: at which each clip may be heard.
        seed: of what is disturbed only when it is needed.
        examples: in the manifest's order.
        left_out: clips that cannot be learned from, and why.
    """

    lower: LowerLayers
    speeds: tuple[float, ...]
    seed: int
    examples: tuple[Example, ...]
    left_out: tuple[Rejected, ...]

    def batch(self, group: Group, epoch: int = 0) -> Batch:
        """The rows of `group`; `epoch` is part of the seed where they are computed only now."""
        chosen = [self.examples[index] for index, _ in group]
        hidden = [self._hidden(*row, epoch).float() for row in group]
        return Batch(
            hidden=torch.nn.utils.rnn.pad_sequence(hidden, batch_first=True),
            lengths=torch.tensor([len(row) for row in hidden]),
            targets=torch.cat([example.targets for example in chosen]),
            target_lengths=torch.tensor([len(example.targets) for example in chosen]),
            texts=tuple(example.clip.text for example in chosen),
        )

    def groups(self, frames: int, order: random.Random | None = None) -> list[Group]:
        """Rows of similar length, in batches of about `frames` frames.

        With `order`, lengths are jittered, batches shuffled and each example heard at a random
        speed; without, everything comes longest first at the first speed.
        """
        lengths = [example.n_frames for example in self.examples]
        keys = [n_frames * (order.uniform(0.9, 1.1) if order else 1.0) for n_frames in lengths]
        groups: list[list[int]] = [[]]
        for index in sorted(range(len(keys)), key=lambda index: -keys[index]):
            rows = groups[-1]
            # The first row of a group is about its longest: the whole is padded to it.
            if rows and (len(rows) + 1) * lengths[rows[0]] > frames:
                groups.append(rows := [])
            rows.append(index)
        if order:
            order.shuffle(groups)
        return [
            tuple((index, order.randrange(len(self.speeds)) if order else 0) for index in rows)
            for rows in groups
        ]

    def _hidden(self, index: int, speed: int, epoch: int) -> Tensor:
        example = self.examples[index]
        if example.hidden is not None:
            return example.hidden[speed]
        chance = np.random.default_rng((self.seed, epoch, index))
        return _heard(self.lower, read_audio(example.clip.audio), self.speeds[speed], chance)


def listen(
    lower: LowerLayers,
    clips: Sequence[Clip],
    vocabulary: Sequence[str],
    *,
    speeds: Sequence[float] = (1.0,),
    seed: int = 0,
    keep: bool = True,
    advance: Callable[[], None] = lambda: None,
) -> Speech:
    """Read every clip once, and leave out those that cannot be learned from.

    A clip at another speed than 1 is also disturbed: see `transfer.training.augment.disturbed`.

    Args:
        lower: the layers to run.
        clips: audio paths absolute.
        vocabulary: symbol of each CTC class.
        speeds: at which each clip is heard.
        seed: of what is disturbed.
        keep: run the layers now, and keep what they say in memory; else they run whenever a batch
            needs them.
        advance: called once per clip.
    """
    chance = np.random.default_rng(seed)
    examples, left_out = [], []
    for clip in clips:
        advance()
        classes = encode(clip.text, vocabulary)
        try:
            samples = read_audio(clip.audio)
        except CorruptAudio:
            left_out.append(Rejected(clip, "audio cannot be decoded"))
            continue
        if (reason := _defect(clip, samples, classes, lower)) is not None:
            left_out.append(Rejected(clip, reason))
            continue
        hidden = None
        if keep:
            hidden = tuple(_heard(lower, samples, speed, chance) for speed in speeds)
        targets = torch.tensor(classes, dtype=torch.long)
        examples.append(Example(clip, lower.n_frames(samples), targets, hidden))
    return Speech(lower, tuple(speeds), seed, tuple(examples), tuple(left_out))


def bytes_kept(clips: Sequence[Clip], n_speeds: int, d_model: int) -> int:
    """Memory that the hidden states of `clips` take when they are kept."""
    n_frames = sum(clip.duration_s for clip in clips) * 1000 / FRAME_MS
    return int(n_frames * n_speeds * d_model * 2)


def _heard(
    lower: LowerLayers, samples: Samples, speed: float, chance: np.random.Generator
) -> Tensor:
    return lower(disturbed(samples, speed, chance) if speed != 1.0 else samples)


def _defect(clip: Clip, samples: Samples, classes: Sequence[int], lower: LowerLayers) -> str | None:
    if not clip.text.strip():
        return "text is empty"
    if not len(samples):
        return "there is no audio"
    if len(samples) > lower.encoder.max_samples:
        return f"audio longer than {lower.encoder.max_samples / SAMPLE_RATE_HZ:g} s"
    if not np.isfinite(samples).all():
        return "audio holds values that are no numbers"
    if frames_needed(classes) > lower.n_frames(samples):
        return "audio shorter than its text can be"
    return None


def _lengthened(samples: Samples) -> Samples:
    return np.pad(samples, (0, max(0, int(_SHORTEST_S * SAMPLE_RATE_HZ) - len(samples))))
