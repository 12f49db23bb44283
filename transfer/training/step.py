"""The parts of a training step: loss, masking, judging.

Connectionist Temporal Classification: Graves et al. (2006). Masking: SpecAugment, Park et al.
(2019), here on the input of the first layer that learns, since what lies below runs only once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jiwer
import torch
import torch.nn.functional as F
from torch import Tensor

from speech.ctc.paths import greedy, text_of
from transfer.data.text import scoring_form
from transfer.training.examples import Batch, Speech
from transfer.training.learner import Learner
from transfer.training.processes import Processes
from transfer.training.settings import TrainSettings


def ctc_loss(log_probs: Tensor, lengths: Tensor, batch: Batch) -> Tensor:
    """CTC loss per symbol of the batch; a row too short for its text counts as zero.

    Args:
        log_probs: float32 `[batch, n_frames, n_vocab]`.
        lengths: int64 `[batch]`, true frames of each row.
        batch: its targets are used.
    """
    summed = F.ctc_loss(
        log_probs.transpose(0, 1),
        batch.targets.to(log_probs.device),
        lengths,
        batch.target_lengths.to(log_probs.device),
        reduction="sum",
        zero_infinity=True,
    )
    return summed / len(batch.targets)


@dataclass(frozen=True)
class Masks:
    """What is silenced in one batch, drawn before its lengths are known.

    Attributes:
        kept: bool `[batch, 1, d_model]`, features that stay.
        starts: per time mask, float32 `[batch, 1]`, its first frame as a share of the length.
        widths: per time mask, int64 `[batch, 1]`, frames.
    """

    kept: Tensor
    starts: tuple[Tensor, ...]
    widths: tuple[Tensor, ...]


def draw_masks(rows: int, d_model: int, settings: TrainSettings, chance: torch.Generator) -> Masks:
    """Draw the masks of a batch of `rows`: as many draws whatever is in it."""
    kept = torch.rand(rows, 1, d_model, generator=chance) >= settings.feature_dropout
    starts, widths = [], []
    for _ in range(settings.time_masks):
        starts.append(torch.rand(rows, 1, generator=chance))
        widths.append(torch.randint(settings.time_mask_frames + 1, (rows, 1), generator=chance))
    return Masks(kept, tuple(starts), tuple(widths))


def masked(batch: Batch, masks: Masks) -> Tensor:
    """Silence stretches of time and whole features of each row: `[batch, n_frames, d_model]`."""
    kept, lengths = masks.kept, batch.lengths[:, None]
    frame = torch.arange(batch.hidden.shape[1])[None, :]
    for share, most in zip(masks.starts, masks.widths, strict=True):
        start = (share * lengths).long()
        # A short clip loses at most a tenth to each mask, or its text could not be heard at all.
        width = torch.minimum(most, lengths // 10)
        kept = kept & ~((frame >= start) & (frame < start + width))[:, :, None]
    return batch.hidden * kept


@torch.inference_mode()
def judge(
    learner: Learner,
    speech: Speech,
    vocabulary: Sequence[str],
    language: str,
    settings: TrainSettings,
    processes: Processes,
) -> tuple[float, float]:
    """Greedy WER and CER; each process hears a share of the batches."""
    learner.adapter.eval()
    references, hypotheses = [], []
    for group in speech.groups(settings.batch_frames)[processes.rank :: processes.count]:
        batch = speech.batch(group)
        log_probs, lengths = learner.log_probs(batch.hidden, batch.lengths)
        for row, n_frames, text in zip(log_probs, lengths.tolist(), batch.texts, strict=True):
            symbols = greedy(row[:n_frames].cpu().numpy()).symbols
            references.append(scoring_form(text, language))
            hypotheses.append(scoring_form(text_of(symbols, vocabulary), language))
    counts = [0.0] * 4
    if references:
        words = jiwer.process_words(references, hypotheses)
        letters = jiwer.process_characters(references, hypotheses)
        counts = [
            count
            for found in (words, letters)
            for count in (
                found.substitutions + found.deletions + found.insertions,
                found.hits + found.substitutions + found.deletions,
            )
        ]
    wrong_words, n_word, wrong_letters, n_letter = processes.total(counts)
    return wrong_words / max(1.0, n_word), wrong_letters / max(1.0, n_letter)
