"""From the model's posteriors to the caller's answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lid_service.batcher import Posteriors
from lid_service.posteriors import Identification, Question, Undetermined, answer, rank

LANGUAGES = ("en", "zh", "de", "jv")
CERTAIN = (0.5, 0.125, 0.25, 0.0, 0.125)


def row(*values: float) -> Posteriors:
    return np.array(values, dtype=np.float32)


def answered(values: Posteriors, *candidates: str, least: float = 0.5) -> Identification:
    return answer(LANGUAGES, values, Question(candidates, 2, least))


def test_probabilities_are_given_that_somebody_speaks() -> None:
    found = rank(LANGUAGES, row(0.25, 0.125, 0.125, 0.0, 0.5), ())
    assert found == [("en", 0.5), ("zh", 0.25), ("de", 0.25), ("jv", 0.0)]


def test_only_candidates() -> None:
    found = rank(LANGUAGES, row(*CERTAIN), ("zh", "de"))
    assert [language for language, _ in found] == ["de", "zh"]
    assert [value for _, value in found] == pytest.approx([2 / 3, 1 / 3])
    assert rank(LANGUAGES, row(*CERTAIN), ("jv",)) == [("jv", 1.0)]


def test_where_no_candidate_has_any_all_are_equal() -> None:
    nothing = row(1.0, 0.0, 0.0, 0.0, 0.0)
    assert rank(LANGUAGES, nothing, ("zh", "de")) == [("zh", 0.5), ("de", 0.5)]
    assert rank(LANGUAGES, row(0, 0, 0, 0, 1), ())[0] == ("en", 0.25)


@given(
    st.lists(st.floats(0, 1, width=32), min_size=5, max_size=5),
    st.sets(st.sampled_from(LANGUAGES)),
    st.floats(0, 1),
)
def test_an_answer_is_a_distribution_and_names_its_mode_or_a_reason(
    values: list[float], candidates: set[str], least: float
) -> None:
    question = Question(tuple(candidates), len(LANGUAGES), least)
    found = answer(LANGUAGES, row(*values), question)
    assert {language for language, _ in found.ranked} == (candidates or set(LANGUAGES))
    probabilities = [value for _, value in found.ranked]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1)
    match found.language:
        case Undetermined.NO_SPEECH:
            assert found.background >= 0.5
        case Undetermined.HESITATION:
            assert probabilities[0] < least
        case language:
            assert (language, probabilities[0]) == found.ranked[0]
            assert found.background < 0.5
            assert probabilities[0] >= least


@pytest.mark.parametrize(
    ("values", "least", "language"),
    [
        (CERTAIN, 0.5, "en"),
        (CERTAIN, 0.6, Undetermined.HESITATION),
        ((0.3, 0.3, 0.2, 0.2, 0.0), 0.5, Undetermined.HESITATION),
        ((0.3, 0.3, 0.2, 0.2, 0.0), 0.0, "en"),
        # The threshold is on what is said of languages, not on what is left of them by noise.
        ((0.6, 0.0, 0.0, 0.0, 0.4), 0.9, "en"),
        ((0.5, 0.0, 0.0, 0.0, 0.5), 0.0, Undetermined.NO_SPEECH),
        ((0.3, 0.3, 0.0, 0.0, 0.6), 0.9, Undetermined.NO_SPEECH),
    ],
)
def test_undetermined_rather_than_a_guess(
    values: tuple[float, ...], least: float, language: str | Undetermined
) -> None:
    found = answered(row(*values), least=least)
    assert found.language == language
    assert len(found.ranked) == 2  # what it hesitates between is told all the same
    assert found.background == pytest.approx(values[-1])


def test_the_mode_is_of_the_candidates() -> None:
    assert answered(row(*CERTAIN), "zh", "de").language == "de"
    assert answered(row(*CERTAIN), "zh", "de", least=0.7).language == Undetermined.HESITATION
