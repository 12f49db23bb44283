"""A step of pre-training, and how well the model tells the right codes from others.

The loss is `transformers`' own: contrastive, and alpha times the diversity of the codes.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Wav2Vec2ForPreTraining

from transfer.pretraining.batches import Batch
from transfer.pretraining.settings import PretrainSettings
from transfer.training.processes import Processes


@dataclass(frozen=True)
class Sums:
    """What came of masked frames, added up over all of them.

    Attributes:
        frames: how many.
        contrastive: loss, in nats.
        diversity: loss, 0 to 1 a frame: the share of the codes that are not used.
        perplexity: of the codes; of G codebooks with V entries at most G * V a frame.
        right: frames whose own code is nearest to what the model predicts, of all distractors; see
            `_right`.
    """

    frames: float = 0.0
    contrastive: float = 0.0
    diversity: float = 0.0
    perplexity: float = 0.0
    right: float = 0.0

    def __add__(self, other: Sums) -> Sums:
        return Sums(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))

    def over(self, processes: Processes) -> Sums:
        """The sums over all processes."""
        return Sums(*processes.total(astuple(self)))

    def means(self) -> dict[str, float]:
        """Per masked frame: `contrastive`, `diversity`, `perplexity` and `accuracy`."""
        frames = max(1.0, self.frames)
        return {
            "contrastive": self.contrastive / frames,
            "diversity": self.diversity / frames,
            "perplexity": self.perplexity / frames,
            "accuracy": self.right / frames,
        }


class Learner:
    """The model and its optimiser."""

    def __init__(
        self, model: Wav2Vec2ForPreTraining, settings: PretrainSettings, device: torch.device
    ) -> None:
        """Move the model to `device`; all of it that takes gradients learns."""
        model.to(device)  # type: ignore[arg-type]
        self.model = model
        self.device = device
        self.parameters = [each for each in model.parameters() if each.requires_grad]
        self._settings = settings
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=settings.learning_rate,
            betas=(0.9, 0.98),
            eps=1e-6,
            weight_decay=settings.weight_decay,
        )

    def hear(self, batch: Batch) -> tuple[Tensor, Sums]:
        """The loss, summed over masked frames, and what it is made of."""
        batch = batch.to(self.device)
        half = self._settings.precision == "bf16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half):
            found = self.model(
                batch.audio,
                attention_mask=batch.heard,
                mask_time_indices=batch.masked,
                sampled_negative_indices=batch.negatives,
            )
        frames = float(batch.masked.sum())
        return found.loss, Sums(
            frames,
            float(found.contrastive_loss.detach()),
            float(found.diversity_loss.detach()),
            float(found.codevector_perplexity.detach()) * frames,
            _right(found.projected_states, found.projected_quantized_states, batch),
        )

    def step(self, step: int, frames: float, processes: Processes) -> bool:
        """Make one optimiser step of the gradients there are, and forget them.

        Args:
            step: counts from 0.
            frames: masked frames that the gradients are summed over, in all processes.
            processes: those that learn together.

        Returns:
            False, and nothing is changed, where they are not finite.
        """
        processes.sum_gradients(self.parameters)
        for parameter in self.parameters:
            if parameter.grad is not None:
                parameter.grad /= frames
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self._settings.clip_norm)
        finite = bool(torch.isfinite(norm))
        if finite:
            for group in self.optimizer.param_groups:
                group["lr"] = self._settings.rate_at(step)
            self.optimizer.step()
        self.optimizer.zero_grad()
        return finite


@torch.no_grad()
def _right(predicted: Tensor, codes: Tensor, batch: Batch) -> float:
    """How many masked frames are found among their distractors.

    Distractors with the code of the frame itself share the find with it. So who guesses finds one
    in `n_negative + 1` however few codes are in use, and codes that have collapsed look no better.

    Args:
        predicted, codes: float `[batch, n_frames, n]`.
        batch: says which frames, and which distractors.
    """
    own = codes[batch.masked].float()
    others = codes.flatten(0, 1)[batch.negatives[batch.masked]].float()
    wanted = predicted[batch.masked].float()
    near = F.cosine_similarity(wanted, own, dim=-1)
    far = F.cosine_similarity(wanted[:, None], others, dim=-1)
    same = (others == own[:, None]).all(-1)
    farthest = far.masked_fill(same, -torch.inf).amax(-1)
    return float(((near > farthest) / (1 + same.sum(-1))).sum())
