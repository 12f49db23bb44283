"""Beam search for the words that CTC log-probabilities say, weighed by a language model.

What Flashlight's lexicon decoder does (Kahn et al., "Flashlight", 2022): hypotheses walk the prefix
tree of all words frame by frame, and those at one place with one memory are one. Here a frame is a
few operations on arrays of all hypotheses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from speech.ctc.boosting import BoostedModel, BoostedTree
from speech.ctc.ngrams import NgramModel
from speech.ctc.paths import BLANK, LogProbs
from speech.ctc.prefix_tree import NO_WORD, ROOT, Floats, Ints, PrefixTree

# A frame whose blank is this many nats ahead of all else can be nothing else: on 346 clips of five
# languages not one text changes.
_SURELY_BLANK_NATS = 6.0


@dataclass(frozen=True)
class SearchOptions:
    """What is tried and how it is weighed.

    Attributes:
        separator: class between words.
        joint: class after which a word may end without a separator, the `'` of `l'homme`.
        lm_weight: of the language model's log10 probabilities.
        word_score: added for every word.
        beam_size: hypotheses kept in a frame.
        beam_threshold: nats behind the best one at which a hypothesis is given up.
    """

    separator: int
    joint: int | None
    lm_weight: float
    word_score: float
    beam_size: int
    beam_threshold: float


@dataclass(frozen=True)
class _Hypotheses:
    """Ways to hear the frames so far; every array is `[n_hypothesis]`.

    Attributes:
        score: float32, of sound and language model together.
        node: int64, place in the tree.
        state: int64, memory of the language model.
        symbol: int64, class of the last frame.
        parent: int64, the hypothesis of the frame before that it goes on from.
    """

    score: Floats
    node: Ints
    state: Ints
    symbol: Ints
    parent: Ints

    def __len__(self) -> int:
        return len(self.score)

    def __getitem__(self, chosen: Ints) -> _Hypotheses:
        return _Hypotheses(*(getattr(self, field.name)[chosen] for field in fields(self)))


class WordSearch:
    """A search over one set of words. It holds nothing of an utterance: threads may share it."""

    def __init__(
        self,
        tree: PrefixTree | BoostedTree,
        model: NgramModel | BoostedModel,
        options: SearchOptions,
    ) -> None:
        """Search `tree`, whose words are numbered as in `model`."""
        self._tree = tree
        self._model = model
        self._options = options

    def best(self, log_probs: LogProbs) -> Ints | None:
        """The class of every frame on the best way through whole words; None where there is none.

        Args:
            log_probs: float32 `[n_frames, n_vocab]`.

        Returns:
            int64 `[n_frames]`.
        """
        zero = np.zeros(1, np.int64)
        start = np.full(1, self._model.start, np.int64)
        now = _Hypotheses(np.zeros(1, np.float32), zero, start, zero, zero)
        history = []
        others = np.delete(log_probs, BLANK, axis=1).max(axis=1, initial=-np.inf)
        surely_blank = log_probs[:, BLANK] > others + _SURELY_BLANK_NATS
        for frame, sure in zip(log_probs, surely_blank.tolist(), strict=True):
            now = _held_blank(now, frame) if sure else self._step(now, frame)
            if not len(now):  # a frame in which nothing is possible
                return None
            history.append((now.symbol, now.parent))
        best = self._best_of(now)
        if best is None:
            return None
        classes = np.empty(len(log_probs), np.int64)
        for index in range(len(log_probs) - 1, -1, -1):
            symbol, parent = history[index]
            classes[index], best = symbol[best], parent[best]
        return classes

    def _step(self, now: _Hypotheses, frame: LogProbs) -> _Hypotheses:
        """All hypotheses one frame later, the best first."""
        separator, tree = self._options.separator, self._tree
        own = np.arange(len(now))
        blank = _held_blank(now, frame)

        spoken = np.flatnonzero(now.symbol != BLANK)
        held = now[spoken]
        symbol = held.symbol
        held = _Hypotheses(held.score + frame[symbol], held.node, held.state, symbol, spoken)

        floor = max(blank.score.max(), held.score.max(initial=-np.inf))
        floor -= self._options.beam_threshold
        further = self._further(now, frame, floor)

        # A separator ends a word, or is heard between words.
        spaces = np.full(len(now), separator)
        spaced = _Hypotheses(now.score + frame[separator], now.node, now.state, spaces, own)
        between = spaced[np.flatnonzero((now.node == ROOT) & (now.symbol != separator))]
        inside = np.flatnonzero((spaced.score > floor) & (tree.words(now.node) != NO_WORD))
        candidates = [blank, held, further, between, self._completed(spaced[inside])]

        if self._options.joint is not None:
            leaning = np.flatnonzero(further.symbol == self._options.joint)
            leaning = leaning[tree.words(further.node[leaning]) != NO_WORD]
            candidates.append(self._completed(further[leaning]))
        return self._pruned(candidates, len(frame))

    def _further(self, now: _Hypotheses, frame: LogProbs, floor: float) -> _Hypotheses:
        """One letter further into words, with what the best word ahead is worth."""
        parent, node = self._tree.children(now.node)
        symbol = self._tree.symbols(node)
        ahead = self._tree.scores(node) - self._tree.scores(now.node)[parent]
        score = now.score[parent] + frame[symbol] + self._options.lm_weight * ahead
        # A letter said twice has a blank between.
        kept = np.flatnonzero((score > floor) & (symbol != now.symbol[parent]))
        parent = parent[kept]
        return _Hypotheses(score[kept], node[kept], now.state[parent], symbol[kept], parent)

    def _completed(self, ended: _Hypotheses) -> _Hypotheses:
        """The same hypotheses with their words behind them, at the root again."""
        words, hoped_for = self._tree.words(ended.node), self._tree.scores(ended.node)
        probability, state = self._model.score(ended.state, words)
        gained = self._options.lm_weight * (probability - hoped_for) + self._options.word_score
        score = ended.score + gained.astype(np.float32)
        return _Hypotheses(score, np.zeros_like(ended.node), state, ended.symbol, ended.parent)

    def _pruned(self, candidates: Sequence[_Hypotheses], n_vocab: int) -> _Hypotheses:
        """The best of them, each place with each memory once."""
        score = np.concatenate([each.score for each in candidates])
        likely = np.flatnonzero(score > score.max() - self._options.beam_threshold)
        order = likely[np.argsort(-score[likely], kind="stable")]
        every = _Hypotheses(
            *(
                np.concatenate([getattr(each, field.name) for each in candidates])[order]
                for field in fields(_Hypotheses)
            )
        )
        place = (every.state * len(self._tree) + every.node) * n_vocab + every.symbol
        first = np.sort(np.unique(place, return_index=True)[1])
        return every[first[: self._options.beam_size]]

    def _best_of(self, last: _Hypotheses) -> int | None:
        """The best hypothesis that can end here."""
        inside = np.flatnonzero(self._tree.words(last.node) != NO_WORD)
        done = [last[np.flatnonzero(last.node == ROOT)], self._completed(last[inside])]
        index = np.concatenate([np.flatnonzero(last.node == ROOT), inside])
        if not len(index):
            return None
        score = [
            each.score + self._options.lm_weight * self._model.end(each.state) for each in done
        ]
        return int(index[np.argmax(np.concatenate(score))])


def _held_blank(now: _Hypotheses, frame: LogProbs) -> _Hypotheses:
    score = now.score + frame[BLANK]
    return _Hypotheses(score, now.node, now.state, np.zeros_like(now.node), np.arange(len(now)))
