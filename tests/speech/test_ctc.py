"""Step 9: what CTC log-probabilities say, against every path there is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speech.ctc import BLANK, LogProbs, Path, align, greedy, text_of, timed_words

VOCABULARY = ("", " ", "a", "b")


def log_probs_of(rows: list[list[float]]) -> LogProbs:
    """Normalised, float32."""
    scores = np.array(rows, dtype=np.float32)
    normed: LogProbs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return normed


def spoken(classes: str) -> LogProbs:
    """One sure class for each character: `-` is blank, `_` the space."""
    index = ["-_ab".index(character) for character in classes]
    return np.log(np.full((len(index), 4), 0.01) + 0.96 * np.eye(4)[index]).astype(np.float32)


def collapse(path: tuple[int, ...]) -> tuple[int, ...]:
    """The definition of CTC: merge repeats, then drop blanks."""
    return tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != BLANK)


def score_of(log_probs: LogProbs, path: Path) -> float:
    """Log-probability of a path."""
    classes = [path.symbols[index] if index >= 0 else BLANK for index in path.frames]
    return float(log_probs[np.arange(len(classes)), classes].sum())


matrices = (
    st.integers(1, 6)
    .flatmap(
        lambda n_frames: st.lists(
            st.lists(st.floats(-5, 5, width=16), min_size=3, max_size=3),
            min_size=n_frames,
            max_size=n_frames,
        )
    )
    .map(log_probs_of)
)


@given(matrices)
def test_greedy_is_the_best_class_of_every_frame(log_probs: LogProbs) -> None:
    best = tuple(log_probs.argmax(axis=1).tolist())
    path = greedy(log_probs)
    assert path.symbols == collapse(best)
    assert tuple(path.symbols[i] if i >= 0 else BLANK for i in path.frames) == best


@settings(deadline=None)
@given(matrices, st.lists(st.integers(1, 2), max_size=4))
def test_align_finds_the_best_of_all_paths(log_probs: LogProbs, symbols: list[int]) -> None:
    n_frames = len(log_probs)
    paths = itertools.product(range(3), repeat=n_frames)
    scores = [
        float(log_probs[np.arange(n_frames), path].sum())
        for path in paths
        if collapse(path) == tuple(symbols)
    ]
    found = align(log_probs, symbols)
    if not scores:
        assert found is None
        return
    assert found is not None
    assert found.symbols == tuple(symbols)
    assert score_of(log_probs, found) == pytest.approx(max(scores), abs=1e-4)
    # Each symbol has its frames, in order, and no two frames of different ones meet unblanked.
    indices = [index for index, _ in itertools.groupby(found.frames.tolist()) if index >= 0]
    assert indices == list(range(len(symbols)))


def test_repeats_need_a_blank_between() -> None:
    assert align(spoken("aa"), [2, 2]) is None
    found = align(spoken("a-a"), [2, 2])
    assert found is not None
    assert found.frames.tolist() == [0, -1, 1]


def test_text() -> None:
    assert text_of([1, 2, 3, 1, 1, 2, 1], VOCABULARY) == "ab a"
    assert text_of([], VOCABULARY) == ""


def test_words_have_the_times_of_their_frames() -> None:
    log_probs = spoken("--aab_-b-")
    first, second = timed_words(log_probs, greedy(log_probs), VOCABULARY)
    assert (first.text, first.start_ms, first.end_ms) == ("ab", 40, 100)
    assert (second.text, second.start_ms, second.end_ms) == ("b", 140, 160)
    assert first.confidence == pytest.approx(0.97, abs=1e-3)


def test_confidence_is_the_geometric_mean() -> None:
    log_probs = np.log(np.array([[0.1, 0.1, 0.5, 0.3], [0.05, 0.05, 0.1, 0.8]], dtype=np.float32))
    (word,) = timed_words(log_probs, greedy(log_probs), VOCABULARY)
    assert word.text == "ab"
    assert word.confidence == pytest.approx(np.sqrt(0.5 * 0.8))


@pytest.mark.parametrize("classes", ["---", "_", "-_-_", "__"])
def test_no_words(classes: str) -> None:
    log_probs = spoken(classes)
    assert timed_words(log_probs, greedy(log_probs), VOCABULARY) == ()
    assert text_of(greedy(log_probs).symbols, VOCABULARY) == ""


@given(st.text("-_ab", min_size=1, max_size=20))
def test_words_are_those_of_the_text_in_order(classes: str) -> None:
    log_probs = spoken(classes)
    path = greedy(log_probs)
    words = timed_words(log_probs, path, VOCABULARY)
    assert " ".join(word.text for word in words) == text_of(path.symbols, VOCABULARY)
    times = [time for word in words for time in (word.start_ms, word.end_ms)]
    assert times == sorted(times)
    assert all(0 <= time <= 20 * len(classes) for time in times)
    aligned = align(log_probs, path.symbols)
    assert aligned is not None
    assert timed_words(log_probs, aligned, VOCABULARY) == words


def test_a_long_sentence_is_aligned() -> None:
    symbols = [1 + index % 3 for index in range(300)]
    log_probs = np.full((300, 4), -9.0, np.float32)
    log_probs[np.arange(300), symbols] = 0.0
    path = align(log_probs, symbols)
    assert path is not None
    assert path.frames.tolist() == list(range(300))
