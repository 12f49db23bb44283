"""The lexicon, from texts to words found in CTC log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from common.errors import AdapterRefused
from speech.adapters.card import LexiconSettings
from speech.ctc.lexicon import LexiconDecoder
from speech.ctc.paths import LogProbs, text_of, timed_words
from transfer.lexicon import build_lexicon
from transfer.vocabulary import encode, vocabulary_of

# Quechua: `wordfreq` has none, so that these words are all there are.
TEXTS = ["the cat sat on the mat", "a cat is on the roof", "l' roof"]
VOCABULARY = vocabulary_of([*TEXTS, "bcdefghijklmnopqrstuvwxyz'"])
SETTINGS = LexiconSettings(sha256="", lm_weight=1.0, word_score=0.0, beam_size=20)


@pytest.fixture(scope="module")
def decoder() -> LexiconDecoder:
    content = build_lexicon(TEXTS, "qu", VOCABULARY)
    return LexiconDecoder.from_bytes(content, VOCABULARY, SETTINGS)


def heard(text: str, doubts: Sequence[tuple[int, str]] = (), sure: float = 0.9) -> LogProbs:
    """Two frames and a blank per letter; at `(index, letter)` that letter is nearly as likely."""
    frames = []
    for index, symbol in enumerate(encode(text, VOCABULARY)):
        share = np.full(len(VOCABULARY), (1 - sure) / len(VOCABULARY), dtype=np.float32)
        share[symbol] += sure
        for place, letter in doubts:
            if place == index:
                share[VOCABULARY.index(letter)] += 0.6 * sure
        silence = np.full_like(share, (1 - sure) / len(VOCABULARY))
        silence[0] += sure
        frames += [share, share, silence]
    rows = np.stack(frames)
    shares: LogProbs = np.log(rows / rows.sum(axis=1, keepdims=True))
    return shares.astype(np.float32)


def words(decoder: LexiconDecoder, log_probs: LogProbs, boosted: Sequence[str] = ()) -> str:
    return text_of(decoder.decode(log_probs, boosted), VOCABULARY)


def test_words_that_are_clear_stay(decoder: LexiconDecoder) -> None:
    assert words(decoder, heard("the cat is on the mat")) == "the cat is on the mat"


def test_a_misheard_letter_is_mended(decoder: LexiconDecoder) -> None:
    assert words(decoder, heard("the cut sat", [(5, "a")])) == "the cat sat"


def test_a_name_outside_the_lexicon_is_not_destroyed(decoder: LexiconDecoder) -> None:
    assert words(decoder, heard("the cat zyxwv sat", sure=0.99)) == "the cat zyxwv sat"


def test_a_boosted_name_joins_the_lexicon(decoder: LexiconDecoder) -> None:
    doubtful = heard("the zixer sat", [(5, "y")])
    assert words(decoder, doubtful, ["zyxer"]) == "the zyxer sat"
    assert words(decoder, heard("the cat sat")) == "the cat sat"


@pytest.mark.parametrize("phrase", ["Zyxer", "ZYXER", "Mr. Zyxer!", "zýxer", "“zyxer”"])
def test_a_boosted_name_is_written_as_the_vocabulary_writes(
    decoder: LexiconDecoder, phrase: str
) -> None:
    assert words(decoder, heard("the zixer sat", [(5, "y")]), [phrase]) == "the zyxer sat"


@pytest.mark.parametrize("phrase", ["Ярослав", "...", "3M", "ß"])
def test_a_name_that_cannot_be_written_changes_nothing(
    decoder: LexiconDecoder, phrase: str
) -> None:
    assert words(decoder, heard("the cat sat"), [phrase]) == "the cat sat"


def test_many_callers_boost_their_own(decoder: LexiconDecoder) -> None:
    names = ["zyxer", "zaxer", "zoxer", "zuxer", "zexer", "zyxar", "zyxor", "zyxir", "zyxur"] * 2

    def said(name: str) -> str:
        middle = [(5, name[1])] if name[1] != "i" else []
        return words(decoder, heard(f"the zi{name[2:]} sat", middle), [name])

    with ThreadPoolExecutor(4) as callers:
        assert list(callers.map(said, names)) == [f"the {name} sat" for name in names]


def test_the_path_of_a_final_says_when_its_words_were_spoken(decoder: LexiconDecoder) -> None:
    log_probs = heard("the cut sat", [(5, "a")])
    path = decoder.path(log_probs)
    assert path.symbols == tuple(decoder.decode(log_probs))
    times = [(word.text, word.start_ms, word.end_ms) for word in timed_words(path, VOCABULARY)]
    # Three frames a letter: two of sound, one of silence.
    assert times == [("the", 0, 160), ("cat", 240, 400), ("sat", 480, 640)]


def test_a_path_of_no_frames_is_empty(decoder: LexiconDecoder) -> None:
    assert decoder.path(np.zeros((0, len(VOCABULARY)), np.float32)).symbols == ()


def test_an_elided_word_leans_on_the_next() -> None:
    content = build_lexicon(["l'homme"], "fr", VOCABULARY)
    decoder = LexiconDecoder.from_bytes(content, VOCABULARY, SETTINGS)
    assert words(decoder, heard("l'homme")) == "l'homme"


def test_nothing_heard_is_nothing_said(decoder: LexiconDecoder) -> None:
    assert decoder.decode(np.zeros((0, len(VOCABULARY)), dtype=np.float32)) == []
    silence = np.full((30, len(VOCABULARY)), -9.0, dtype=np.float32)
    silence[:, 0] = 0.0
    assert words(decoder, silence) == ""


def test_other_bytes_are_refused() -> None:
    with pytest.raises(AdapterRefused, match="xz"):
        LexiconDecoder.from_bytes(b"not a lexicon", VOCABULARY, SETTINGS)
    with pytest.raises(AdapterRefused, match="ARPA"):
        LexiconDecoder(b"not a model", VOCABULARY, SETTINGS)
