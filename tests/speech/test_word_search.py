"""The search finds what trying every sentence would find."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from speech.ctc.arpa import read_arpa
from speech.ctc.boosting import BoostedModel, boost
from speech.ctc.ngrams import NgramModel
from speech.ctc.paths import LogProbs
from speech.ctc.prefix_tree import PrefixTree
from speech.ctc.word_search import SearchOptions, WordSearch

Symbols = tuple[int, ...]

BLANK, SPACE, A, B, APOSTROPHE = range(5)
LETTERS = {"a": A, "b": B, "'": APOSTROPHE}
ARPA = b"""\\data\\
ngram 1=7
ngram 2=3

\\1-grams:
-99\t<unk>
-99\t<s>\t-0.2
-0.6\ta\t-0.4
-0.9\tab
-0.7\tbb\t-0.3
-1.2\tb'
-0.8\t</s>

\\2-grams:
-0.3\ta bb
-0.5\tbb a
-0.4\t<s> ab

\\end\\
"""
WORDS, MODEL = read_arpa(ARPA)
NUMBER_OF = {word: number for number, word in enumerate(WORDS)} | {"ba": MODEL.n_word}
TREE = PrefixTree.of(
    [[LETTERS[c] for c in word] for word in WORDS], MODEL.unigram[: len(WORDS)].tolist()
)
WIDE = SearchOptions(
    separator=SPACE,
    joint=APOSTROPHE,
    lm_weight=1.5,
    word_score=0.4,
    beam_size=10_000,
    beam_threshold=1e6,
)


def sentences(words: Sequence[str], most: int) -> Iterator[tuple[tuple[str, ...], Symbols]]:
    """Sentences, and every way to spell each: `b'` needs no space after it."""
    for length in range(most + 1):
        for text in product(words, repeat=length):
            gaps = [["", " "] if word.endswith("'") else [" "] for word in text[:-1]]
            for chosen in product(*gaps):
                spelt = "".join(map("".join, zip(text, (*chosen, ""), strict=False)))
                yield text, tuple(SPACE if c == " " else LETTERS[c] for c in spelt)


def said(classes: Sequence[int]) -> Symbols:
    """Repeats merged, blanks left out, one separator between words and none at the ends."""
    symbols = [c for i, c in enumerate(classes) if c != BLANK and (i == 0 or classes[i - 1] != c)]
    words = "".join(map(chr, symbols)).split(chr(SPACE))
    return tuple(map(ord, chr(SPACE).join(word for word in words if word)))


def language_score(text: Sequence[str], model: NgramModel | BoostedModel) -> float:
    state, total = np.array([model.start], np.int64), 0.0
    for word in text:
        score, state = model.score(state, np.array([NUMBER_OF[word]], np.int64))
        total += float(score[0])
    return WIDE.lm_weight * (total + float(model.end(state)[0])) + WIDE.word_score * len(text)


def by_trying(
    log_probs: LogProbs, words: Sequence[str], model: NgramModel | BoostedModel
) -> dict[Symbols, float]:
    """The best score of all that can be said, by what is said."""
    heard: dict[Symbols, float] = {}
    for classes in product(range(log_probs.shape[1]), repeat=len(log_probs)):
        score = float(sum(log_probs[frame, c] for frame, c in enumerate(classes)))
        heard[said(classes)] = max(score, heard.get(said(classes), -np.inf))
    found: dict[Symbols, float] = {}
    for text, symbols in sentences(words, 3):
        if symbols in heard:
            total = heard[symbols] + language_score(text, model)
            found[symbols] = max(total, found.get(symbols, -np.inf))
    return found


def posteriors(seed: int, n_frames: int) -> LogProbs:
    shares = np.random.default_rng(seed).dirichlet(np.full(5, 0.4), n_frames) + 1e-4
    logs: LogProbs = np.log(shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
    return logs


@pytest.mark.parametrize("seed", range(40))
def test_the_best_sentence_is_found(seed: int) -> None:
    log_probs = posteriors(seed, 5)
    found = WordSearch(TREE, MODEL, WIDE).best(log_probs)
    expected = by_trying(log_probs, WORDS, MODEL)
    assert found is not None
    assert expected[said(found.tolist())] == pytest.approx(max(expected.values()), abs=1e-3)


@pytest.mark.parametrize("seed", range(20))
def test_boosted_words_are_found_as_if_they_were_in_the_lexicon(seed: int) -> None:
    log_probs = posteriors(seed, 5)
    tree, model = boost(TREE, MODEL, [[B, A], [B, B], []])  # one new, one known, one unwritable
    found = WordSearch(tree, model, WIDE).best(log_probs)
    expected = by_trying(log_probs, [*WORDS, "ba"], model)
    assert found is not None
    assert expected[said(found.tolist())] == pytest.approx(max(expected.values()), abs=1e-3)


def test_a_narrow_beam_finds_what_is_clear() -> None:
    narrow = replace(WIDE, beam_size=3, beam_threshold=8.0)
    log_probs = np.full((9, 5), -7.0, np.float32)
    for frame, symbol in enumerate([A, A, BLANK, SPACE, B, BLANK, B, B, SPACE]):
        log_probs[frame, symbol] = -0.01
    found = WordSearch(TREE, MODEL, narrow).best(log_probs)
    assert found is not None
    assert found.tolist() == [A, A, BLANK, SPACE, B, BLANK, B, B, SPACE]


def test_sure_silence_is_passed_over_and_has_its_frames() -> None:
    log_probs = np.full((40, 5), -20.0, np.float32)
    log_probs[:, BLANK] = 0.0
    log_probs[20] = [-20.0, -20.0, 0.0, -20.0, -20.0]
    found = WordSearch(TREE, MODEL, WIDE).best(log_probs)
    assert found is not None
    assert np.flatnonzero(found).tolist() == [20]
    assert found[20] == A


def test_nothing_fits_words_that_need_more_frames() -> None:
    tree = PrefixTree.of([(A, B, A)], [-1.0])
    log_probs = np.full((2, 5), -1e6, np.float32)
    log_probs[0, A] = log_probs[1, B] = 0.0
    narrow = replace(WIDE, beam_threshold=15.0)
    assert WordSearch(tree, MODEL, narrow).best(log_probs) is None


@pytest.mark.parametrize("value", [-np.inf, np.nan])
def test_a_frame_in_which_nothing_is_possible_ends_it(value: float) -> None:
    log_probs = posteriors(0, 6)
    log_probs[3] = value
    assert WordSearch(TREE, MODEL, replace(WIDE, beam_threshold=15.0)).best(log_probs) is None


def test_one_search_serves_many_threads() -> None:
    search = WordSearch(TREE, MODEL, WIDE)
    clips = [posteriors(seed, 12) for seed in range(16)]

    def heard(log_probs: LogProbs) -> list[int]:
        found = search.best(log_probs)
        assert found is not None
        classes: list[int] = found.tolist()
        return classes

    with ThreadPoolExecutor(4) as callers:
        assert list(callers.map(heard, clips)) == list(map(heard, clips))
