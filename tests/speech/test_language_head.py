"""The head that corrects the language token: what it adds, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from common.errors import ModelNotFound
from speech.base_model import WhisperBase
from speech.language_id.head import HeadCard, LanguageHead, load_head, serialise
from speech.language_id.load import load_identifier
from speech.precision import Placement
from speech.whisper.language_id import WhisperLanguageIdentifier

FLOAT32 = Placement(torch.device("cpu"), torch.float32)


@pytest.fixture
def folder(base: WhisperBase, tmp_path: Path) -> Path:
    """A head that says Maltese, whatever is heard."""
    languages = WhisperLanguageIdentifier(base).languages
    bias = torch.zeros(len(languages) + 1)
    bias[languages.index("mt")] = 50.0
    head = LanguageHead(torch.tensor(1.0), torch.zeros(len(bias), base.encoder.d_model), bias)
    card = HeadCard(languages, base.fingerprint, 2.0, "", {})
    for name, content in serialise(head, card).items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_it_corrects_the_token(
    base: WhisperBase, folder: Path, clip: Callable[[str], Tensor]
) -> None:
    head, card = load_head(folder, base)
    corrected = WhisperLanguageIdentifier(base, FLOAT32, card.temperature, head)
    posteriors = corrected.posteriors([clip("en-1.flac")])
    assert posteriors[0, corrected.languages.index("mt")] > 0.99


def test_without_correction_it_says_what_the_token_says(
    base: WhisperBase, clip: Callable[[str], Tensor]
) -> None:
    plain = WhisperLanguageIdentifier(base)
    states, logits = plain.heard([clip("en-1.flac"), clip("ru-1.flac")])
    nothing = LanguageHead(torch.tensor(1.0), torch.zeros(100, states.shape[1]), torch.zeros(100))
    torch.testing.assert_close(nothing(states, logits), logits)


def test_the_shipped_one_is_calibrated_and_tells_sounds_from_speech(
    clip: Callable[[str], Tensor],
) -> None:
    shipped = load_identifier("embedded", FLOAT32)
    silence, speech = torch.zeros(16_000), clip("fr-1.flac")[:48_000]
    background = shipped.posteriors([silence, speech])[:, -1].tolist()
    assert background[0] > 0.5 > background[1]


def changed(folder: Path, **values: object) -> None:
    card = json.loads((folder / "head.json").read_text())
    (folder / "head.json").write_text(json.dumps({**card, **values}))


def test_what_does_not_fit_is_refused(base: WhisperBase, folder: Path) -> None:
    changed(folder, languages=["en"])
    with pytest.raises(ModelNotFound, match="does not hold what its card says"):
        load_head(folder, base)
    changed(folder, sha256="0" * 64)
    with pytest.raises(ModelNotFound, match="checksum"):
        load_head(folder, base)
    changed(folder, base_fingerprint="sha256:other")
    with pytest.raises(ModelNotFound, match="train one for it"):
        load_head(folder, base)
    (folder / "head.json").write_text("{")
    with pytest.raises(ModelNotFound, match="no head"):
        load_head(folder, base)
