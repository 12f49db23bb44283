"""From the model's posteriors to the caller's answer. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from lid_service.batcher import Posteriors

# Where it is likelier than not that nobody speaks.
_NO_SPEECH = 0.5


class Undetermined(Enum):
    """Why no language is named."""

    NO_SPEECH = "no_speech"
    HESITATION = "hesitation"


@dataclass(frozen=True)
class Question:
    """What the caller wants to know of a window.

    Attributes:
        candidates: the languages to choose among; empty for all.
        top_k: how many to tell, 1 or more.
        min_probability: 0 to 1; the likeliest language is named from this on.
    """

    candidates: tuple[str, ...]
    top_k: int
    min_probability: float


@dataclass(frozen=True)
class Identification:
    """What is known of a window.

    Attributes:
        ranked: the likeliest languages first, with their probability given that somebody speaks.
        background: the probability that nobody does.
        language: the likeliest, or why none is named.
    """

    ranked: tuple[tuple[str, float], ...]
    background: float
    language: str | Undetermined


def answer(languages: Sequence[str], posteriors: Posteriors, question: Question) -> Identification:
    """Answer `question` about a window.

    Args:
        languages: BCP-47 tags in the order of `posteriors`.
        posteriors: float32 `[n_language + 1]`, the background last.
        question: its candidates are among `languages`.
    """
    ranked = rank(languages, posteriors, question.candidates)
    background = float(posteriors[-1])
    likeliest, probability = ranked[0]
    language: str | Undetermined = likeliest
    if background >= _NO_SPEECH:
        language = Undetermined.NO_SPEECH
    elif probability < question.min_probability:
        language = Undetermined.HESITATION
    return Identification(tuple(ranked[: question.top_k]), background, language)


def rank(
    languages: Sequence[str], posteriors: Posteriors, candidates: Sequence[str]
) -> list[tuple[str, float]]:
    """Candidates, or all languages, with their probability given speech; likeliest first.

    Probabilities are scaled to sum to 1; all equal when the model gives no candidate any.
    """
    wanted = frozenset(candidates)
    pairs = [
        (language, float(value))
        for language, value in zip(languages, posteriors[:-1], strict=True)
        if not wanted or language in wanted
    ]
    total = sum(value for _, value in pairs)
    scaled = [
        (language, value / total if total > 0 else 1 / len(pairs)) for language, value in pairs
    ]
    return sorted(scaled, key=lambda pair: pair[1], reverse=True)
