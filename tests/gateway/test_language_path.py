"""Step 4: both algorithms against the enumeration of all paths."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.language_path import Floats, best_path, marginals, steady


@st.composite
def lattices(draw: st.DrawFn) -> tuple[Floats, Floats, Floats]:
    """Evidence, prior and switch of up to 4 states at up to 5 frames."""
    n_frames, n_states = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    logs = st.lists(st.floats(-8, 0), min_size=n_states, max_size=n_states)
    odds = st.lists(st.floats(0.001, 20), min_size=n_states, max_size=n_states)
    evidence = np.array(draw(st.lists(logs, min_size=n_frames, max_size=n_frames)))
    return evidence, np.array(draw(odds)), np.array(draw(odds))


def weights(evidence: Floats, prior: Floats, switch: Floats) -> dict[tuple[int, ...], float]:
    """Of every path, by the definition."""
    n_frames, n_states = evidence.shape
    found = {}
    for path in product(range(n_states), repeat=n_frames):
        weight = prior[path[0]] * np.exp(evidence[0, path[0]])
        for frame in range(1, n_frames):
            here, before = path[frame], path[frame - 1]
            weight *= (1.0 if here == before else switch[here]) * np.exp(evidence[frame, here])
        found[path] = float(weight)
    return found


@given(lattices())
def test_marginals_are_those_of_all_paths_together(lattice: tuple[Floats, Floats, Floats]) -> None:
    expected = np.zeros_like(lattice[0])
    for path, weight in weights(*lattice).items():
        expected[range(len(path)), path] += weight
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(marginals(*lattice), expected, rtol=1e-9, atol=1e-12)


@given(lattices())
def test_no_path_is_likelier_than_the_best(lattice: tuple[Floats, Floats, Floats]) -> None:
    of_all = weights(*lattice)
    best = tuple(int(state) for state in best_path(*lattice))
    assert of_all[best] == pytest.approx(max(of_all.values()), rel=1e-9)


def test_a_state_without_prior_is_reached_by_going_over_only() -> None:
    evidence = np.array([[-9.0, 0.0], [-9.0, 0.0], [-9.0, 0.0]])
    prior, switch = np.array([1.0, 0.0]), np.array([0.1, 0.1])
    assert best_path(evidence, prior, switch).tolist() == [0, 1, 1]
    assert marginals(evidence, prior, switch)[0].tolist() == [1, 0]


def test_a_minute_of_frames_neither_underflows_nor_loses_the_change() -> None:
    evidence = np.full((600, 3), -4.0)
    evidence[:250, 0] = evidence[250:, 2] = -0.01
    prior, switch = np.ones(3), np.full(3, 1e-6)
    path, likely = best_path(evidence, prior, switch), marginals(evidence, prior, switch)
    assert np.flatnonzero(np.diff(path)).tolist() == [249]
    assert np.isfinite(likely).all()
    assert (likely.argmax(axis=1) == path).all()


@pytest.mark.parametrize(
    ("path", "shortest", "expected"),
    [
        ("aaabbb", 3, "aaabbb"),
        ("aaabba", 3, "aaabbb"),
        ("aabbbb", 3, "bbbbbb"),
        ("aaaabb", 3, "aaaaaa"),
        ("aaabccc", 3, "aaaaccc"),
        ("aaabcccc", 3, "aaaccccc"),
        ("abab", 2, "bbbb"),
        ("ab", 3, "bb"),
        ("a", 3, "a"),
        ("abc", 0, "abc"),
    ],
)
def test_steady(path: str, shortest: int, expected: str) -> None:
    before = np.array([ord(state) for state in path])
    assert "".join(chr(state) for state in steady(before, shortest)) == expected
    assert "".join(chr(state) for state in before) == path, "what was given is left alone"


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(0, 6))
def test_steady_leaves_no_short_run_and_invents_no_state(states: list[int], shortest: int) -> None:
    path = steady(np.array(states), shortest)
    runs = np.diff([0, *(np.flatnonzero(np.diff(path)) + 1), len(path)])
    assert len(runs) == 1 or runs.min() >= shortest
    assert set(path.tolist()) <= set(states)
