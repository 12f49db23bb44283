"""The report: one file, nothing from the network, nothing a text could break out of."""

from __future__ import annotations

import base64
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from speech.adapters.card import ErrorRate, LexiconSettings
from tests.speech.tiny import noise
from transfer.data.audio import read_audio, write_flac
from transfer.data.manifest import Clip
from transfer.evaluation.charts import Point, Series, line_chart, ticks
from transfer.evaluation.curve import Curve, CurvePoint
from transfer.evaluation.evaluate import Verdict
from transfer.evaluation.findings import Findings, confusions_by_path, judge_part, judge_parts
from transfer.evaluation.history import Epoch
from transfer.evaluation.html_report import render
from transfer.evaluation.scoring import Judged
from transfer.evaluation.timing import PathTimes

VOID = {"meta", "link", "br", "img", "input", "hr"}
MADE = [("strategy", "bottleneck of rank 4"), ("speech", "mine (CC0-1.0)")]
HISTORY = (Epoch(10, 2.5, 0.9, 0.5), Epoch(20, 1.5, 0.7, 0.3))
RATE = ErrorRate(0.3, 0.2, 0.4)
CURVE = Curve(
    "it",
    4,
    (
        CurvePoint(2.0, 30, "it-2min", "few-shot", RATE, RATE, RATE),
        CurvePoint(5.0, 70, "it-5min", "few-shot", RATE, RATE, RATE),
    ),
    ErrorRate(0.5, 0.4, 0.6),
)


class Page(HTMLParser):
    """What a page holds, and whether its tags fit together."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(content)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def findings(*heard: tuple[str, str, str | None], audio: str = "/gone.flac") -> Findings:
    verdicts = []
    for number, (said, ours, universal) in enumerate(heard):
        clip = Clip(audio, said, "it", 2.0, "mine", f"speaker {number % 2}", "held_out")
        other = None if universal is None else Judged(said, universal)
        verdicts.append(Verdict(clip, Judged(said, ours), Judged(said, ours), other))
    return Findings(
        subject="runs/it",
        language="it",
        base_model="embedded",
        reference="embedded",
        split="held_out",
        left_out=2,
        known_voices=True,
        lexicon=LexiconSettings("0", 1.5, 1.0, 50),
        whole=judge_part("all", "all clips", verdicts),
        parts=judge_parts(verdicts),
        confusions=confusions_by_path(verdicts),
        times=PathTimes(4, "float32", 2.0, 0.05, 1.0, 0.05),
        verdicts=tuple(verdicts),
    )


HEARD = (
    ("un due tre", "una due tre", "uno e tre"),
    ("quattro cinque", "quattro", "quattro cinque"),
    ("sei", "sei e", "sei"),
    ("sette otto nove", "sette otto nove", "sette"),
)


def test_it_says_what_was_found() -> None:
    page = Page(render(findings(*HEARD), MADE, HISTORY, CURVE))
    assert "Italian" in page.text
    assert "In 100 words it makes 33 errors, the universal model 44." in page.text
    assert "may be chance" in page.text
    assert "2 clips are left out" in page.text
    assert "4 clips are few" in page.text
    assert "un una 1" in page.text
    assert "bottleneck of rank 4" in page.text
    assert "A clip of 2.0 s takes 50 ms, the universal model 1000 ms: 0.050 of it" in page.text
    assert page.count("svg") == 3
    assert page.count("article") == 4


def test_it_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    write_flac(path, noise(16_000).numpy())
    content = render(findings(*HEARD, audio=str(path)), MADE, HISTORY, CURVE)
    page = Page(content)
    assert "http:" not in content
    assert "https:" not in content
    assert "url(" not in content
    assert "@import" not in content
    assert page.count("script") == page.count("link") == 0
    for tag, attributes in page.tags:
        for name in ("src", "href"):
            if name in attributes:
                assert (tag, str(attributes[name])[:22]) == ("audio", "data:audio/flac;base64")
    assert str(tmp_path) not in content


def test_whatever_is_said_stays_text() -> None:
    evil = '<script>alert("1")</script>'
    made = [(evil, evil)]
    found = findings((f"a {evil}", f"{evil} b", evil), ("c", "c", "c"))
    clips = [
        replace(each, clip=replace(each.clip, source=evil, speaker=evil)) for each in found.verdicts
    ]
    found = replace(
        found, subject=evil, reference=evil, verdicts=tuple(clips), parts=judge_parts(clips)
    )
    content = render(found, made, HISTORY, CURVE)
    assert Page(content).count("script") == 0
    assert "<script" not in content
    assert "&lt;script&gt;" in content


def test_a_tag_that_is_none_names_itself() -> None:
    found = replace(findings(("uno", "uno", None)), language="not a tag")
    assert "not a tag" in Page(render(found, MADE)).text


def test_errors_are_told_apart_without_colour() -> None:
    page = Page(render(findings(("uno due", "una due tre", None), ("a b", "a", None)), MADE))
    marked = [
        str(attributes["class"]).split()[-1]
        for tag, attributes in page.tags
        if tag == "span" and "pair " in str(attributes.get("class"))
    ]
    assert marked[3:] == ["substituted", "inserted", "deleted"]  # after the legend's three
    assert {"del", "ins"} <= {tag for tag, _ in page.tags}


def test_recordings_are_inside_until_there_is_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.flac"
    write_flac(path, noise(16_000).numpy())
    found = findings(*HEARD, audio=str(path))
    page = Page(render(found, MADE))
    assert page.count("audio") == 4
    assert "holds 4 recordings" in page.text
    source = next(str(attributes["src"]) for tag, attributes in page.tags if tag == "audio")
    copy = tmp_path / "copy.flac"
    copy.write_bytes(base64.b64decode(source.partition(",")[2]))
    np.testing.assert_allclose(read_audio(copy), read_audio(path), atol=1e-4)
    assert Page(render(found, MADE, audio=False)).count("audio") == 0
    monkeypatch.setattr("transfer.evaluation.html_report._AUDIO_BYTES", 1.5 * len(source))
    assert Page(render(found, MADE)).count("audio") == 1


def test_a_recording_that_is_gone_is_left_out() -> None:
    assert Page(render(findings(*HEARD), MADE)).count("audio") == 0


def test_one_clip_says_that_it_has_no_interval() -> None:
    text = Page(render(findings(("uno due", "uno", "uno due")), MADE)).text
    assert "one clip: no interval" in text
    assert "One clip says nothing about others." in text


def test_nothing_wrong_and_nothing_to_compare_with() -> None:
    page = Page(render(findings(("uno due", "uno due", None), ("tre", "tre", None)), MADE))
    assert "No clip has a wrong word." in page.text
    assert "There is no universal model to compare with." in page.text
    assert page.count("svg") == 0


@pytest.mark.parametrize(
    ("highest", "expected"),
    [
        (10, [0, 2, 4, 6, 8, 10]),
        (0.43, [0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        (17, [0, 5, 10, 15, 20]),
        (0, [0, 1]),
    ],
)
def test_ticks_are_round_numbers(highest: float, expected: list[float]) -> None:
    assert ticks(highest) == pytest.approx(expected)


def test_a_chart_draws_points_where_they_belong() -> None:
    points = [Point(0, 0), Point(10, 1, 0.5, 1.0)]
    series = [Series("a & b", "adapter", points), Series("c", "greedy", [Point(0, 0)])]
    chart = str(line_chart(series, "epoch", "loss"))
    assert 'points="56.0,256.0 624.0,16.0"' in chart
    assert "M624.0 136.0V16.0" in chart
    assert "a &amp; b" in chart
