"""Step 4 on people's voices, and the languages there are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import langcodes
import pytest
import torch
from torch import Tensor

import common.catalogue
from common.errors import ModelNotFound
from speech.base_model import WhisperBase
from speech.precision import place
from speech.whisper.language_id import WINDOW_SAMPLES, WhisperLanguageIdentifier
from speech.whisper.languages import from_bcp47, model_languages, token_id
from tests.speech.tiny import noise, tiny_model


def test_the_real_model_knows_99_languages(base: WhisperBase) -> None:
    languages = model_languages(base.tokenizer)
    assert len(languages) == 99
    assert sorted(languages) == sorted(common.catalogue.universal_languages())
    for tag, token in languages.items():
        assert base.tokenizer.id_to_token(token) == f"<|{from_bcp47(tag)}|>"


def test_tags_are_in_their_standard_form() -> None:
    path = Path(common.catalogue.__file__).parent / "universal_languages.json"
    tags = json.loads(path.read_text(encoding="utf-8"))
    assert tags == sorted(tags)
    assert [langcodes.standardize_tag(tag) for tag in tags] == tags
    assert "jv" in tags


def test_a_withdrawn_code_is_translated(tiny: WhisperBase) -> None:
    assert list(model_languages(tiny.tokenizer)) == ["en", "zh", "de", "jv"]
    assert from_bcp47("jv") == "jw"
    assert from_bcp47("de") == "de"


def test_a_model_of_one_language(tiny: WhisperBase) -> None:
    with pytest.raises(ModelNotFound, match=r"<\|xx\|>: is it multilingual"):
        token_id(tiny.tokenizer, "<|xx|>")


def test_the_right_language(
    base: WhisperBase, clip: Callable[[str], Tensor], clips: dict[str, dict[str, Any]]
) -> None:
    names = ["en-1.flac", "fr-1.flac", "it-1.flac", "es-2.flac", "ru-2.flac"]
    identifier = WhisperLanguageIdentifier(base)
    posteriors = identifier.posteriors([clip(name) for name in names])
    assert posteriors.shape == (5, 100)
    assert posteriors.dtype == torch.float32
    assert torch.allclose(posteriors.sum(dim=1), torch.ones(5), atol=1e-5)
    heard = [identifier.languages[index] for index in posteriors[:, :-1].argmax(dim=1).tolist()]
    assert heard == [clips[name]["language"] for name in names]


def test_the_real_model_tells_silence_from_speech(
    base: WhisperBase, clip: Callable[[str], Tensor]
) -> None:
    identifier = WhisperLanguageIdentifier(base)
    background = identifier.posteriors([torch.zeros(32_000), clip("fr-1.flac")])[:, -1]
    assert background[0] > 0.6
    assert background[1] < 0.1


def test_a_temperature_flattens_and_changes_no_rank() -> None:
    plain, flat = (
        WhisperLanguageIdentifier(tiny_model(), temperature=temperature).posteriors([noise(16_000)])
        for temperature in (1.0, 4.0)
    )
    assert flat.max() < plain.max()
    assert torch.equal(flat.argsort(dim=1), plain.argsort(dim=1))
    assert torch.allclose(flat, (plain.log() / 4).softmax(dim=-1), atol=1e-5)


def test_a_window_does_not_hear_its_neighbours() -> None:
    identifier = WhisperLanguageIdentifier(tiny_model())
    windows = [noise(1600, 1), noise(16_000, 2), noise(WINDOW_SAMPLES + 999, 3)]
    together = identifier.posteriors(windows)
    alone = torch.cat([identifier.posteriors([window]) for window in windows])
    assert torch.allclose(together, alone, atol=1e-5)
    # Of a long one the end is heard.
    end = identifier.posteriors([windows[2][-WINDOW_SAMPLES:]])
    assert torch.allclose(end, alone[2:], atol=1e-5)
    assert (alone[0] - alone[1]).abs().max() > 1e-3


def test_in_bfloat16() -> None:
    exact = WhisperLanguageIdentifier(tiny_model()).posteriors([noise(16_000)])
    rounded = WhisperLanguageIdentifier(tiny_model(), place("cpu", "bfloat16")).posteriors(
        [noise(16_000)]
    )
    assert rounded.dtype == torch.float32
    assert torch.allclose(rounded, exact, atol=0.05)
