"""Step 9, the universal path, on people's voices and on models of random numbers."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable
from typing import Any

import jiwer
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from common.errors import ModelNotFound
from speech.base_model import BaseModel
from speech.ctc import TimedWord
from speech.encoder import WhisperSharedEncoder
from speech.features import SAMPLE_RATE_HZ
from speech.token_words import first_frames, word_bounds
from speech.universal import UniversalRecognizer, padded
from speech.whisper_decoder import WhisperDecoderRunner
from tests.speech.tiny import D_MODEL, noise, tiny_model


@pytest.fixture(scope="session")
def encoder(base: BaseModel) -> WhisperSharedEncoder:
    return WhisperSharedEncoder(base.whisper.model.encoder)


@pytest.fixture(scope="session")
def recognizer(base: BaseModel) -> UniversalRecognizer:
    return UniversalRecognizer(base)


def plain(text: str) -> str:
    """Lower case without punctuation."""
    return "".join(char for char in text.lower() if char.isalnum() or char in " '")


def check_times(words: tuple[TimedWord, ...], n_samples: int) -> None:
    times = [time for word in words for time in (word.start_ms, word.end_ms)]
    assert times == sorted(times)
    assert all(0 <= time <= n_samples * 1000 // SAMPLE_RATE_HZ for time in times)
    assert all(0 < word.confidence <= 1 for word in words)


@pytest.mark.parametrize(
    ("name", "beam_size"),
    [("en-1", 5), ("en-2", 1), ("it-1", 5), ("fr-1", 1), ("es-2", 5), ("ru-2", 1)],
)
def test_what_was_said(
    recognizer: UniversalRecognizer,
    encoder: WhisperSharedEncoder,
    clip: Callable[[str], Tensor],
    clips: dict[str, dict[str, Any]],
    name: str,
    beam_size: int,
) -> None:
    said = clips[f"{name}.flac"]
    audio = clip(f"{name}.flac")
    heard = recognizer.recognize(encoder, audio, said["language"], beam_size)
    assert jiwer.wer(said["text"], plain(heard.text)) < 0.3
    assert " ".join(word.text for word in heard.words) == heard.text
    assert 0.5 < heard.confidence <= 1
    check_times(heard.words, len(audio))


def test_words_are_where_they_are_spoken(
    recognizer: UniversalRecognizer, encoder: WhisperSharedEncoder, clip: Callable[[str], Tensor]
) -> None:
    """Two clips with two seconds of silence between: no word of either lies in the other."""
    first, second = clip("en-1.flac"), clip("en-3.flac")
    gap = torch.zeros(2 * SAMPLE_RATE_HZ)
    heard = recognizer.recognize(encoder, torch.cat([first, gap, second]), "en")
    words = [plain(word.text) for word in heard.words]
    assert {"again", "directory"} <= set(words)
    again, directory = (heard.words[words.index(word)] for word in ("again", "directory"))
    boundary_ms = (len(first) + len(gap)) * 1000 // SAMPLE_RATE_HZ
    assert again.start_ms < len(first) * 1000 // SAMPLE_RATE_HZ
    assert directory.end_ms > boundary_ms
    assert directory.start_ms > boundary_ms - 700
    check_times(heard.words, len(first) + len(gap) + len(second))


@pytest.mark.parametrize("beam_size", [1, 5])
@pytest.mark.parametrize("n_samples", [800, 16_000])
def test_silence_has_no_text(
    recognizer: UniversalRecognizer, encoder: WhisperSharedEncoder, n_samples: int, beam_size: int
) -> None:
    heard = recognizer.recognize(encoder, torch.zeros(n_samples), "en", beam_size)
    assert (heard.text, heard.words, heard.confidence) == ("", (), 0.0)


@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 50), beam_size=st.integers(1, 6), language=st.sampled_from(["en", "zh"]))
def test_any_decoding_ends(seed: int, beam_size: int, language: str) -> None:
    model = tiny_model(seed)
    recognizer = UniversalRecognizer(model)
    states = torch.randn(40, D_MODEL, generator=torch.Generator().manual_seed(seed))
    decoding = recognizer.decoding(states, 12_000, language, beam_size)
    n_steps = 0
    while not decoding.done:
        decoding.step()
        n_steps += 1
    assert n_steps <= 8 + 40 * 20 * 25 // 1000
    heard = decoding.result()
    check_times(heard.words, 12_000)
    assert "".join(word.text for word in heard.words) == heard.text.replace(" ", "")
    assert "<|" not in heard.text


def test_a_beam_of_all_finds_the_best_sequence(tiny: BaseModel) -> None:
    """Against every sequence of two letters that the decoder could have written."""
    recognizer = UniversalRecognizer(tiny)
    states = torch.randn(30, D_MODEL, generator=torch.Generator().manual_seed(3))
    decoding = recognizer.decoding(states, 8000, "en", beam_size=20)
    decoding._limit = 2
    while not decoding.done:
        decoding.step()
    runner = WhisperDecoderRunner(tiny)
    memory = runner.memory(states)
    prompt = list(decoding._prompt)
    scores = {}
    for tokens in itertools.product(range(20), repeat=2):
        logits, _ = runner.step(torch.tensor([[*prompt, tokens[0]]]), memory, None)
        steps = logits[0, len(prompt) - 1 :, : recognizer.end + 1].log_softmax(dim=-1)
        scores[tokens] = sum(float(steps[index, token]) for index, token in enumerate(tokens))
    best = decoding._beams[0]
    assert best.tokens == max(scores, key=lambda tokens: scores[tokens])
    assert sum(best.log_probs) == pytest.approx(scores[best.tokens], abs=1e-4)


def test_a_decoder_step_equals_the_reference(tiny: BaseModel) -> None:
    """Cached steps of several beams, against `transformers` run whole."""
    runner = WhisperDecoderRunner(tiny)
    states = torch.randn(25, D_MODEL, generator=torch.Generator().manual_seed(1))
    sequences = torch.randint(0, 20, (3, 6), generator=torch.Generator().manual_seed(2))
    memory = runner.memory(states)
    logits, past = runner.step(sequences[:1, :1], memory, None)
    past = past.select(torch.tensor([0, 0, 0]))
    sequences[:, 0] = sequences[0, 0]
    for place in range(1, 6):
        logits, past = runner.step(sequences[:, place : place + 1], memory, past)
    expected = tiny.whisper(
        encoder_outputs=(states.expand(3, -1, -1),), decoder_input_ids=sequences
    ).logits
    assert torch.allclose(logits[:, 0], expected[:, -1], atol=1e-4)


def test_an_unknown_language(tiny: BaseModel) -> None:
    with pytest.raises(ModelNotFound):
        UniversalRecognizer(tiny).decoding(torch.zeros(9, D_MODEL), 800, "xx")


def test_a_withdrawn_tag_is_translated(tiny: BaseModel) -> None:
    decoding = UniversalRecognizer(tiny).decoding(torch.zeros(9, D_MODEL), 800, "jv")
    assert decoding._prompt[1] == tiny.tokenizer.token_to_id("<|jw|>")


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.05, 6.0), (5.4, 6.0), (8.0, 8.5), (29.8, 30.0), (30.0, 30.0)]
)
def test_silence_is_put_behind(seconds: float, expected: float) -> None:
    audio = noise(int(seconds * SAMPLE_RATE_HZ))
    found = padded(audio)
    assert len(found) == expected * SAMPLE_RATE_HZ
    assert torch.equal(found[: len(audio)], audio)
    assert not found[len(audio) :].any()


@given(st.integers(1, 5), st.integers(1, 8), st.integers(0, 1000))
def test_first_frames_lie_on_the_best_monotone_path(n_token: int, n_frames: int, seed: int) -> None:
    attention = np.random.default_rng(seed).normal(size=(n_token, n_frames)).astype(np.float32)
    firsts = first_frames(attention)
    assert len(firsts) == n_token
    assert firsts == sorted(firsts)
    assert firsts[0] == 0
    if n_token > n_frames:
        return

    def score(starts: tuple[int, ...]) -> float:
        bounds = [*starts, n_frames]
        return sum(
            float(attention[token, bounds[token] : bounds[token + 1]].sum())
            for token in range(n_token)
        )

    every = [(0, *rest) for rest in itertools.combinations(range(1, n_frames), n_token - 1)]
    assert score(tuple(firsts)) == pytest.approx(max(map(score, every)), abs=1e-4)


def test_a_loop_is_no_text(tiny: BaseModel) -> None:
    decoding = UniversalRecognizer(tiny).decoding(torch.zeros(9, D_MODEL), 800, "en", 1)
    decoding.step()
    repeated = (3, 14) * 40
    best = type(decoding._beams[0])(repeated, (-0.01,) * len(repeated))
    text = tiny.tokenizer.decode(list(repeated))
    assert len(text) / len(zlib.compress(text.encode())) > 2.4
    decoding._finished = [best]
    assert decoding.result().text == ""


def test_a_character_of_several_tokens_is_one_word(base: BaseModel) -> None:
    """In scripts without spaces each character is a word, however many tokens it takes."""
    text = "今日は鷸がいる"
    tokens = base.tokenizer.encode(text, add_special_tokens=False).ids
    assert len(tokens) != len(text)
    bounds = word_bounds(base.tokenizer, tokens, "ja")
    pieces = [base.tokenizer.decode(tokens[first:last]) for first, last in bounds]
    assert "".join(pieces) == text
    assert "鷸" in pieces
    english = base.tokenizer.encode(" don't stop", add_special_tokens=False).ids
    bounds = word_bounds(base.tokenizer, english, "en")
    assert [base.tokenizer.decode(english[a:b]) for a, b in bounds] == [" don't", " stop"]
