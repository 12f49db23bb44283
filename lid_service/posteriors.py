"""From the model's posteriors to the caller's. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from lid_service.batcher import Posteriors


def rank(
    languages: Sequence[str], posteriors: Posteriors, candidates: Sequence[str]
) -> list[tuple[str, float]]:
    """Languages with their probability, likeliest first.

    With `candidates`, only those, their probabilities scaled to sum to 1; all equal when the model
    gives none of them any.
    """
    pairs = list(zip(languages, (float(value) for value in posteriors), strict=True))
    if candidates:
        pairs = [(language, value) for language, value in pairs if language in candidates]
        total = sum(value for _, value in pairs)
        pairs = [
            (language, value / total if total > 0 else 1 / len(pairs)) for language, value in pairs
        ]
    return sorted(pairs, key=lambda pair: pair[1], reverse=True)
