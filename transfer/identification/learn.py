"""The head's training: a linear correction of what the model says, kept as small as it can be."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from speech.language_id.head import LanguageHead
from transfer.identification.lesson import Lesson

_BATCH = 1024


@dataclass(frozen=True)
class LearnerSettings:
    """How the head learns.

    Attributes:
        ridge: weight of the squares of the correction's weights. Of most languages one speaker is
            at hand: with 0.3 a head is better with voices it knows, and with new ones worse than
            the model by itself (docs/language-id.md).
        steps: of Adam, each on 1,024 crops.
        learning_rate: greatest; falls to nothing along a cosine.
    """

    ridge: float = 3.0
    steps: int = 700
    learning_rate: float = 3e-3


def learn(lesson: Lesson, settings: LearnerSettings, seed: int) -> LanguageHead:
    """The head that says of the lesson's crops what they are; every language counts as much."""
    chance = torch.Generator().manual_seed(seed)
    heard, truth = lesson.heard, lesson.truth
    # States are centred and of one scale, so that the ridge weighs all the same.
    centre, spread = heard.states.mean(dim=0), heard.states.std()
    states = (heard.states - centre) / spread
    n_classes = heard.logits.shape[1]
    counts = torch.bincount(truth, minlength=n_classes).clamp(min=1)
    share = (1.0 / counts)[truth] * len(truth) / int((torch.bincount(truth) > 0).sum())
    scale = torch.ones((), requires_grad=True)
    weight = torch.zeros(n_classes, states.shape[1], requires_grad=True)
    bias = torch.zeros(n_classes, requires_grad=True)
    optimizer = torch.optim.Adam([scale, weight, bias], lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    for _ in range(settings.steps):
        crops = torch.randint(len(heard), (_BATCH,), generator=chance)
        logits = scale * heard.logits[crops] + states[crops] @ weight.T + bias
        losses = F.cross_entropy(logits, truth[crops], reduction="none")
        # What is no speech differs so much from it that no voice is learned with it.
        loss = (losses * share[crops]).mean() + settings.ridge * weight[:-1].square().sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    weight, bias = weight.detach() / spread, bias.detach()
    return LanguageHead(scale.detach(), weight, bias - weight @ centre)


def logits_of(head: LanguageHead, lesson: Lesson) -> Tensor:
    """What a head says of a lesson's crops, float32 `[n_crop, n_class]`."""
    return head(lesson.heard.states, lesson.heard.logits)


def temperature_for(logits: Tensor, truth: Tensor) -> float:
    """The temperature under which the truth is likeliest (Guo et al., "On Calibration of Modern
    Neural Networks", 2017), between 0.3 and 5."""
    candidates = torch.logspace(-0.5229, 0.699, 200)
    losses = torch.stack([F.cross_entropy(logits / each, truth) for each in candidates])
    return float(candidates[losses.argmin()])
