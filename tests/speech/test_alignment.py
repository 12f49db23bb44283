"""Step 9: when a known text was spoken, against every path there is."""

from __future__ import annotations

import itertools
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speech.ctc.alignment import align
from speech.ctc.paths import LogProbs, greedy, timed_words
from tests.speech.posteriors import classes_of, collapse, matrices, score_of, spoken

VOCABULARY = ("", " ", "a", "b")


@settings(deadline=None)
@given(matrices(), st.lists(st.integers(1, 2), max_size=4))
def test_it_finds_the_best_of_all_paths(log_probs: LogProbs, symbols: list[int]) -> None:
    n_frames = len(log_probs)
    scores = [
        float(log_probs[np.arange(n_frames), path].sum())
        for path in itertools.product(range(3), repeat=n_frames)
        if collapse(path) == tuple(symbols)
    ]
    found = align(log_probs, symbols)
    if not scores:
        assert found is None
        return
    assert found is not None
    assert found.symbols == tuple(symbols) == collapse(classes_of(found))
    assert score_of(log_probs, found) == pytest.approx(max(scores), abs=1e-4)
    assert found.log_probs.sum() == pytest.approx(max(scores), abs=1e-4)
    # Each symbol has its frames, in order.
    indices = [index for index, _ in itertools.groupby(found.frames.tolist()) if index >= 0]
    assert indices == list(range(len(symbols)))


@settings(deadline=None)
@given(st.text("-_ab", min_size=1, max_size=30))
def test_words_of_sure_posteriors_have_the_times_of_the_best_path(classes: str) -> None:
    log_probs = spoken(classes)
    path = greedy(log_probs)
    aligned = align(log_probs, path.symbols)
    assert aligned is not None
    assert timed_words(aligned, VOCABULARY) == timed_words(path, VOCABULARY)


def test_repeats_need_a_blank_between() -> None:
    assert align(spoken("aa"), [2, 2]) is None
    found = align(spoken("a-a"), [2, 2])
    assert found is not None
    assert found.frames.tolist() == [0, -1, 1]


def test_a_class_that_is_impossible_has_no_path() -> None:
    log_probs = spoken("aaa")
    log_probs[:, 3] = -np.inf
    assert align(log_probs, [3]) is None


def test_no_frames_hold_no_text() -> None:
    assert align(np.zeros((0, 4), np.float32), []) is None


def test_a_tensor_is_aligned_as_an_array_is() -> None:
    log_probs = spoken("-ab_-b")
    found = align(torch.from_numpy(log_probs), [2, 3, 1, 3])
    expected = align(log_probs, [2, 3, 1, 3])
    assert found is not None
    assert expected is not None
    assert found.frames.tolist() == expected.frames.tolist()


def test_a_long_sentence_is_aligned() -> None:
    symbols = [1 + index % 3 for index in range(300)]
    log_probs = np.full((300, 4), -9.0, np.float32)
    log_probs[np.arange(300), symbols] = 0.0
    path = align(log_probs, symbols)
    assert path is not None
    assert path.frames.tolist() == list(range(300))


@pytest.mark.gpu
@pytest.mark.parametrize("n_symbol", [0, 1, 7, 60, 120])
@pytest.mark.parametrize("seed", range(4))
def test_both_ways_find_the_same(n_symbol: int, seed: int) -> None:
    pytest.importorskip("torchaudio")
    chance = torch.manual_seed(seed)
    log_probs = torch.randn(250, 40, generator=chance).mul(3).log_softmax(dim=-1)
    symbols = torch.randint(1, 40, (n_symbol,), generator=chance).tolist()
    there, here = align(log_probs.cuda(), symbols), align(log_probs, symbols)
    assert there is not None
    assert here is not None
    # Two paths of one score are equally right, so it is the score that has to be the same.
    assert there.symbols == here.symbols
    assert there.log_probs.sum() == pytest.approx(here.log_probs.sum(), abs=1e-2)
    assert (there.frames == here.frames).mean() > 0.99


@pytest.mark.gpu
def test_both_ways_refuse_the_same() -> None:
    pytest.importorskip("torchaudio")
    log_probs = torch.from_numpy(spoken("aaba"))
    for symbols in ([2, 2, 2], [2, 3, 2, 3], [2, 2, 3]):
        fits = len(symbols) + sum(a == b for a, b in pairwise(symbols)) <= len(log_probs)
        assert (align(log_probs.cuda(), symbols) is not None) is fits
        assert (align(log_probs, symbols) is not None) is fits
