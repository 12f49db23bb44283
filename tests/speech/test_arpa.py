"""Models in ARPA's form, scored as their definition says."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from common.errors import AdapterRefused
from speech.ctc.arpa import read_arpa
from speech.ctc.ngrams import NgramModel

TRIGRAMS = """\\data\\
ngram 1=5
ngram 2=4
ngram 3=2

\\1-grams:
-99\t<unk>
-99\t<s>\t-0.3
-0.7\ta\t-0.2
-0.8\tb\t-0.5
-1.5\tc
-0.9\t</s>

\\2-grams:
-0.4\t<s> a\t-0.1
-0.6\ta b\t-0.25
-0.5\tb a
-0.3\tb </s>

\\3-grams:
-0.2\t<s> a b
-0.15\ta b a

\\end\\
"""


def entries(arpa: str) -> tuple[dict[tuple[str, ...], float], dict[tuple[str, ...], float]]:
    scores, backoffs = {}, {}
    for line in arpa.splitlines():
        if "\t" in line:
            score, words, *backoff = line.split("\t")
            scores[tuple(words.split())] = float(score)
            backoffs[tuple(words.split())] = float(backoff[0]) if backoff else 0.0
    return scores, backoffs


def by_definition(arpa: str, history: tuple[str, ...], word: str) -> float:
    """Katz's formula, with all the history there is."""
    scores, backoffs = entries(arpa)
    if (*history, word) in scores:
        return scores[*history, word]
    if not history:
        return -99.0
    return backoffs.get(history, 0.0) + by_definition(arpa, history[1:], word)


def scored(words: list[str], model: NgramModel, text: list[str]) -> list[float]:
    """Log10 probability of each word of a sentence and of its end."""
    state = np.array([model.start], np.int64)
    found = []
    for word in text:
        score, state = model.score(state, np.array([words.index(word)], np.int64))
        found.append(float(score[0]))
    return [*found, float(model.end(state)[0])]


@pytest.mark.parametrize("length", range(5))
def test_every_sentence_scores_as_the_formula_says(length: int) -> None:
    words, model = read_arpa(TRIGRAMS.encode())
    assert words == ["a", "b", "c"]
    for text in product("abc", repeat=length):
        history = ("<s>", *text)
        expected = [
            by_definition(TRIGRAMS, history[max(0, end - 2) : end], [*history, "</s>"][end])
            for end in range(1, len(history) + 1)
        ]
        assert scored(words, model, list(text)) == pytest.approx(expected, abs=1e-5)


def test_many_are_scored_as_one_by_one() -> None:
    _, model = read_arpa(TRIGRAMS.encode())
    pairs = np.array(list(product(range(model.n_state), range(model.n_word))), np.int64)
    states, words = pairs.T
    together = model.score(states, words)
    alone = [model.score(states[i : i + 1], words[i : i + 1]) for i in range(len(pairs))]
    assert together[0].tolist() == [float(score[0]) for score, _ in alone]
    assert together[1].tolist() == [int(following[0]) for _, following in alone]


def test_words_without_pairs_are_a_model_too() -> None:
    content = "\\data\\\nngram 1=2\n\n\\1-grams:\n-0.3\ta\n-0.3\t</s>\n\n\\end\\\n"
    words, model = read_arpa(content.encode())
    assert scored(words, model, ["a", "a"]) == pytest.approx([-0.3, -0.3, -0.3])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a model",
        b"\xff\xfe\x00",
        TRIGRAMS.encode()[:-8],  # cut short
        TRIGRAMS.replace("-0.7", "high").encode(),
        TRIGRAMS.replace("-0.7\ta", "-0.7 a").encode(),
        TRIGRAMS.replace("a b a", "a b d").encode(),  # of an unknown word
        TRIGRAMS.replace("-0.7", "nan").encode(),
        TRIGRAMS.encode("utf-16"),
    ],
)
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(AdapterRefused, match="ARPA"):
        read_arpa(content)
