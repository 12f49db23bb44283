"""Step 9, for finals: beam search over the words a language has, weighed by a bigram model.

The lexicon is a file of the adapter: a bigram language model in ARPA's text form, compressed with
xz. Its unigrams are the words. The search is flashlight-text's lexicon decoder (Kahn et al.,
"Flashlight", 2022) with KenLM.

A lexicon knows no rare names. Where the words found explain the sound far worse than the best
letters do, the letters are kept: see `_rescue`.
"""

from __future__ import annotations

import itertools
import lzma
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from flashlight.lib.text.decoder import (
    LM,
    CriterionType,
    LexiconDecoderOptions,
    SmearingMode,
    Trie,
)
from flashlight.lib.text.decoder import LexiconDecoder as FlashlightDecoder
from flashlight.lib.text.decoder.kenlm import KenLM
from flashlight.lib.text.dictionary import Dictionary

from common.errors import AdapterRefused
from speech.adapters.card import LexiconSettings
from speech.arpa import load_kenlm, unigrams
from speech.ctc import BLANK, LogProbs

RESCUE_NATS = 12.0
"""A word whose letters lose more than this against the best letters is replaced by those."""
BOOST = 2.0
"""Added to the log10 probability of each word of a boosted phrase."""
_UNHEARD_NATS = 3.0
_UNKNOWN_BOOSTED = -5.0
_SEPARATOR = " "
_UNKNOWN = "<unk>"
_IMPOSSIBLE = -1e4
_BEAM_THRESHOLD = 30.0
_CANDIDATE_SYMBOLS = 20
_CACHED_PHRASE_SETS = 8


@dataclass(frozen=True)
class _Search:
    """What one set of boosted phrases needs: all words as a prefix tree, the model over them."""

    words: Trie
    model: LM
    unknown: int


class LexiconDecoder:
    """Decoder of one adapter version. Calls may come from several threads."""

    def __init__(self, arpa: bytes, vocabulary: Sequence[str], settings: LexiconSettings) -> None:
        """Build the prefix tree of all words; about 0.4 s for 80,000.

        Args:
            arpa: the bigram model, not compressed.
            vocabulary: symbol of each CTC class: blank first, `" "` between words.
            settings: weights and beam.

        Raises:
            AdapterRefused: the bytes are no ARPA model, or the vocabulary has no separator.
        """
        if _SEPARATOR not in vocabulary:
            raise AdapterRefused("an adapter with a lexicon needs a word separator, ' '")
        self._class_of = {symbol: number for number, symbol in enumerate(vocabulary)}
        self._separator = self._class_of[_SEPARATOR]
        self._apostrophe = self._class_of.get("'", -1)
        self._settings = settings
        self._unigrams = unigrams(arpa)
        self._dictionary = Dictionary([*self._unigrams, _UNKNOWN])
        self._model = load_kenlm(arpa, self._dictionary)
        self._searches: OrderedDict[frozenset[str], _Search] = OrderedDict()
        self._lock = threading.Lock()
        self._search(frozenset())

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

    def decode(self, log_probs: LogProbs, boosted_phrases: Sequence[str] = ()) -> list[int]:
        """Classes of the most likely words, separators between them.

        Args:
            log_probs: float32 `[n_frames, n_vocab]`.
            boosted_phrases: phrases the caller expects, as the vocabulary writes them; their words
                join the lexicon and become likelier.
        """
        if not len(log_probs):
            return []
        words = frozenset(word for phrase in boosted_phrases for word in phrase.split())
        search = self._search(words)
        options = LexiconDecoderOptions(
            beam_size=self._settings.beam_size,
            beam_size_token=min(_CANDIDATE_SYMBOLS, log_probs.shape[1]),
            beam_threshold=_BEAM_THRESHOLD,
            lm_weight=self._settings.lm_weight,
            word_score=self._settings.word_score,
            unk_score=-np.inf,
            sil_score=0.0,
            log_add=False,
            criterion_type=CriterionType.CTC,
        )
        decoder = FlashlightDecoder(
            options,
            search.words,
            search.model,
            self._separator,
            BLANK,
            search.unknown,
            [],
            False,
        )
        emissions, held = self._emissions(log_probs)
        found = decoder.decode(emissions.ctypes.data, *emissions.shape)
        if not found:
            return _collapse(log_probs.argmax(axis=1), self._separator)
        # One token per frame, between one for the start and one for the end.
        frames = np.asarray(found[0].tokens[1 : len(log_probs) + 1], dtype=np.int64)
        frames[held & (frames == self._separator)] = self._apostrophe
        return _collapse(_rescue(log_probs, frames, self._separator), self._separator)

    def _emissions(self, log_probs: LogProbs) -> tuple[LogProbs, npt.NDArray[np.bool_]]:
        """Log-probabilities as the search needs them, and the frames where they were changed.

        A frame is appended that can only be a separator or blank: the last word has to end too.
        And where an apostrophe is held for several frames, a separator may stand for it after the
        first: the search cannot repeat the last letter of a word, except for the separator.
        """
        emissions = np.full((len(log_probs) + 1, log_probs.shape[1]), _IMPOSSIBLE, np.float32)
        emissions[:-1] = log_probs
        emissions[-1, [BLANK, self._separator]] = 0.0
        apostrophe = log_probs.argmax(axis=1) == self._apostrophe
        held = apostrophe & np.concatenate(([False], apostrophe[:-1]))
        emissions[:-1][held, self._separator] = log_probs[held, self._apostrophe]
        return emissions, held

    def _search(self, boosted: frozenset[str]) -> _Search:
        with self._lock:
            if boosted not in self._searches:
                self._searches[boosted] = self._build(boosted)
                while len(self._searches) > _CACHED_PHRASE_SETS:
                    # The plain lexicon came first and always stays.
                    del self._searches[list(self._searches)[1]]
            return self._searches[boosted]

    def _build(self, boosted: frozenset[str]) -> _Search:
        tree = Trie(len(self._class_of), self._separator)
        scores = dict(self._unigrams)
        for word in boosted:
            scores[word] = scores.get(word, _UNKNOWN_BOOSTED) + BOOST
        unknown = len(self._unigrams)
        numbers = {word: number for number, word in enumerate(self._unigrams)}
        for word in sorted(boosted - numbers.keys()):
            numbers[word] = unknown + 1 + len(numbers) - len(self._unigrams)
        for word, score in scores.items():
            for spelling in self._spellings(word):
                tree.insert(spelling, numbers[word], score)
        tree.smear(SmearingMode.MAX)
        model = self._model
        if boosted:
            model = _Boosted(self._model, unknown, {numbers[word] for word in boosted})
        return _Search(tree, model, unknown)

    def _spellings(self, word: str) -> Iterator[list[int]]:
        """Classes that spell a word; none when it has a character the adapter cannot write."""
        if all(character in self._class_of for character in word):
            letters = [self._class_of[character] for character in word]
            yield [*letters, self._separator]
            if word.endswith("'"):
                # An elided word leans on the next: `l'homme` is `l'` and `homme`.
                yield letters


class _Boosted(LM):  # type: ignore[misc]
    """The bigram model with some words made likelier, also words it does not know."""

    def __init__(self, model: KenLM, unknown: int, boosted: set[int]) -> None:
        LM.__init__(self)
        self._model = model
        self._unknown = unknown
        self._words = boosted

    def start(self, start_with_nothing: bool) -> Any:
        return self._model.start(start_with_nothing)

    def score(self, state: Any, word: int) -> tuple[Any, float]:
        known = word if word < self._unknown else self._unknown
        following, score = self._model.score(state, known)
        if word > self._unknown:
            score = _UNKNOWN_BOOSTED
        return following, score + (BOOST if word in self._words else 0.0)

    def finish(self, state: Any) -> tuple[Any, float]:
        following, score = self._model.finish(state)
        return following, score


def _rescue(
    log_probs: LogProbs, frames: npt.NDArray[np.int64], separator: int
) -> npt.NDArray[np.int64]:
    """Replace words that are far from what was heard by the letters that were heard.

    Args:
        log_probs: float32 `[n_frames, n_vocab]`.
        frames: int64 `[n_frames]`, class of each frame on the lexicon's path.
        separator: class that ends a word.
    """
    best = log_probs.argmax(axis=1)
    loss = log_probs.max(axis=1) - np.take_along_axis(log_probs, frames[:, None], axis=1)[:, 0]
    mixed = frames.copy()
    # A separator that was not heard may have been made up to fit two words into one.
    heard = (frames == separator) & (loss < _UNHEARD_NATS)
    bounds = [-1, *np.flatnonzero(heard).tolist(), len(frames)]
    for before, after in itertools.pairwise(bounds):
        word = slice(before + 1, after)
        if loss[word].sum() > RESCUE_NATS:
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
