"""The parts of a training step: forward through the adapted layers, loss, masking, judging.

Connectionist Temporal Classification: Graves et al. (2006). Masking: SpecAugment, Park et al.
(2019), here on the first adapted layer's input, since what lies below runs only once.
"""

from __future__ import annotations

from collections.abc import Sequence

import jiwer
import torch
import torch.nn.functional as F
from torch import Tensor

from speech.adapters.module import Adapter
from speech.ctc.paths import greedy, text_of
from speech.encoder import Encoded, SharedEncoder
from transfer.examples import Batch, Example, batches
from transfer.settings import TrainSettings
from transfer.text import scoring_form


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


def forward(
    encoder: SharedEncoder,
    adapter: Adapter,
    hidden: Tensor,
    lengths: Tensor,
    settings: TrainSettings,
) -> tuple[Tensor, Tensor]:
    """Log-probabilities float32 `[batch, n_frames, n_vocab]` and the frames of each row."""
    device = next(adapter.parameters()).device
    lengths = lengths.to(device)
    layers = range(min(settings.layers), encoder.n_layers)
    half = settings.precision == "bf16"
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
        hidden = encoder.run_layers(hidden.to(device), lengths, adapter, layers)
        encoded = Encoded(encoder.finish(hidden), lengths)
        return adapter.log_probs(encoded), lengths


def masked(batch: Batch, settings: TrainSettings, chance: torch.Generator) -> Tensor:
    """Silence stretches of time and whole features of each row: `[batch, n_frames, d_model]`."""
    rows, n_frames, d_model = batch.hidden.shape
    kept = torch.rand(rows, 1, d_model, generator=chance) >= settings.feature_dropout
    frame = torch.arange(n_frames)[None, :]
    for _ in range(settings.time_masks):
        start = (torch.rand(rows, 1, generator=chance) * batch.lengths[:, None]).long()
        width = torch.randint(settings.time_mask_frames + 1, (rows, 1), generator=chance)
        # A short clip loses at most a tenth to each mask, or its text could not be heard at all.
        width = torch.minimum(width, batch.lengths[:, None] // 10)
        kept = kept & ~((frame >= start) & (frame < start + width))[:, :, None]
    return batch.hidden * kept


@torch.inference_mode()
def judge(
    encoder: SharedEncoder,
    adapter: Adapter,
    examples: Sequence[Example],
    vocabulary: Sequence[str],
    language: str,
    settings: TrainSettings,
) -> tuple[float, float]:
    """Greedy WER and CER."""
    adapter.eval()
    references, hypotheses = [], []
    for batch in batches(examples, settings.batch_frames):
        log_probs, lengths = forward(encoder, adapter, batch.hidden, batch.lengths, settings)
        for row, n_frames, text in zip(log_probs, lengths.tolist(), batch.texts, strict=True):
            symbols = greedy(row[:n_frames].cpu().numpy()).symbols
            references.append(scoring_form(text, language))
            hypotheses.append(scoring_form(text_of(symbols, vocabulary), language))
    return float(jiwer.wer(references, hypotheses)), float(jiwer.cer(references, hypotheses))
