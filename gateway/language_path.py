"""Step 4: the likeliest sequence of languages under a sticky hidden Markov model. Pure.

Time is in frames; a state is a language. Staying has odds 1, going over to a language the odds that
it is given, at each frame. Both algorithms are Rabiner's ("A Tutorial on Hidden Markov Models",
1989): Viterbi for where the language changes, forward-backward for how sure that is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Path = npt.NDArray[np.int64]


def marginals(evidence: Floats, prior: Floats, switch: Floats) -> Floats:
    """Probability of each state at each frame, given all frames.

    Args:
        evidence: log likelihoods `[n_frame, n_state]`, at least one frame.
        prior: odds `[n_state]` at the first frame.
        switch: odds `[n_state]` of going over to a state from any other one.

    Returns:
        float64 `[n_frame, n_state]`; rows sum to 1.
    """
    likelihood = np.exp(evidence - evidence.max(axis=1, keepdims=True))
    forward = np.empty_like(likelihood)
    arriving = prior
    for frame, here in enumerate(likelihood):
        reached = arriving * here
        forward[frame] = reached = reached / reached.sum()
        arriving = reached + switch * (1 - reached)
    backward = np.ones_like(likelihood)
    for frame in range(len(likelihood) - 2, -1, -1):
        ahead = backward[frame + 1] * likelihood[frame + 1]
        leaving = switch * ahead
        before = ahead + leaving.sum() - leaving
        backward[frame] = before / before.sum()
    both = forward * backward
    return np.asarray(both / both.sum(axis=1, keepdims=True))


def best_path(evidence: Floats, prior: Floats, switch: Floats) -> Path:
    """State of each frame on the likeliest path, int64 `[n_frame]`; arguments as of `marginals`."""
    n_frames, n_states = evidence.shape
    if n_states == 1:
        return np.zeros(n_frames, np.int64)
    arrived_from = np.empty((n_frames, n_states), np.int64)
    own = np.arange(n_states)
    with np.errstate(divide="ignore"):
        score, leap = np.log(prior) + evidence[0], np.log(switch)
    for frame in range(1, n_frames):
        ranked = np.argsort(-score, kind="stable")[:2]
        others_best = np.where(own == ranked[0], ranked[-1], ranked[0])
        switched = score[others_best] + leap
        arrived_from[frame] = np.where(switched > score, others_best, own)
        score = np.maximum(score, switched) + evidence[frame]
    path = np.empty(n_frames, np.int64)
    path[-1] = score.argmax()
    for frame in range(n_frames - 1, 0, -1):
        path[frame - 1] = arrived_from[frame, path[frame]]
    return path


def steady(path: Path, shortest: int) -> Path:
    """A path without runs of less than `shortest` frames, unless it is one run as a whole.

    The shortest goes first, to the longer of its neighbours.
    """
    steadied = path.copy()
    while True:
        edges = [0, *(np.flatnonzero(np.diff(steadied)) + 1), len(steadied)]
        lengths = np.diff(edges)
        if len(lengths) == 1 or lengths.min() >= shortest:
            return steadied
        run = int(lengths.argmin())
        before, _, after = np.pad(lengths, 1)[run : run + 3]
        first, last = edges[run], edges[run + 1]
        steadied[first:last] = steadied[first - 1 if before >= after else last]
