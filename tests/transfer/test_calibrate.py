"""Which heard words were said, and what is kept of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from torch import Tensor

from speech.adapters.card import Calibration
from speech.adapters.kinds import BOTTLENECK, AdapterShape
from speech.calibration import universal_calibration
from speech.ctc.paths import TimedWord
from speech.whisper.universal import UniversalHypothesis, UniversalRecognizer
from tests.speech.tiny import D_MODEL, noise, publish, random_adapter, tiny_model
from transfer.data.audio import read_audio, write_flac
from transfer.data.manifest import Clip
from transfer.evaluation.calibrate import Outcomes, Published, right_words, some, write_universal
from transfer.evaluation.recogniser import Recogniser
from transfer.evaluation.universal import universal_hypotheses


def clip(text: str, language: str = "en") -> Clip:
    return Clip("a.flac", text, language, 2.0, "asterisk", "someone", "development")


def words(text: str) -> list[TimedWord]:
    return [TimedWord(word, 0, 20, 0.5) for word in text.split()]


@pytest.mark.parametrize(
    ("said", "heard", "right"),
    [
        ("press one now", "press one now", [True, True, True]),
        ("press one now", "Press 1, now.", [True, True, True]),
        ("press one now", "press won now", [True, False, True]),
        ("press one now", "one", [True]),
        ("press one now", "press one two now", [True, True, False, True]),
        ("press one now", "press - now", [True, None, True]),
        ("press one now", "...", [None]),
        ("press one now", "", []),
        ("twenty one", "twenty-one", [True]),
        ("twenty one", "twenty-two", [False]),
    ],
)
def test_right_words(said: str, heard: str, right: Sequence[bool | None]) -> None:
    assert right_words(clip(said), words(heard)) == right


def test_outcomes_leave_out_punctuation() -> None:
    found = Outcomes.of([(clip("press one"), words("press - won")), (clip("now"), words("now"))])
    assert found.right.tolist() == [True, False, True]
    assert found.confidence.tolist() == [0.5, 0.5, 0.5]


def test_outcomes_of_nothing() -> None:
    assert len(Outcomes.of([(clip("now"), [])]).right) == 0


def test_the_same_clips_are_chosen_every_time() -> None:
    clips = [clip(text) for text in "abcdefgh"]
    assert some(clips, "development", 3) == some(clips, "development", 3)
    assert len(some(clips, "development", 3)) == 3
    assert some(clips, "held_out", 3) == []


def test_a_base_model_of_ones_own_joins_the_others(tmp_path: Path) -> None:
    base = tiny_model()
    file = tmp_path / "universal_calibration.json"
    write_universal(base, Calibration(0.5, 0.25), {"words": 100}, file)
    assert universal_calibration(base.fingerprint, file) == Calibration(0.5, 0.25)
    assert universal_calibration("sha256:0", file) is None


def test_a_published_adapter_hears_clips_as_it_serves_them(tmp_path: Path) -> None:
    base = tiny_model()
    adapter = random_adapter(AdapterShape(BOTTLENECK, D_MODEL, 4, (0, 1), 5), seed=9)
    card = publish(tmp_path, adapter, "en", base.fingerprint)
    heard = [recording(tmp_path, seed) for seed in range(3)]
    published = Published.load(tmp_path, "en", base)
    found = published.outcomes(heard)
    plain = Recogniser(base, adapter, card.vocabulary, decoder=None)
    expected = [
        word.confidence
        for each in heard
        for word in plain.words(plain.log_probs(read_audio(each.audio)))
    ]
    assert published.card == card
    assert expected
    assert found.confidence == pytest.approx(expected, abs=1e-4)


def test_what_the_slow_decoder_heard_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken = UniversalHypothesis("Ab.", (TimedWord("Ab.", 0, 40, 0.5),), 0.25)
    asked: list[str] = []

    def recognize(_: object, encoder: object, audio: Tensor, language: str, beam: int) -> object:
        asked.append(language)
        return spoken

    monkeypatch.setattr(UniversalRecognizer, "recognize", recognize)
    base, cache = tiny_model(), tmp_path / "run" / "universal.json"
    heard = [recording(tmp_path, 0)]
    assert universal_hypotheses(base, heard, cache) == [spoken]
    assert universal_hypotheses(base, heard, cache) == [spoken]
    assert asked == ["en"]
    other = replace(base, fingerprint="sha256:1")
    assert universal_hypotheses(other, heard, cache) == [spoken]
    assert asked == ["en", "en"]
    monkeypatch.setattr("transfer.evaluation.universal._decoder", lambda: "another day's code")
    assert universal_hypotheses(other, heard, cache) == [spoken]
    assert asked == ["en", "en", "en"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"base": "tiny"}'])
def test_a_spoilt_cache_is_heard_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    spoken = UniversalHypothesis("ab", (), 0.25)
    monkeypatch.setattr(UniversalRecognizer, "recognize", lambda *_: spoken)
    cache = tmp_path / "universal.json"
    cache.write_text(content)
    assert universal_hypotheses(tiny_model(), [recording(tmp_path, 0)], cache) == [spoken]


def test_what_was_heard_before_an_interruption_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []

    def recognize(*_: object) -> UniversalHypothesis:
        if len(heard) == 25:
            raise KeyboardInterrupt
        heard.append(len(heard))
        return UniversalHypothesis(f"{len(heard)}", (), 0.5)

    monkeypatch.setattr(UniversalRecognizer, "recognize", recognize)
    base, cache = tiny_model(), tmp_path / "universal.json"
    path = recording(tmp_path, 0).audio
    clips = [replace(clip("ab"), audio=str(tmp_path / f"as-{number}")) for number in range(30)]
    for each in clips:
        Path(each.audio).symlink_to(path)
    with pytest.raises(KeyboardInterrupt):
        universal_hypotheses(base, clips, cache)
    heard.clear()
    monkeypatch.chdir(tmp_path)
    named_from_here = [replace(each, audio=Path(each.audio).name) for each in clips]
    found = universal_hypotheses(base, named_from_here, cache)
    assert len(heard) == 10
    assert found[19].text == "20"


def recording(folder: Path, seed: int) -> Clip:
    """Noise."""
    path = folder / f"{seed}.flac"
    write_flac(path, noise(16_000, seed).numpy())
    return replace(clip("ab ba"), audio=str(path))
