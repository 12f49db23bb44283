"""What `panglot evaluate` makes of phonemes: scores, the map of classes, sources, the report."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from common.errors import UnknownLanguage
from speech.adapters.card import write_card
from speech.adapters.kinds import BOTTLENECK, AdapterShape
from speech.base_model import WhisperBase
from tests.speech.tiny import D_MODEL, noise, publish, random_adapter, tiny_model
from tests.transfer.test_evaluate_command import finish
from tests.transfer.test_html_report import MADE, Page, findings
from transfer.__main__ import app
from transfer.data.audio import write_flac
from transfer.data.manifest import Clip, Split, write_manifest
from transfer.evaluation.html_report import render
from transfer.evaluation.phoneme_report import print_phonemes, sentence
from transfer.evaluation.phoneme_sources import with_phonemes
from transfer.evaluation.phonemes import PhonemeFindings, class_map, judge_phonemes
from transfer.evaluation.scoring import Judged, Pair
from transfer.phonemes.espeak import PhonemesUnavailable
from transfer.phonemes.g2p import open_g2p

LANGUAGE = "sw"
ITALIAN = {"p", "t", "k", "s", "m", "n", "l", "r", "a", "e", "i", "o", "u", "b", "d"}


def spanish(*heard: tuple[str, str]) -> PhonemeFindings:
    """Clips in Spanish, started from Italian."""
    clips = [Judged(*pair) for pair in heard]
    found = judge_phonemes({"adapter": clips}, open_g2p("es"), {"it": ITALIAN})
    assert found is not None
    return found


def test_shared_and_target_only_phonemes_are_told_apart() -> None:
    # Of θ one in four is heard, of the others all.
    found = spanish(*[("casa cena", "casa sena")] * 15, *[("cena", "cena")] * 5)
    adapter = found.paths["adapter"]
    assert adapter.shared is not None
    assert adapter.own is not None
    assert adapter.gap is not None
    assert (adapter.shared.value, adapter.shared.n) == (1.0, 15 * 7 + 5 * 3)
    assert (adapter.own.value, adapter.own.n) == (0.25, 20)
    assert adapter.gap.value == 0.75
    assert adapter.gap.low <= 0.75 <= adapter.gap.high
    assert adapter.gap.low > 0
    assert adapter.gap.real
    assert adapter.every.value == round(125 / 140, 4)
    assert adapter.error_rate.value == round(15 / 140, 4)
    theta = next(each for each in found.phonemes if each.phoneme == "θ")
    assert (theta.group, theta.said, theta.right) == ("own", 20, 5)
    assert (found.confusions[0].said, found.confusions[0].heard) == ("θ", "s")
    assert "The transfer gap, 75.0 points" in sentence(found)
    assert "that Italian has too" in sentence(found)


def test_a_spelling_that_sounds_the_same_is_no_error() -> None:
    assert spanish(("vaca", "baca")).paths["adapter"].error_rate.value == 0


def test_too_few_of_a_group_have_no_gap() -> None:
    found = spanish(("casa cena", "casa sena"))
    assert found.paths["adapter"].own is None
    assert found.paths["adapter"].gap is None
    assert "no transfer gap" in sentence(found)


def test_insertions_and_silence_count() -> None:
    found = spanish(("casa", ""), ("ana", "casa ana"))
    adapter = found.paths["adapter"]
    assert adapter.every.value == round(3 / 7, 4)
    assert adapter.error_rate.value == round((4 + 4) / 7, 4)


def test_without_a_source_nothing_is_divided() -> None:
    found = judge_phonemes({"adapter": [Judged("casa", "casa")]}, open_g2p("es"), {})
    assert found is not None
    assert {each.group for each in found.phonemes} == {None}
    assert found.paths["adapter"].shared is found.paths["adapter"].gap is None
    assert sentence(found) == "Of 100 phonemes it hears 100 right."


def test_clips_without_phonemes_are_left_out() -> None:
    assert judge_phonemes({"adapter": [Judged("…", "casa")]}, open_g2p("es"), {}) is None


def test_classes_are_counted() -> None:
    found = class_map(
        [Pair("t", "d"), Pair("t", "s"), Pair("a", "a"), Pair("", "i"), Pair("a", "")]
    )
    assert found.classes == ("plosive", "fricative", "high front vowel", "low vowel", "")
    nothing = (0, 0, 0, 0, 0)
    assert found.counts == ((1, 1, 0, 0, 0), nothing, nothing, (0, 0, 0, 1, 1), (0, 0, 1, 0, 0))


def test_several_sources_are_read_from_what_a_run_says(tmp_path: Path) -> None:
    one = findings(("mille anni", "mile ani", None))
    for text in ("es@2", "es@2=0.6,fr@1=0.4", "es@2+fr@1", "12 epochs; started from es@2"):
        found, told = with_phonemes(one, text, tmp_path, tmp_path)
        assert told == []
        assert found.phonemes is not None
        assert found.phonemes.sources == (("es", "fr") if "fr@" in text else ("es",))


def test_a_source_is_known_by_its_card_and_its_manifest(tmp_path: Path) -> None:
    shape = AdapterShape(BOTTLENECK, D_MODEL, 4, (0, 1), 5)
    card = publish(tmp_path, random_adapter(shape), "mine", "sha256:0")
    write_card(replace(card, language="es"), tmp_path / "mine")
    clip = Clip("/gone.flac", "un vino", "es", 1.0, "mine", "ada", "train")
    write_manifest(tmp_path / "es.jsonl", [clip])
    found, _ = with_phonemes(findings(("la luna", "la luna", None)), "mine@1", tmp_path, tmp_path)
    assert found.phonemes is not None
    assert found.phonemes.sources == ("es",)
    groups = {each.phoneme: each.group for each in found.phonemes.phonemes}
    assert (groups["n"], groups["l"]) == ("shared", "own")


def test_a_source_that_cannot_be_read_divides_nothing(tmp_path: Path) -> None:
    found, told = with_phonemes(findings(("la luna", "la luna", None)), "yo@1", tmp_path, tmp_path)
    assert found.phonemes is not None
    assert found.phonemes.sources == ()
    assert len(told) == 1
    assert "yo" in told[0]


def test_the_page_and_the_terminal_show_them() -> None:
    one = findings(*[("cena casa", "sena casa", "cena casa")] * 25)
    found = spanish(*[("cena casa", "sena casa")] * 25)
    page = Page(render(replace(one, phonemes=found), MADE))
    assert "Target-only phonemes" in page.text
    assert "θ 0% of 25" in page.text
    assert page.count("rect") > 3
    out = io.StringIO()
    print_phonemes(Console(width=200, file=out), found)
    lines = out.getvalue().splitlines()
    assert any(line.split()[:4] == ["adapter", "with", "lexicon", "87.5%"] for line in lines)
    assert any("plosive (p)" in line and "100" in line for line in lines)
    assert "phonemes heard wrong most: θ → s 25×" in lines


def test_without_them_the_page_is_as_it_was() -> None:
    assert "Phonemes" not in Page(render(findings(("uno", "uno", None)), MADE)).words


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A manifest and a finished run that started from Spanish."""
    made: WhisperBase = tiny_model()
    monkeypatch.setattr("transfer.evaluation.command.load_base_model", lambda _: made)
    clips = []
    for number in range(6):
        path = tmp_path / f"{number}.flac"
        write_flac(path, noise(8_000, number).numpy())
        split: Split = "train" if number < 2 else "development" if number < 4 else "held_out"
        text = f"habari {'ya' * (number + 1)}"
        clips.append(Clip(str(path), text, LANGUAGE, 3.0, "mine", "ada", split))
    write_manifest(tmp_path / "data" / f"{LANGUAGE}.jsonl", clips)
    run = tmp_path / "runs" / LANGUAGE
    finish(clips, run)
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"language": LANGUAGE, "source": "es@2"}))
    return tmp_path


def evaluate(folder: Path) -> Result:
    folders = [f"--{name}={folder / name}" for name in ("data", "runs", "models")]
    options = ["--timed=0", "--no-audio", "--reference=none", *folders]
    return CliRunner().invoke(app, ["evaluate", LANGUAGE, *options])


def test_a_run_is_judged_by_its_phonemes_too(folder: Path) -> None:
    result = evaluate(folder)
    assert result.exception is None, result.output
    assert "Of 100 phonemes it hears" in result.stdout
    assert "said, and heard as" in result.stdout
    run = folder / "runs" / LANGUAGE
    written = json.loads((run / "evaluation.json").read_text())["phonemes"]
    assert written["sources"] == ["es"]
    assert set(written["paths"]) == {"adapter", "greedy"}
    assert {"shared", "own"} == {each["group"] for each in written["phonemes"]}
    assert sum(map(sum, written["classes"]["counts"])) >= sum(
        each["said"] for each in written["phonemes"]
    )
    assert "articulatory class" in (run / "report.html").read_text()


@pytest.mark.parametrize(
    "error",
    [
        PhonemesUnavailable("phonemes need espeak-ng, which is not installed: pip install it"),
        UnknownLanguage("language 'sw' has no voice in espeak-ng"),
    ],
)
def test_where_phonemes_cannot_be_had_the_rest_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(_: str) -> None:
        raise error

    monkeypatch.setattr("transfer.evaluation.phoneme_sources.open_g2p", refuse)
    result = evaluate(folder)
    assert result.exception is None, result.output
    assert f"mind: phonemes are left out: {error}" in result.stderr
    assert "Of 100 phonemes" not in result.stdout
    run = folder / "runs" / LANGUAGE
    assert json.loads((run / "evaluation.json").read_text())["phonemes"] is None
    assert (run / "candidate" / "card.json").is_file()
