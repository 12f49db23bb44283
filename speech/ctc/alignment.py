"""Step 9, for finals: when each symbol of a known text was spoken.

The most likely of all CTC paths that spell the text, by Viterbi (Graves et al., "Connectionist
Temporal Classification", 2006). Two ways to the same path: torchaudio's `forced_align` for
posteriors that are on a CUDA device, numpy for all others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from speech.ctc.paths import BLANK, LogProbs, Path


def align(log_probs: LogProbs | Tensor, symbols: Sequence[int]) -> Path | None:
    """Most likely way to have spoken `symbols`; None when the frames are too few to hold them.

    Args:
        log_probs: float32 `[n_frames, n_vocab]`, an array or a tensor on any device.
        symbols: classes, none of them blank.
    """
    repeats = sum(before == after for before, after in pairwise(symbols))
    if len(log_probs) < max(1, len(symbols) + repeats):
        return None
    if isinstance(log_probs, Tensor):
        if log_probs.is_cuda and symbols and (forced_align := _torchaudio()) is not None:
            return _on_device(forced_align, log_probs, symbols)
        log_probs = log_probs.cpu().numpy()
    classes = _viterbi(log_probs, symbols)
    if classes is None:
        return None
    return Path.of(classes, np.take_along_axis(log_probs, classes[:, None], axis=1)[:, 0])


@cache
def _torchaudio() -> Callable[..., Any] | None:
    """`forced_align`, or None where torchaudio does not import."""
    # Beside a CPU build of torch it breaks `transformers`: never import it before CUDA is in use.
    try:
        from torchaudio.functional import forced_align  # noqa: PLC0415
    except (ImportError, OSError):
        return None
    return forced_align  # type: ignore[no-any-return]


def _on_device(
    forced_align: Callable[..., Any], log_probs: Tensor, symbols: Sequence[int]
) -> Path | None:
    targets = torch.tensor([symbols], dtype=torch.int32, device=log_probs.device)
    classes, scores = forced_align(log_probs.float()[None].contiguous(), targets, blank=BLANK)
    if not torch.isfinite(scores).all():
        return None
    return Path.of(classes[0].long().cpu().numpy(), scores[0].cpu().numpy())


def _viterbi(log_probs: LogProbs, symbols: Sequence[int]) -> npt.NDArray[np.int64] | None:
    """Class of each frame; over the 2 n + 1 states of blank, symbol, blank, …, symbol, blank."""
    n_frames = len(log_probs)
    states = np.full(2 * len(symbols) + 1, BLANK)
    states[1::2] = symbols
    # A symbol may follow the one before it directly, over the blank between, where they differ.
    barred = np.full(len(states), -np.inf)
    barred[3::2][states[3::2] != states[1:-2:2]] = 0.0
    # Two states that nobody can be in stand before the first, so that every state has all three
    # predecessors: itself, the one before, the one before that.
    scores = np.full((n_frames, len(states) + 2), -np.inf)
    scores[:, 2:] = log_probs[:, states]
    scores[0, 4:] = -np.inf
    best, skip = np.empty(len(states)), np.empty(len(states))
    for before, now in pairwise(scores):
        np.add(before[:-2], barred, out=skip)
        np.maximum(before[2:], before[1:-1], out=best)
        np.maximum(best, skip, out=best)
        now[2:] += best
    # The last state is a blank; the one before it is the last symbol, where there is one.
    state = len(states) - 1
    if scores[-1, state + 1] > scores[-1, state + 2]:
        state -= 1
    if not np.isfinite(scores[-1, state + 2]):
        return None
    path = np.empty(n_frames, dtype=np.int64)
    path[-1] = state
    for frame in range(n_frames - 2, -1, -1):
        skipped, previous, same = scores[frame, state : state + 3].tolist()
        skipped += barred[state]
        if max(previous, skipped) > same:
            state -= 1 if previous >= skipped else 2
        path[frame] = state
    return states[path]
