"""Texts to phonemes and tones, by known words of many languages."""

from __future__ import annotations

import sys

import pytest

from common.errors import PanglotError, UnknownLanguage
from transfer.phonemes.articulation import articulatory_class, distance
from transfer.phonemes.espeak import PhonemesUnavailable, espeak
from transfer.phonemes.g2p import GraphemeToPhoneme, open_g2p
from transfer.phonemes.inventory import phonemes_of, shared_and_own
from transfer.phonemes.notation import segments
from transfer.phonemes.tones import open_tones


def said(language: str, text: str) -> list[str]:
    """Phonemes of each word, with spaces between them."""
    return [" ".join(word) for word in open_g2p(language).phonemes(text)]


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("es", "casa", ["k a s a"]),
        ("es", "la casa y el perro", ["l a", "k a s a", "i", "e l", "p e r o"]),
        ("el", "θέλω", ["θ e l o"]),
        ("el", "ψυχή", ["p s i ç i"]),
        ("be", "чорны кот", ["ʈ͡ʂ ɔ r n ɨ", "k ɔ t"]),
        ("be", "дзеці", ["d͡zʲ ɛ t͡sʲ i"]),
        ("it", "zia", ["d͡z i a"]),
        ("en", "church", ["t͡ʃ ɜː t͡ʃ"]),
        ("en", "house", ["h a ʊ s"]),
        ("fr", "un chien", ["œ̃", "ʃ j ɛ̃"]),
        ("cmn", "中国", ["ʈ͡ʂ o ŋ", "k u o"]),
        ("vi", "các", ["k aː c"]),
        ("hi", "घर", ["ɡʰ ʌ ɾ"]),
        ("mk", "ноќ", ["n o c"]),
    ],
)
def test_words_are_said_as_they_are(language: str, text: str, expected: list[str]) -> None:
    assert said(language, text) == expected


def test_words_lean_on_their_neighbours() -> None:
    assert said("fr", "les amis") == ["l e z", "a m i"]
    assert said("ru", "в доме") == ["v", "d o mʲ i"]


def test_commas_and_what_cannot_be_said_are_no_phonemes() -> None:
    assert said("es", "casa, casa. ¡casa!") == ["k a s a"] * 3
    assert said("es", "") == said("es", " … —") == []
    assert said("es", "casa\0 [[casa") == ["k a s a"] * 2


def test_a_voice_does_not_linger() -> None:
    spanish, italian = open_g2p("es"), open_g2p("it")
    assert spanish.phonemes("cena") == (("θ", "e", "n", "a"),)
    assert italian.phonemes("cena") == (("t͡ʃ", "e", "n", "a"),)
    assert spanish.phonemes("cena") == (("θ", "e", "n", "a"),)


@pytest.mark.parametrize(
    ("tag", "voice"),
    [
        ("es", "roa/es"),
        ("es-419", "roa/es-419"),
        ("es-AR", "roa/es"),
        ("spa", "roa/es"),
        ("ell", "grk/el"),
        ("zh", "sit/cmn"),
        ("no", "gmq/nb"),
        ("en-US", "gmw/en-US"),
        ("sr-Latn", "zls/sr"),
    ],
)
def test_a_tag_finds_its_voice(tag: str, voice: str) -> None:
    assert open_g2p(tag).voice.name == voice


@pytest.mark.parametrize(("tag", "near"), [("gl", "es (Spanish)"), ("Spanis", "es (Spanish)")])
def test_a_language_without_a_voice_names_the_nearest(tag: str, near: str) -> None:
    with pytest.raises(UnknownLanguage, match="no voice in espeak-ng") as raised:
        open_g2p(tag)
    assert near in str(raised.value)


def test_what_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(PhonemesUnavailable, match=r"pip install 'panglot\[phonemes\]'") as raised:
        espeak.__wrapped__()
    assert isinstance(raised.value, PanglotError)
    assert "\n" not in str(raised.value)


def test_every_voice_writes_phonemes_that_have_features() -> None:
    text = "tsch dzha qua xylo phi aeiou äöü ăîșț ąęłń ñç đư 日本 привет καλό שלום سلام नमस्ते"
    for voice in espeak().voices():
        for word in GraphemeToPhoneme(voice.tag, voice, espeak()).phonemes(text):
            for phoneme in word:
                assert distance(phoneme, phoneme) == 0
                assert articulatory_class(phoneme)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("ˈaɪ", ["a", "ɪ"]),
        ("tʃ", ["t͡ʃ"]),
        ("ts.h", ["ʈ͡ʂʰ"]),
        ("aa", ["aː"]),
        ("aːː", ["aː"]),
        ("nʲʲ", ["nʲ"]),
        ("ʔu", ["u"]),
        ("n#", ["n̥"]),
        ("onɡ5", ["o", "ŋ"]),
        ("sx", ["ɧ"]),
        ("ç", ["ç"]),
        ("_", []),
    ],
)
def test_signs_of_voices_become_ipa(written: str, expected: list[str]) -> None:
    assert segments(written) == expected


def test_a_third_tone_is_no_vowel() -> None:
    assert segments("aɜ", tonal=True) == ["a"]
    assert segments("ɜ", tonal=True) == ["ɜ"]
    assert segments("aɜ") == ["a", "ɜ"]


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("cmn", "中国 是 我 的", [["55"], ["35"], ["51"], ["214"], ["11"]]),
        ("zh", "妈妈 hello", [["55", "11"]]),
        ("vi", "ma má mà mả mã mạ", [["1"], ["3"], ["2"], ["4"], ["5"], ["6"]]),
        ("yue", "香港", [["1"], ["2"]]),
        ("yo", "ọmọ bàbá ńlá ọkùnrin", ["MM", "LH", "HH", "MLM"]),
        ("yor", "ilé, N lọ!", ["MH", "M", "M"]),
    ],
)
def test_tones_of_syllables(language: str, text: str, expected: list[list[str] | str]) -> None:
    reader = open_tones(language)
    assert reader is not None
    found = reader.read(text)
    if language == "zh":  # the dictionary joins the word
        found = (tuple(tone for word in found for tone in word),)
    assert found == tuple(tuple(word) for word in expected)
    assert {tone for word in found for tone in word} <= set(reader.names)


@pytest.mark.parametrize("language", ["es", "el", "not a tag"])
def test_other_languages_have_no_tones(language: str) -> None:
    assert open_tones(language) is None


def test_phonemes_are_shared_or_the_targets_own() -> None:
    spanish = phonemes_of(["la casa tiene mucho vino"], open_g2p("es"))
    french = phonemes_of(["un chien mange une pomme"], open_g2p("fr"))
    divided = shared_and_own(french, spanish)
    assert {"m", "n"} <= divided.shared
    assert {"ʒ", "ʃ", "œ̃"} <= divided.own
    assert divided.shared | divided.own == french
    assert not divided.shared & divided.own


def test_length_does_not_part_phonemes() -> None:
    assert shared_and_own({"iː", "yː", "t"}, {"i"}, {"tː"}).own == {"yː"}


def test_a_phoneme_of_one_name_is_not_the_languages() -> None:
    texts = ["casa"] * 1000 + ["jefe"]
    assert phonemes_of(texts, open_g2p("es")) == {"k", "a", "s"}
