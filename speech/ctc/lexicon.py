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
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
from flashlight.lib.text.dictionary import Dictionary
from torch import Tensor

from common.errors import AdapterRefused
from speech.adapters.card import LexiconSettings
from speech.ctc.alignment import align
from speech.ctc.arpa import load_kenlm, unigrams
from speech.ctc.boosting import BOOST, UNKNOWN_BOOSTED, BoostedModel, BoostedWord, boosted_tree
from speech.ctc.paths import BLANK, LogProbs, Path, greedy

RESCUE_NATS = 12.0
"""A word whose letters lose more than this against the best letters is replaced by those."""
_UNHEARD_NATS = 3.0
_SEPARATOR = " "
_UNKNOWN = "<unk>"
_IMPOSSIBLE = -1e4
# Nats behind the best hypothesis. On 907 clips of five languages 15 finds the same texts as 30 in
# half the time; 12 loses some.
_BEAM_THRESHOLD = 15.0
_CANDIDATE_SYMBOLS = 20
# A worker builds one beside its batches. Holding the interpreter's lock without a pause would slow
# each of their hundreds of operations; measured, a batch took four times as long.
_WORDS_AT_A_TIME = 100
_BREATH_S = 0.0005
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
        self._plain = self._build()
        self._boosted: OrderedDict[frozenset[str], _Search] = OrderedDict()
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
        search = self._search(boosted_phrases)
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

    def _written(self, phrase: str) -> str:
        """In the vocabulary's letter case, without accents it lacks and punctuation."""
        return "".join(map(self._letter, unicodedata.normalize("NFC", phrase.replace("’", "'"))))

    def _letter(self, character: str) -> str:
        plain = unicodedata.normalize("NFD", character)[0]
        for form in (character, character.lower(), plain, plain.lower()):
            if form in self._class_of:
                return form
        return character if character.isalnum() else _SEPARATOR

    def _search(self, phrases: Sequence[str]) -> _Search:
        boosted = frozenset(" ".join(map(self._written, phrases)).split())
        if not boosted:
            return self._plain
        with self._lock:
            if boosted not in self._boosted:
                self._boosted[boosted] = self._boost(boosted)
            self._boosted.move_to_end(boosted)
            if len(self._boosted) > _CACHED_PHRASE_SETS:
                self._boosted.popitem(last=False)
            return self._boosted[boosted]

    def _build(self) -> _Search:
        tree = Trie(len(self._class_of), self._separator)
        for number, (word, score) in enumerate(self._unigrams.items()):
            if number % _WORDS_AT_A_TIME == 0:
                time.sleep(_BREATH_S)
            for spelling in self._spellings(word):
                tree.insert(spelling, number, score)
        tree.smear(SmearingMode.MAX)
        return _Search(tree, self._model, len(self._unigrams))

    def _boost(self, boosted: frozenset[str]) -> _Search:
        unknown = self._plain.unknown
        words = []
        for index, word in enumerate(sorted(boosted)):
            known = word in self._unigrams
            number = self._dictionary.get_index(word) if known else unknown + 1 + index
            score = self._unigrams.get(word, UNKNOWN_BOOSTED) + BOOST
            words.append(BoostedWord(number, score, tuple(self._spellings(word))))
        tree = boosted_tree(self._plain.words, len(self._class_of), self._separator, words)
        numbers = frozenset(word.number for word in words)
        return _Search(tree, BoostedModel(self._model, unknown, numbers), unknown)

    def _spellings(self, word: str) -> Iterator[tuple[int, ...]]:
        """Classes that spell a word; none when it has a character the adapter cannot write."""
        if all(character in self._class_of for character in word):
            letters = tuple(self._class_of[character] for character in word)
            yield (*letters, self._separator)
            if word.endswith("'"):
                # An elided word leans on the next: `l'homme` is `l'` and `homme`.
                yield letters


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
