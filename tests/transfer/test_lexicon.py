"""The lexicon, from texts to words found in CTC log-probabilities."""

from __future__ import annotations

import lzma
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common.errors import AdapterRefused
from speech.adapters.card import LexiconSettings
from speech.ctc.arpa import read_arpa
from speech.ctc.lexicon import LexiconDecoder
from speech.ctc.paths import LogProbs, text_of, timed_words
from transfer.lexicon.build import build_lexicon
from transfer.lexicon.more_words import MoreWords
from transfer.training.vocabulary import encode, vocabulary_of

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


def test_probabilities_after_any_word_sum_to_one() -> None:
    words_known, model = read_arpa(lzma.decompress(build_lexicon(TEXTS, "qu", VOCABULARY)))
    assert len(words_known) == 9
    every = np.arange(model.n_word, dtype=np.int64)
    for state in range(model.n_state):
        scores, _ = model.score(np.full(model.n_word, state, np.int64), every)
        assert sum(10.0 ** scores.astype(np.float64)) == pytest.approx(1, abs=0.02)


def test_a_file_of_today_is_read_tomorrow() -> None:
    """As written by the first version: no weight for the shorter memory, two columns at most."""
    arpa = "\\data\\\nngram 1=5\nngram 2=1\n\n\\1-grams:\n-99\t<unk>\n-99\t<s>\t0\n"
    arpa += "-0.5\tthe\t-0.2\n-0.5\tcat\n-1\t</s>\n\n\\2-grams:\n-0.1\tthe cat\n\n\\end\\\n"
    decoder = LexiconDecoder.from_bytes(lzma.compress(arpa.encode()), VOCABULARY, SETTINGS)
    assert words(decoder, heard("the cut", [(5, "a")])) == "the cat"


def test_other_weights_share_the_words(decoder: LexiconDecoder) -> None:
    doubtful = heard("the cut sat", [(5, "a")])
    deaf = decoder.weighed(replace(SETTINGS, lm_weight=0.0, word_score=-30.0))
    assert deaf.n_bytes == decoder.n_bytes
    assert words(deaf, doubtful) != words(decoder, doubtful) == "the cat sat"


def test_a_penalty_on_blanks_hears_what_was_swallowed(decoder: LexiconDecoder) -> None:
    clear = heard("the cat sat")
    faint = clear.copy()
    faint[12:21] = np.log(0.3 / len(VOCABULARY))  # the word between its spaces
    faint[12:21, 0] = np.log(0.6)
    for frame, letter in zip((12, 15, 18), "cat", strict=True):
        faint[frame, VOCABULARY.index(letter)] = np.log(0.2)
    assert words(decoder, faint) == "the sat"
    listening = decoder.weighed(replace(SETTINGS, blank_penalty=2.0))
    assert words(listening, faint) == "the cat sat"
    assert words(listening, clear) == "the cat sat"


def test_how_far_a_word_may_be_from_its_letters_is_set(decoder: LexiconDecoder) -> None:
    name = heard("the kyt sat", sure=0.97)
    patient = decoder.weighed(replace(SETTINGS, rescue_nats=1e6))
    assert words(decoder, name) == "the kyt sat"
    assert words(patient, name) == "the cat sat"


def dictionary(folder: Path, entries: Sequence[str]) -> Path:
    rules = "SET UTF-8\nSFX S Y 1\nSFX S 0 s .\nSFX D Y 1\nSFX D 0 ed .\n"
    (folder / "xx.aff").write_text(rules, encoding="utf-8")
    (folder / "xx.dic").write_text("\n".join([str(len(entries)), *entries]), encoding="utf-8")
    return folder / "xx"


def log10_of(content: bytes) -> dict[str, float]:
    words_known, model = read_arpa(lzma.decompress(content))
    return dict(zip(words_known, model.unigram.tolist(), strict=False))


def test_a_dictionary_adds_the_forms_of_its_words(tmp_path: Path) -> None:
    entries = ["mat/S", "cat/S", "Ñandú/S", "walk/SD"]
    content = build_lexicon(TEXTS, "qu", VOCABULARY, MoreWords(dictionary(tmp_path, entries)))
    known = log10_of(content)
    assert {"mats", "cats", "walk", "walks", "walked"} <= known.keys()
    assert not {"ñandú", "Ñandú"} & known.keys()  # the adapter cannot write them
    assert known["cat"] > known["walk"]
    found = LexiconDecoder.from_bytes(content, VOCABULARY, SETTINGS)
    assert words(found, heard("the mots", [(5, "a")])) == "the mats"


def test_forms_of_a_kind_that_is_said_are_likelier(tmp_path: Path) -> None:
    verbs = [f"{a}{b}k" for a in "bcdfghjlmnp" for b in "aeiou"]
    said = [f"{verb}ed" for verb in verbs[::2]]
    entries = [f"{verb}/SD" for verb in verbs]
    folder = dictionary(tmp_path, entries)
    known = log10_of(build_lexicon(said, "qu", VOCABULARY, MoreWords(folder)))
    assert known[f"{verbs[1]}ed"] > known[f"{verbs[1]}s"] + 0.3


def test_the_same_sources_make_the_same_file(tmp_path: Path) -> None:
    folder = dictionary(tmp_path, ["mat/SD", "mats", "cat/DS"])
    once, again = (build_lexicon(TEXTS, "qu", VOCABULARY, MoreWords(folder)) for _ in range(2))
    assert once == again


def test_the_users_words_and_sentences_join() -> None:
    plain = log10_of(build_lexicon(TEXTS, "qu", VOCABULARY))
    more = MoreWords(sentences=("the tapir is on the mat",), words=("zyxer", "ж"))
    content = build_lexicon(TEXTS, "qu", VOCABULARY, more)
    known = log10_of(content)
    assert known.keys() - plain.keys() == {"tapir", "zyxer"}
    arpa = lzma.decompress(content).decode()
    assert re.search(r"\tthe tapir$", arpa, re.MULTILINE)
    assert not re.search(r"\t(zyxer \w+|\w+ zyxer)$", arpa, re.MULTILINE)


@pytest.mark.parametrize("texts", [[], ["ж ж"], [""]])
def test_a_lexicon_of_nothing_hears_letters(texts: list[str]) -> None:
    content = build_lexicon(texts, "qu", VOCABULARY)
    decoder = LexiconDecoder.from_bytes(content, VOCABULARY, SETTINGS)
    assert words(decoder, heard("zyx", sure=0.99)) == "zyx"
