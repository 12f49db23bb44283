"""Boosted phrases among tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from speech.base_model import WhisperBase
from speech.whisper.phrases import OUTSIDE, PhraseTree, inside_words, phrase_tokens
from speech.whisper.universal import UniversalRecognizer, padded

INSIDE = frozenset({7, 8, 9})


def bonus(phrases: Sequence[Sequence[int]], tokens: Sequence[int]) -> float:
    """After `tokens`, none of which says whether a last phrase is complete but by its number."""
    tree = PhraseTree(phrases, INSIDE, 1.5)
    place = OUTSIDE
    for token in tokens:
        place = tree.advance(place, token)
    return place.bonus / 1.5


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([1], 1),
        ([1, 8], 2),
        ([1, 8, 2], 2),  # kept
        ([1, 8, 9], 0),  # another word that begins alike
        ([1, 2], 0),  # not completed
        ([1, 1, 8, 2], 2),
        ([1, 8, 2, 1, 8, 2], 2),  # a phrase counts once
        ([3, 4, 5], 3),
        ([3, 2], 1),
        ([3, 4, 2], 1),  # the shorter phrase was complete
        ([3, 4, 5, 1, 8, 2], 5),
        ([6, 2, 6], 0),
    ],
)
def test_the_bonus_of_a_text(tokens: list[int], expected: int) -> None:
    assert bonus([[1, 8], [3], [3, 4, 5]], tokens) == expected


@given(
    phrases=st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=3), max_size=4),
    tokens=st.lists(st.integers(0, 9), max_size=20),
)
def test_a_bonus_is_never_more_than_that_of_all_phrases(
    phrases: list[list[int]], tokens: list[int]
) -> None:
    longest = max(map(len, phrases), default=0)
    assert 0 <= bonus(phrases, tokens) <= sum(map(len, phrases)) + longest


def test_candidates_are_beginnings_and_what_follows() -> None:
    tree = PhraseTree([[1, 8], [3]], INSIDE, 1.0)
    assert set(tree.candidates(OUTSIDE)) == {1, 3}
    assert set(tree.candidates(tree.advance(OUTSIDE, 1))) == {1, 3, 8}


def test_tokens_within_words(base: WhisperBase) -> None:
    inside = inside_words(base.tokenizer)

    def tokens(text: str) -> list[int]:
        return list(base.tokenizer.encode(text, add_special_tokens=False).ids)

    assert set(tokens("ing")) <= inside
    assert not inside & {*tokens(" the"), *tokens(","), *tokens("."), *tokens("<|endoftext|>")}


def test_how_phrases_are_written(base: WhisperBase) -> None:
    def texts(phrase: str, language: str) -> set[str]:
        found = phrase_tokens(base.tokenizer, [phrase], language)
        return {base.tokenizer.decode(tokens) for tokens in found}

    assert texts("acqua alta", "it") == {" acqua alta", " Acqua alta"}
    assert texts("東京", "ja") == {"東京"}


def test_a_missed_word_is_heard(base: WhisperBase, clip: Callable[[str], Tensor]) -> None:
    """`Veuillez` is heard as `Veillez`; phrases that are not said change nothing."""
    audio = clip("fr-3.flac")
    recognizer = UniversalRecognizer(base)
    with torch.inference_mode():
        states = base.encoder(*base.encoder.features([padded(audio)])).states[0]
    cases = ((), ("veuillez",), ("planète rouge", "volume", "<|endoftext|>"))
    decodings = [recognizer.decoding(states, len(audio), "fr", 5, phrases) for phrases in cases]
    while not all(decoding.done for decoding in decodings):
        recognizer.step(decodings)
    plain, boosted, idle = (decoding.result() for decoding in decodings)
    assert plain.text.startswith("Veillez")
    assert boosted.text == plain.text.replace("Veillez", "Veuillez")
    assert idle.text == plain.text
    assert all(0 < word.confidence <= 1 for word in boosted.words)


def test_text_is_encoded_as_the_decoder_writes_it(base: WhisperBase) -> None:
    """Nearly every token is the encoding of its own text; the installed file lost a merge."""
    texts = base.tokenizer.decode_batch([[token] for token in range(1000, 9000)])
    encoded = base.tokenizer.encode_batch(texts, add_special_tokens=False)
    n_other = sum(
        found.ids != [token] and "\ufffd" not in text
        for token, text, found in zip(range(1000, 9000), texts, encoded, strict=True)
    )
    assert n_other < 10
    assert base.tokenizer.encode(" the", add_special_tokens=False).tokens == ["Ġthe"]
