"""Step 9, for finals: beam search over the words a language has, weighed by an n-gram model.

The lexicon is a file of the adapter: a language model in ARPA's text form, compressed with xz. Its
unigrams are the words.

A lexicon knows no rare names. Where the words found explain the sound far worse than the best
letters do, the letters are kept: see `_rescue`.
"""

from __future__ import annotations

import itertools
import lzma
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Sequence
from copy import copy

import numpy as np
import numpy.typing as npt
from torch import Tensor

from common.errors import AdapterRefused
from speech.adapters.card import LexiconSettings
from speech.ctc.alignment import align
from speech.ctc.arpa import read_arpa
from speech.ctc.boosting import boost
from speech.ctc.paths import BLANK, LogProbs, Path, greedy
from speech.ctc.prefix_tree import PrefixTree
from speech.ctc.word_search import SearchOptions, WordSearch

_UNHEARD_NATS = 3.0
_SEPARATOR = " "
# Nats behind the best hypothesis. On 907 clips of five languages 15 finds the same texts as 30 in
# half the time; 12 loses some.
_BEAM_THRESHOLD = 15.0
_CACHED_PHRASE_SETS = 8


class LexiconDecoder:
    """Decoder of one adapter version. Calls may come from several threads."""

    def __init__(self, arpa: bytes, vocabulary: Sequence[str], settings: LexiconSettings) -> None:
        """Build the prefix tree of all words; about a second for 100,000.

        Args:
            arpa: the language model, not compressed.
            vocabulary: symbol of each CTC class: blank first, `" "` between words.
            settings: weights and beam.

        Raises:
            AdapterRefused: the bytes are no ARPA model, or the vocabulary has no separator.
        """
        if _SEPARATOR not in vocabulary:
            raise AdapterRefused("an adapter with a lexicon needs a word separator, ' '")
        self._class_of = {symbol: number for number, symbol in enumerate(vocabulary)}
        self._separator = self._class_of[_SEPARATOR]
        self._settings = settings
        words, self._model = read_arpa(arpa)
        symbols, lengths = _spelt(words, vocabulary)
        self._tree = PrefixTree.of_arrays(symbols, lengths, self._model.unigram[: len(words)])
        self._boosted: OrderedDict[frozenset[str], WordSearch] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def from_bytes(
        cls, content: bytes, vocabulary: Sequence[str], settings: LexiconSettings
    ) -> LexiconDecoder:
        """Load a `lexicon.bin`; `AdapterRefused` when it is none."""
        try:
            return cls(lzma.decompress(content), vocabulary, settings)
        except lzma.LZMAError as error:
            raise AdapterRefused(
                "lexicon.bin is not compressed with xz: publish it again"
            ) from error

    def weighed(self, settings: LexiconSettings) -> LexiconDecoder:
        """A decoder of the same words with other weights; it shares all that is large."""
        other = copy(self)
        other._settings = settings
        other._boosted, other._lock = OrderedDict(), threading.Lock()
        return other

    @property
    def n_bytes(self) -> int:
        """Memory that its words take."""
        return self._tree.n_bytes + self._model.n_bytes

    def path(self, log_probs: LogProbs | Tensor, boosted_phrases: Sequence[str] = ()) -> Path:
        """When the symbols that `decode` finds were spoken; the greedy path where they do not fit.

        Takes what `decode` takes, or that as a tensor: one on a GPU is aligned there.
        """
        host = log_probs.cpu().numpy() if isinstance(log_probs, Tensor) else log_probs
        found = align(log_probs, self.decode(host, boosted_phrases))
        return found or greedy(host)

    def decode(self, log_probs: LogProbs, boosted_phrases: Sequence[str] = ()) -> list[int]:
        """Classes of the most likely words, separators between them.

        Args:
            log_probs: float32 `[n_frames, n_vocab]`.
            boosted_phrases: phrases the caller expects; their words, written as the vocabulary
                writes, join the lexicon and become likelier.
        """
        if not len(log_probs):
            return []
        log_probs = log_probs.copy()
        log_probs[:, BLANK] -= self._settings.blank_penalty
        frames = self._search(boosted_phrases).best(log_probs)
        if frames is None:
            return _collapse(log_probs.argmax(axis=1), self._separator)
        frames = _rescue(log_probs, frames, self._separator, self._settings.rescue_nats)
        return _collapse(frames, self._separator)

    def _written(self, phrase: str) -> str:
        """In the vocabulary's letter case, without accents it lacks and punctuation."""
        return "".join(map(self._letter, unicodedata.normalize("NFC", phrase.replace("’", "'"))))

    def _letter(self, character: str) -> str:
        plain = unicodedata.normalize("NFD", character)[0]
        for form in (character, character.lower(), plain, plain.lower()):
            if form in self._class_of:
                return form
        return character if character.isalnum() else _SEPARATOR

    def _search(self, phrases: Sequence[str]) -> WordSearch:
        boosted = frozenset(" ".join(map(self._written, phrases)).split())
        if not boosted:
            return WordSearch(self._tree, self._model, self._options())
        with self._lock:
            if boosted not in self._boosted:
                self._boosted[boosted] = self._boost(boosted)
            self._boosted.move_to_end(boosted)
            if len(self._boosted) > _CACHED_PHRASE_SETS:
                self._boosted.popitem(last=False)
            return self._boosted[boosted]

    def _boost(self, words: frozenset[str]) -> WordSearch:
        spellings = [
            [self._class_of[character] for character in word]
            for word in sorted(words)
            if all(character in self._class_of for character in word)
        ]
        return WordSearch(*boost(self._tree, self._model, spellings), self._options())

    def _options(self) -> SearchOptions:
        return SearchOptions(
            separator=self._separator,
            # An elided word leans on the next: `l'homme` is `l'` and `homme`.
            joint=self._class_of.get("'"),
            lm_weight=self._settings.lm_weight,
            word_score=self._settings.word_score,
            beam_size=self._settings.beam_size,
            beam_threshold=_BEAM_THRESHOLD,
        )


def _spelt(
    words: Sequence[str], vocabulary: Sequence[str]
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int64]]:
    """Classes of all words end to end, and the length of each; 0 where it cannot be written."""
    writable = sorted((ord(symbol), n) for n, symbol in enumerate(vocabulary) if len(symbol) == 1)
    known, classes = np.array(writable, np.int64).T
    letters = np.frombuffer("".join(words).encode("utf-32-le"), np.uint32)
    place = np.minimum(np.searchsorted(known, letters), len(known) - 1)
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    word = np.repeat(np.arange(len(words)), lengths)
    foreign = np.bincount(word[known[place] != letters], minlength=len(words)) > 0
    lengths[foreign] = 0
    return classes[place][~foreign[word]].astype(np.int16), lengths


def _rescue(
    log_probs: LogProbs, frames: npt.NDArray[np.int64], separator: int, most_nats: float
) -> npt.NDArray[np.int64]:
    """Replace words that are far from what was heard by the letters that were heard.

    Args:
        log_probs: float32 `[n_frames, n_vocab]`.
        frames: int64 `[n_frames]`, class of each frame on the lexicon's path.
        separator: class that ends a word.
        most_nats: what a word may lose against the best letters.
    """
    best = log_probs.argmax(axis=1)
    loss = log_probs.max(axis=1) - np.take_along_axis(log_probs, frames[:, None], axis=1)[:, 0]
    mixed = frames.copy()
    # A separator that was not heard may have been made up to fit two words into one.
    heard = (frames == separator) & (loss < _UNHEARD_NATS)
    bounds = [-1, *np.flatnonzero(heard).tolist(), len(frames)]
    for before, after in itertools.pairwise(bounds):
        word = slice(before + 1, after)
        if loss[word].sum() > most_nats:
            mixed[word] = best[word]
    return mixed


def _collapse(frames: npt.NDArray[np.int64], separator: int) -> list[int]:
    """Merge repeats, drop blanks, and leave one separator between words and none at the ends."""
    changed = np.concatenate(([True], frames[1:] != frames[:-1]))
    symbols: list[int] = []
    for symbol in frames[changed & (frames != BLANK)].tolist():
        if symbol != separator or (symbols and symbols[-1] != separator):
            symbols.append(symbol)
    return symbols[:-1] if symbols and symbols[-1] == separator else symbols
