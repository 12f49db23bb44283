"""Which clips are judged, what is found, and how the lexicon is tuned."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from common.errors import InvalidRequest, ModelNotFound
from speech.adapters.kinds import BOTTLENECK, AdapterShape
from speech.base_model import BaseModel
from speech.whisper.universal import UniversalHypothesis, UniversalRecognizer
from tests.speech.tiny import D_MODEL, noise, random_adapter, tiny_model
from transfer.data.audio import write_flac
from transfer.data.manifest import Clip, Split
from transfer.evaluation.assess import assess, choose, reference_model
from transfer.evaluation.evaluate import Verdict
from transfer.evaluation.findings import confusions_by_path, judge_part, judge_parts
from transfer.evaluation.recogniser import Recogniser
from transfer.evaluation.scoring import Confusion, Judged
from transfer.evaluation.timing import time_paths
from transfer.lexicon.build import build_lexicon
from transfer.lexicon.tuning import USUAL_WEIGHTS, nearest_of_the_best, tune_lexicon
from transfer.training.vocabulary import vocabulary_of

VOCABULARY = ("", " ", "a", "b", "c")


def clip(
    text: str, split: Split = "held_out", source: str = "asterisk", speaker: str = "ada"
) -> Clip:
    return Clip(__file__, text, "en", 2.0, source, speaker, split)


def verdict(said: str, heard: str, universal: str | None, **of: str) -> Verdict:
    by_universal = None if universal is None else Judged(said, universal)
    own = clip(said, **of)  # type: ignore[arg-type]
    return Verdict(own, Judged(said, heard), Judged(said, heard), by_universal)


def test_what_was_taught_is_not_judged() -> None:
    clips = [
        clip("press one", "train"),
        clip("press two", "development"),
        clip("Press One!"),
        clip("press two"),
        clip("press three"),
    ]
    chosen = choose(clips, "held_out")
    assert [each.text for each in chosen.clips] == ["press three"]
    assert chosen.left_out == 2
    assert chosen.known_voices
    assert choose(clips, "train").left_out == 0


def test_some_of_many_clips_are_judged_the_same_every_time() -> None:
    clips = [clip(f"press {'a' * number}") for number in range(50)]
    chosen = choose(clips, "held_out", most=10)
    assert len(chosen.clips) == 10
    assert choose(clips, "held_out", most=10) == chosen
    assert chosen.left_out == 0


def test_a_new_voice_is_noticed() -> None:
    clips = [clip("press one", "train"), clip("press two", speaker="bob")]
    assert not choose(clips, "held_out").known_voices


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ([clip("a b", "train")], "no clip of split 'held_out'"),
        ([clip("a b", "train"), clip("a b")], "every one of the 1 clips"),
        ([replace(clip("a b"), audio="/gone/b.flac"), clip("c")], "1 of 2 clips have no audio"),
    ],
)
def test_what_cannot_be_judged_is_refused(clips: Sequence[Clip], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        choose(clips, "held_out")


def test_parts_are_by_source_speaker_and_length() -> None:
    verdicts = [
        verdict("one two", "one two", "one", source="x", speaker="ada"),
        verdict("one two three", "one two", "one", source="x", speaker="bob"),
        verdict("one", "won", "one", source="y", speaker="ada"),
    ]
    found = {(part.by, part.name): part for part in judge_parts(verdicts)}
    assert list(found) == [
        ("source", "x"),
        ("source", "y"),
        ("speaker", "ada (x)"),
        ("speaker", "ada (y)"),
        ("speaker", "bob (x)"),
        ("length", "1 to 2 words"),
        ("length", "3 to 5 words"),
    ]
    assert found["source", "x"].scores["adapter"].wer.value == round(1 / 5, 4)
    assert found["source", "x"].scores["universal"].wer.value == round(3 / 5, 4)
    assert found["source", "y"].n_clip == 1


def test_speakers_that_are_the_sources_are_not_said_twice() -> None:
    verdicts = [
        verdict("one", "one", None, source="x", speaker="ada"),
        verdict("two", "two", None, source="y", speaker="bob"),
    ]
    assert [part.by for part in judge_parts(verdicts)] == ["source", "source"]


def test_without_a_universal_path_there_is_no_comparison() -> None:
    part = judge_part("all", "all clips", [verdict("one two", "one", None)] * 2)
    assert part.against_universal is None
    assert part.evaluation.universal is None
    assert part.evaluation.adapter.wer.value == 0.5
    assert set(confusions_by_path([verdict("one", "won", None)])) == {"adapter", "greedy"}


def test_confusions_are_those_of_each_path() -> None:
    found = confusions_by_path([verdict("one two", "won two", "one too")])
    assert found["adapter"].words == (Confusion("one", "won", 1),)
    assert found["universal"].words == (Confusion("two", "too", 1),)


@pytest.fixture
def recogniser() -> Recogniser:
    adapter = random_adapter(AdapterShape(BOTTLENECK, D_MODEL, 4, (0, 1), 5), seed=9)
    return Recogniser(tiny_model(), adapter, VOCABULARY, decoder=None)


@pytest.fixture
def recorded(tmp_path: Path) -> list[Clip]:
    clips = []
    for seed in range(3):
        path = tmp_path / f"{seed}.flac"
        write_flac(path, noise(16_000, seed).numpy())
        clips.append(replace(clip("ab ba", "held_out"), audio=str(path), text=f"ab {'c' * seed}b"))
    return clips


def test_every_path_hears_the_same_clips(
    recogniser: Recogniser, recorded: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        UniversalRecognizer, "recognize", lambda *_: UniversalHypothesis("Ab b.", (), 0.5)
    )
    base = recogniser.base
    reference = reference_model(base, "en", None)
    assert reference is base
    found = assess(
        "run",
        recogniser,
        choose(recorded, "held_out"),
        reference=reference,
        cache=tmp_path / "universal.json",
        n_timed=2,
    )
    assert [each.universal for each in found.verdicts] == [
        Judged(each.text, "ab b") for each in recorded
    ]
    assert found.whole.scores["universal"].words.errors == 2
    assert found.times is not None
    assert found.times.n_clip == 2
    written = json.loads(found.to_json())
    assert written["whole"]["scores"]["universal"]["words"]["substitutions"] == 2
    assert [each["clip"]["audio"] for each in written["verdicts"]] == [
        each.audio for each in recorded
    ]


def test_a_language_that_the_universal_path_does_not_know(
    recogniser: Recogniser, recorded: list[Clip], tmp_path: Path
) -> None:
    assert reference_model(recogniser.base, "rm", None) is None
    found = assess(
        "run",
        recogniser,
        choose(recorded, "held_out"),
        reference=None,
        cache=tmp_path / "universal.json",
        n_timed=1,
    )
    assert found.reference is None
    assert found.whole.against_universal is None
    assert found.times is not None
    assert (found.times.universal_s, found.times.ratio) == (None, None)
    assert not (tmp_path / "universal.json").exists()


def test_the_reference_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny_model()
    plain = BaseModel("wav2vec2", base.fingerprint, base.encoder)
    assert reference_model(plain, "en", None) is None
    assert reference_model(base, "en", "none") is None
    assert reference_model(base, "en-GB", None) is base
    monkeypatch.setattr("transfer.evaluation.assess.load_whisper", lambda _: base)
    assert reference_model(plain, "en", "embedded") is base
    with pytest.raises(InvalidRequest, match="never taught 'rm'"):
        reference_model(plain, "rm", "embedded")
    monkeypatch.undo()
    with pytest.raises(ModelNotFound):
        reference_model(plain, "en", "/no/such/model")


def test_both_paths_are_timed_on_the_same_clips(
    recogniser: Recogniser, recorded: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []

    def recognize(_: object, __: object, audio: Tensor, *___: object) -> UniversalHypothesis:
        heard.append(len(audio))
        return UniversalHypothesis("", (), 0.0)

    monkeypatch.setattr(UniversalRecognizer, "recognize", recognize)
    base = reference_model(recogniser.base, "en", None)
    found = time_paths(recogniser, base, recorded)
    assert heard == [16_000] * 4  # once to warm up
    assert found.n_clip == 3
    assert found.universal_s is not None
    assert found.adapter_s > 0


def test_the_lexicon_is_tuned_to_what_was_heard() -> None:
    """The letters say `ab`, rather less `ac`: only a lexicon of weight tells them apart."""
    texts = ["ac"] * 20 + ["ab"]
    vocabulary = vocabulary_of(texts)
    lexicon = build_lexicon(texts, "qu", vocabulary)
    log_probs = np.full((3, len(vocabulary)), -12.0, np.float32)
    for frame, (symbol, other) in enumerate([("a", "a"), ("b", "c"), (" ", " ")]):
        log_probs[frame, vocabulary.index(other)] = -1.2
        log_probs[frame, vocabulary.index(symbol)] = -0.4
    sha256 = hashlib.sha256(lexicon).hexdigest()
    believed = tune_lexicon(lexicon, vocabulary, [(clip("ac"), log_probs)] * 40, sha256)
    doubted = tune_lexicon(lexicon, vocabulary, [(clip("ab"), log_probs)] * 40, sha256)
    assert believed.lm_weight > doubted.lm_weight
    assert believed.sha256 == sha256


def test_without_development_clips_the_weights_are_the_usual_ones() -> None:
    vocabulary = vocabulary_of(["ab"])
    found = tune_lexicon(build_lexicon(["ab"], "qu", vocabulary), vocabulary, [], "0")
    assert (found.lm_weight, found.word_score) == USUAL_WEIGHTS


@pytest.mark.parametrize(
    ("errors", "chosen"),
    [
        ({1.0: [0, 1, 0], 2.0: [0, 1, 0], 3.0: [0, 1, 0]}, 2.0),
        ({1.0: [0, 1, 0, 0], 2.0: [1, 1, 0, 0], 3.0: [1, 0, 1, 1]}, 2.0),  # by one word
        ({1.0: [0, 0, 0, 0], 2.0: [1, 1, 1, 1], 3.0: [1, 0, 1, 1]}, 1.0),  # on every clip
        ({1.0: [0, 0, 0, 0], 1.5: [1, 0, 0, 0], 2.0: [2, 2, 1, 2]}, 1.5),
    ],
)
def test_the_usual_setting_stays_unless_another_is_better_by_more_than_chance(
    errors: dict[float, list[int]], chosen: float
) -> None:
    counted = {setting: np.array(each, np.int64) for setting, each in errors.items()}
    assert nearest_of_the_best(counted, usual=2.0) == chosen
