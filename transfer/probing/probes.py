"""Linear CTC probes, one on each height of a frozen encoder, all trained in one pass.

What a linear layer can read off hidden states is what the encoder already tells apart: Alain and
Bengio, "Understanding intermediate layers using linear classifier probes" (2016); layer by layer
for speech: Pasad et al., "Layer-wise analysis of a self-supervised speech representation model"
(2021).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech.adapters.card import ErrorRate
from speech.ctc.alignment import align
from speech.ctc.paths import BLANK, greedy_batch, text_of
from transfer.evaluation.scoring import Judged, score
from transfer.progress import Bars
from transfer.training.examples import Batch, Group, Speech

Loss = Callable[[Tensor, Batch, Group], Tensor]
"""Log-probabilities `[n_heights, batch, n_frames, n_vocab]` to a loss of each height, summed."""

_BATCH_FRAMES = 500
_JUDGED_FRAMES = 2000
_PADDING = -100


@dataclass(frozen=True)
class ProbeSettings:
    """How probes learn: measured on 5 minutes of Catalan and Italian, where more overfits.

    Attributes:
        learning_rate: AdamW's, falling to zero.
        weight_decay: AdamW's.
        steps: about so many by CTC at first, within `epochs`.
        epochs: fewest and most passes over the clips then; half as many follow, and a third.
        seed: of the order of clips; the probes start at zero.
    """

    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    steps: int = 400
    epochs: tuple[int, int] = (12, 40)
    seed: int = 0


class Probes(nn.Module):
    """A standardised linear layer at each height.

    Standardised by training speech, for heights differ in scale and the probes share one rate.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Tensor, deviation: Tensor, n_vocab: int) -> None:
        """Start from zero: every symbol is as likely as any other.

        Args:
            mean, deviation: float32 `[n_heights, d_model]`, of hidden states.
            n_vocab: CTC classes.
        """
        super().__init__()
        n_heights, d_model = mean.shape
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.weight = nn.Parameter(torch.zeros(n_heights, d_model, n_vocab))
        self.bias = nn.Parameter(torch.zeros(n_heights, 1, n_vocab))

    def forget(self) -> None:
        """Start from zero again."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """`[batch, n_frames, n_heights, d_model]` → `[n_heights, batch, n_frames, n_vocab]`."""
        batch, n_frames, n_heights, d_model = hidden.shape
        hidden = (hidden - self.mean) / self.deviation
        rows = hidden.permute(2, 0, 1, 3).reshape(n_heights, -1, d_model)
        logits = torch.baddbmm(self.bias, rows, self.weight)
        return logits.log_softmax(dim=-1).view(n_heights, batch, n_frames, -1)


def learn_probes(
    heard: Speech, n_vocab: int, settings: ProbeSettings, device: torch.device, bars: Bars
) -> Probes:
    """Train a probe on each height of `heard`.

    CTC alone leaves some probes writing next to nothing but blanks, by chance and for good: it has
    to find out when each letter is said, which is not what is asked of a layer. So all learn twice:
    by CTC; then anew, first the frames that the best of them has found, which no local optimum can
    hold up, and on from there by CTC.
    """
    probes = Probes(*_moments(heard), n_vocab).to(device)
    n_group = len(heard.groups(_BATCH_FRAMES))
    fewest, most = settings.epochs
    epochs = min(most, max(fewest, math.ceil(settings.steps / n_group)))
    stages = (epochs, math.ceil(epochs / 3), math.ceil(epochs / 2))
    advance = bars("training probes", sum(stages))
    rate = settings.learning_rate

    def learn(loss: Loss, rate: float, epochs: int) -> Tensor:
        return _learn(probes, heard, loss, replace(settings, learning_rate=rate), epochs, advance)

    best = int(learn(_ctc, rate, stages[0]).argmin())
    classes = _frame_classes(probes, best, heard)
    probes.forget()
    learn(partial(_cross_entropy, classes), rate, stages[1])
    learn(_ctc, rate / 3, stages[2])
    return probes


@torch.inference_mode()
def judge_probes(
    probes: Probes, judged: Speech, vocabulary: Sequence[str]
) -> tuple[ErrorRate, ...]:
    """Symbols wrong at each height, read greedily, with a 95% interval over clips."""
    pairs: list[list[Judged]] = [[] for _ in probes.weight]
    for group in judged.groups(_JUDGED_FRAMES):
        batch = judged.batch(group)
        log_probs = probes(batch.hidden.to(probes.weight.device))
        for found, at_height in zip(pairs, log_probs, strict=True):
            paths = greedy_batch(at_height, batch.lengths)
            found += [
                Judged(text, text_of(path.symbols, vocabulary))
                for text, path in zip(batch.texts, paths, strict=True)
            ]
    return tuple(score(found).cer for found in pairs)


def _learn(
    probes: Probes,
    heard: Speech,
    loss: Loss,
    settings: ProbeSettings,
    epochs: int,
    advance: Callable[[], None],
) -> Tensor:
    """Train by `loss`; its sum over the last epoch, `[n_heights]`."""
    optimizer = torch.optim.AdamW(
        probes.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
    )
    # Batches are drawn anew in each epoch, and may be a few more than were counted.
    n_step = epochs * len(heard.groups(_BATCH_FRAMES))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: max(0.0, 1 - step / n_step)
    )
    total = torch.zeros(())
    for epoch in range(epochs):
        total = torch.zeros(len(probes.weight), device=probes.weight.device)
        order = random.Random(settings.seed * 100_003 + epoch)
        for group in heard.groups(_BATCH_FRAMES, order):
            batch = heard.batch(group)
            losses = loss(probes(batch.hidden.to(total.device)), batch, group)
            optimizer.zero_grad()
            # Each probe's gradient is its own alone.
            (losses.sum() / len(batch.targets)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += losses.detach()
        advance()
    return total


def _ctc(log_probs: Tensor, batch: Batch, _: Group) -> Tensor:
    n_heights, n_row = log_probs.shape[:2]
    losses = F.ctc_loss(
        log_probs.flatten(0, 1).transpose(0, 1),
        batch.targets.repeat(n_heights).to(log_probs.device),
        batch.lengths.repeat(n_heights),
        batch.target_lengths.repeat(n_heights),
        reduction="none",
        zero_infinity=True,
    )
    return losses.view(n_heights, n_row).sum(dim=1)


def _cross_entropy(
    classes: Sequence[Tensor], log_probs: Tensor, batch: Batch, group: Group
) -> Tensor:
    """The same for known classes of every frame, of each example of the clips."""
    rows = [classes[index] for index, _ in group]
    padded = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=_PADDING)
    repeated = padded.to(log_probs.device).repeat(len(log_probs), 1, 1)
    losses = F.cross_entropy(
        log_probs.flatten(0, 2), repeated.flatten(), ignore_index=_PADDING, reduction="none"
    )
    return losses.view(len(log_probs), -1).sum(dim=1)


@torch.no_grad()
def _frame_classes(probes: Probes, height: int, heard: Speech) -> list[Tensor]:
    """Of each example the class of every frame, int64 `[n_frames]`, as one height aligns it."""
    found = []
    for index, example in enumerate(heard.examples):
        hidden = heard.batch(((index, 0),)).hidden
        log_probs = probes(hidden.to(probes.weight.device))[height, 0]
        path = align(log_probs, example.targets.tolist())
        assert path is not None  # clips too short for their text were left out
        symbols = torch.tensor([*path.symbols, BLANK])
        found.append(symbols[torch.from_numpy(path.frames)])
    return found


def _moments(heard: Speech) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over all frames, float32 `[n_heights, d_model]`."""
    n_frame, total, squares = 0, torch.zeros(()), torch.zeros(())
    for index in range(len(heard.examples)):
        hidden = heard.batch(((index, 0),)).hidden[0].double()
        n_frame += len(hidden)
        total = total + hidden.sum(dim=0)
        squares = squares + hidden.square().sum(dim=0)
    mean = total / n_frame
    deviation = (squares / n_frame - mean.square()).clamp(min=0.0).sqrt()
    # A dimension that never moves tells nothing, and must not be divided by nothing.
    return mean.float(), deviation.clamp(min=1e-3).float()
