"""Step 9: what CTC log-probabilities say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speech.ctc.paths import BLANK, LogProbs, Path, greedy, greedy_batch, text_of, timed_words
from tests.speech.posteriors import collapse, matrices, spoken

VOCABULARY = ("", " ", "a", "b")


@given(matrices())
def test_greedy_is_the_best_class_of_every_frame(log_probs: LogProbs) -> None:
    best = tuple(log_probs.argmax(axis=1).tolist())
    path = greedy(log_probs)
    assert path.symbols == collapse(best)
    assert tuple(path.symbols[i] if i >= 0 else BLANK for i in path.frames) == best
    assert path.log_probs.tolist() == log_probs.max(axis=1).tolist()


@settings(deadline=None)
@given(st.lists(matrices(), min_size=1, max_size=5), st.integers(0, 3))
def test_a_batch_gives_what_each_row_gives_alone(rows: list[LogProbs], classes: int) -> None:
    lengths = [len(row) for row in rows]
    # Whatever stands behind a row's last frame, and -inf for classes that the row does not have.
    padded = torch.zeros(len(rows), max(lengths), 3 + classes)
    for number, row in enumerate(rows):
        padded[number, : len(row), :3] = torch.from_numpy(row)
        padded[number, : len(row), 3:] = -torch.inf
    found = greedy_batch(padded, torch.tensor(lengths))
    assert len(found) == len(rows)
    for path, row in zip(found, rows, strict=True):
        assert_same(path, greedy(row))


def test_a_batch_in_half_precision() -> None:
    log_probs = torch.from_numpy(spoken("a-b")).to(torch.bfloat16)
    (path,) = greedy_batch(log_probs[None], torch.tensor([3]))
    assert path.symbols == (2, 3)
    assert path.log_probs.dtype == np.float32
    assert path.log_probs == pytest.approx(np.full(3, np.log(0.97)), abs=1e-3)


@pytest.mark.gpu
def test_a_batch_on_the_device() -> None:
    log_probs = torch.randn(8, 250, 40, generator=torch.manual_seed(0)).log_softmax(dim=-1)
    lengths = torch.arange(30, 270, 30)
    on_host = greedy_batch(log_probs, lengths)
    for path, expected in zip(greedy_batch(log_probs.cuda(), lengths.cuda()), on_host, strict=True):
        assert_same(path, expected)


def assert_same(path: Path, expected: Path) -> None:
    """Symbols, frames and log-probabilities."""
    assert path.symbols == expected.symbols
    assert path.frames.tolist() == expected.frames.tolist()
    assert path.log_probs.tolist() == expected.log_probs.tolist()


def test_text() -> None:
    assert text_of([1, 2, 3, 1, 1, 2, 1], VOCABULARY) == "ab a"
    assert text_of([], VOCABULARY) == ""


def test_words_have_the_times_of_their_frames() -> None:
    first, second = timed_words(greedy(spoken("--aab_-b-")), VOCABULARY)
    assert (first.text, first.start_ms, first.end_ms) == ("ab", 40, 100)
    assert (second.text, second.start_ms, second.end_ms) == ("b", 140, 160)
    assert first.confidence == pytest.approx(0.97, abs=1e-3)


def test_confidence_is_the_geometric_mean() -> None:
    log_probs = np.log(np.array([[0.1, 0.1, 0.5, 0.3], [0.05, 0.05, 0.1, 0.8]], dtype=np.float32))
    (word,) = timed_words(greedy(log_probs), VOCABULARY)
    assert word.text == "ab"
    assert word.confidence == pytest.approx(np.sqrt(0.5 * 0.8))


def test_symbols_that_write_nothing_are_no_word() -> None:
    path = Path.of(np.array([4, 1, 2, 4]), np.zeros(4, np.float32))
    (word,) = timed_words(path, (*VOCABULARY, ""))
    assert (word.text, word.start_ms) == ("a", 40)


@pytest.mark.parametrize("classes", ["---", "_", "-_-_", "__"])
def test_no_words(classes: str) -> None:
    path = greedy(spoken(classes))
    assert timed_words(path, VOCABULARY) == ()
    assert text_of(path.symbols, VOCABULARY) == ""


def test_no_frames() -> None:
    path = greedy(np.zeros((0, 4), np.float32))
    assert path.symbols == ()
    assert timed_words(path, VOCABULARY) == ()


@given(st.text("-_ab", min_size=1, max_size=20))
def test_words_are_those_of_the_text_in_order(classes: str) -> None:
    path = greedy(spoken(classes))
    words = timed_words(path, VOCABULARY)
    assert " ".join(word.text for word in words) == text_of(path.symbols, VOCABULARY)
    times = [time for word in words for time in (word.start_ms, word.end_ms)]
    assert times == sorted(times)
    assert all(0 <= time <= 20 * len(classes) for time in times)
