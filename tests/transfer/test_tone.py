"""The tone head as a second loss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from common.errors import InvalidRequest
from speech.base_model import BaseModel
from speech.encoder import Encoded
from tests.transfer.learning import SETTINGS, spoken, tiny_whisper
from tests.transfer.test_train_resume import Breaking, same_result
from transfer.data.manifest import Clip
from transfer.phonemes.espeak import PhonemesUnavailable
from transfer.phonemes.tones import ToneReader
from transfer.training.auxiliary.chosen import TONE_WEIGHT, tone_weight
from transfer.training.auxiliary.tone import ToneHead
from transfer.training.examples import Batch
from transfer.training.learner import Learner
from transfer.training.run import WEIGHTS, RunRecord
from transfer.training.train import train

TEXTS = ("à bá", "bá bá", "à", "e")
SHORT = replace(SETTINGS, epochs=4, batch_s=0.1, accumulation=2, tone=0.3)


def reader() -> ToneReader:
    """A word has the tone of its accent, and none where it has none."""
    accents = {"à": "L", "á": "H"}

    def read(text: str) -> tuple[tuple[str, ...], ...]:
        words = (tuple(accents[s] for s in word if s in accents) for word in text.split())
        return tuple(word for word in words if word)

    return ToneReader(("H", "L"), read)


def batch_of(*texts: str) -> Batch:
    none = torch.zeros(len(texts), dtype=torch.long)
    return Batch(torch.zeros(1), none, none, none, texts)


def test_the_loss_is_that_of_ctc_over_tones() -> None:
    torch.manual_seed(0)
    head = ToneHead(reader(), TEXTS, 8, weight=0.3)
    encoded = Encoded(torch.randn(3, 5, 8, requires_grad=True), torch.tensor([5, 4, 3]))
    found = head.loss(encoded, torch.zeros(1), batch_of("à bá", "bá bá", "e"))
    log_probs = head.projection(head.norm(encoded.states)).log_softmax(-1)
    rows = [
        F.ctc_loss(
            log_probs[row, :n_frames, None],
            torch.tensor([tones]),
            torch.tensor([n_frames]),
            torch.tensor([len(tones)]),
            reduction="sum",
        )
        for row, n_frames, tones in ((0, 5, [2, 1]), (1, 4, [1, 1]))
    ]
    nothing = -log_probs[2, :3, 0].sum()  # a text without tones is all blank
    torch.testing.assert_close(found, (rows[0] + rows[1] + nothing) / 4)
    found.backward()  # type: ignore[no-untyped-call]
    assert encoded.states.grad is not None


def test_texts_without_tones_teach_none() -> None:
    with pytest.raises(InvalidRequest, match="tell no two tones apart"):
        ToneHead(reader(), ("bá", "e"), 8, weight=0.3)


@pytest.mark.parametrize(
    ("text", "language", "weight"),
    [("auto", "yo", TONE_WEIGHT), ("auto", "es", 0.0), ("0.7", "es", 0.7), ("0", "vi", 0.0)],
)
def test_what_the_option_stands_for(text: str, language: str, weight: float) -> None:
    assert tone_weight(text, language) == weight


def test_auto_is_off_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(language: str) -> None:
        raise PhonemesUnavailable(f"nothing reads {language}")

    monkeypatch.setattr("transfer.training.auxiliary.chosen.open_tones", missing)
    assert tone_weight("auto", "vi") == 0.0
    with pytest.raises(InvalidRequest, match="--tone 'high': give auto, or a number"):
        tone_weight("high", "vi")


@pytest.fixture(scope="module")
def base() -> BaseModel:
    torch.set_num_threads(1)
    return tiny_whisper()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    return [
        replace(clip, text=clip.text.replace("b", "à"))
        for clip in spoken(tmp_path_factory.mktemp("audio"))
    ]


def test_a_language_without_tones(base: BaseModel, clips: list[Clip], tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"--tone 0\.3: en has no tones that can be read here"):
        train(base, clips, "en", SHORT, tmp_path)


def test_a_run_with_a_tone_head(
    base: BaseModel,
    clips: list[Clip],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Yoruba writes its tones: nothing has to be installed. Broken off, it ends the same."""
    train(base, clips, "yo", SHORT, tmp_path / "unbroken")
    assert capsys.readouterr().out.startswith(
        "learned beside the letters, with weight 0.3: 3 tones\n"
    )
    run = tmp_path / "broken"
    with monkeypatch.context() as patched:
        broken = Breaking(Learner.step, 3, KeyboardInterrupt())
        patched.setattr(Learner, "step", lambda *given: broken(*given))  # noqa: PLW0108 bound
        with pytest.raises(KeyboardInterrupt):
            train(base, clips, "yo", SHORT, run, checkpoint_every_s=0.0)
    train(base, clips, "yo", SHORT, run, checkpoint_every_s=0.0)
    same_result(tmp_path / "unbroken", run)
    assert RunRecord.read(run).strategy().endswith("tones learned beside with weight 0.3")
    assert not [name for name in load_file(run / WEIGHTS) if "tone" in name]
