"""Words among the tokens of Whisper's decoder, and when they were spoken. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from speech.whisper.languages import UNSPACED


def word_bounds(tokenizer: Tokenizer, tokens: list[int], language: str) -> list[tuple[int, int]]:
    """Where words begin and end among the tokens; a character may take several of them."""
    bounds: list[tuple[int, int]] = []
    first = 0
    for index in range(len(tokens)):
        piece = tokenizer.decode(tokens[first : index + 1])
        if piece.endswith("\ufffd"):
            continue
        if piece.startswith(" ") or not bounds or language in UNSPACED:
            bounds.append((first, index + 1))
        else:
            bounds[-1] = (bounds[-1][0], index + 1)
        first = index + 1
    return bounds


def first_frames(attention: npt.NDArray[np.float32]) -> list[int]:
    """First frame of each token on the monotone path of greatest attention `[n_token, n_frames]`.

    Each frame belongs to one token and each token to at least one frame; with fewer frames than
    tokens they are spread evenly.
    """
    n_token, n_frames = attention.shape
    if n_token > n_frames:
        return [index * n_frames // n_token for index in range(n_token)]
    score = np.full(n_token, -np.inf)
    score[0] = attention[0, 0]
    advanced = np.zeros((n_frames, n_token), dtype=bool)
    for frame in range(1, n_frames):
        from_previous = np.concatenate(([-np.inf], score[:-1]))
        advanced[frame] = from_previous > score
        score = np.maximum(score, from_previous) + attention[:, frame]
    firsts = [0] * n_token
    token = n_token - 1
    for frame in range(n_frames - 1, 0, -1):
        if advanced[frame, token]:
            firsts[token] = frame
            token -= 1
    return firsts
