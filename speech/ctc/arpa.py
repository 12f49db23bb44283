"""Reads language models in ARPA's text form."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from io import BytesIO

import numpy as np

from common.errors import AdapterRefused
from speech.ctc.ngrams import NOTHING, NgramModel

START, END = "<s>", "</s>"
# A worker reads one beside its batches. Holding the interpreter's lock without a pause would slow
# each of their hundreds of operations; measured, a batch took four times as long.
_LINES_AT_A_TIME = 500
_BREATH_S = 0.0005

_Ngram = tuple[str, ...]


def read_arpa(arpa: bytes) -> tuple[list[str], NgramModel]:
    """The words of a model in the order of their numbers, and the model; END has the last number.

    Raises:
        AdapterRefused: the bytes are no ARPA model.
    """
    words: list[str] = []
    unigram: list[float] = []
    scores: dict[_Ngram, float] = {}
    backoffs: dict[str, float] = {}
    end = 0.0
    try:
        for order, score, ngram, backoff in _entries(arpa):
            if not math.isfinite(float(score)):
                raise ValueError(f"log10 probability {score}")
            if backoff:
                backoffs[ngram] = float(backoff)
            if order > 1:
                scores[tuple(ngram.split(" "))] = float(score)
            elif ngram == END:
                end = float(score)
            elif not ngram.startswith("<"):
                words.append(ngram)
                unigram.append(float(score))
        return words, _model(words, [*unigram, end], scores, backoffs)
    except (ValueError, KeyError) as error:
        raise AdapterRefused(
            "lexicon.bin holds no ARPA language model: publish it again"
        ) from error


def _entries(arpa: bytes) -> Iterator[tuple[int, str, str, str]]:
    """Order, score, words and backoff weight ("" without one) of each n-gram."""
    order, section = 0, ""
    for number, line in enumerate(BytesIO(arpa)):
        if number % _LINES_AT_A_TIME == 0:
            time.sleep(_BREATH_S)
        text = line.decode("utf-8").rstrip("\n")
        if text.startswith("\\"):
            section = text
            header = re.fullmatch(r"\\([1-9])-grams:", text)
            order = int(header[1]) if header else 0
        elif order and text:
            score, ngram, *backoff = text.split("\t")
            yield order, score, ngram, backoff[0] if backoff else ""
    if section != "\\end\\":
        raise ValueError("it does not end as a model does")


def _model(
    words: list[str], unigram: list[float], scores: dict[_Ngram, float], backoffs: dict[str, float]
) -> NgramModel:
    in_ngrams = {word for ngram in scores for word in ngram}
    number_of = {word: number for number, word in enumerate(words) if word in in_ngrams}
    number_of[END] = len(words)
    contexts = sorted({ngram[:-1] for ngram in scores}, key=lambda words: (len(words), words))
    state_of = {context: state for state, context in enumerate(contexts, start=NOTHING + 1)}

    def state_after(history: _Ngram) -> int:
        while history and history not in state_of:
            history = history[1:]
        return state_of[history] if history else NOTHING

    n_word = len(unigram)
    after = np.full(n_word, NOTHING, np.int32)
    for word, number in number_of.items():
        after[number] = state_after((word,))
    ngrams = list(scores)
    keys = np.array([state_of[n[:-1]] * n_word + number_of[n[-1]] for n in ngrams], np.int64)
    order = np.argsort(keys)
    return NgramModel(
        unigram=np.array(unigram, np.float32),
        after=after,
        start=state_after((START,)),
        backoff=np.array([0.0, *(backoffs.get(" ".join(c), 0.0) for c in contexts)], np.float32),
        shorter=np.array([NOTHING, *(state_after(c[1:]) for c in contexts)], np.int32),
        keys=keys[order],
        scores=np.array([scores[n] for n in ngrams], np.float32)[order],
        following=np.array([state_after(n) for n in ngrams], np.int32)[order],
    )
