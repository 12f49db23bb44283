"""`panglot publish|versions|promote|rollback` as they are typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from common.errors import InvalidRequest
from tests.transfer.publishing import candidate
from transfer.publishing.command import add_to


class CommandLine:
    """The four commands, on a store and runs of their own."""

    def __init__(self, directory: Path) -> None:
        self.runs = directory / "runs"
        self._store = directory / "store"
        self._app = typer.Typer()
        add_to(self._app)

    def __call__(self, *arguments: str) -> Result:
        options = ["--store", str(self._store)]
        if arguments[0] == "publish":
            options += ["--runs", str(self.runs)]
        return CliRunner().invoke(self._app, [*arguments, *options])

    def said(self, *arguments: str) -> str:
        """What a command prints that succeeds."""
        result = self(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def refused(self, *arguments: str) -> str:
        """What a command says that does not."""
        error = self(*arguments).exception
        assert isinstance(error, InvalidRequest)
        return str(error)

    def evaluated(self, language: str, seed: int, wer: float) -> None:
        candidate(seed, wer, language=language).write(self.runs / language)

    def versions(self, *arguments: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.said("versions", "--json", *arguments))
        return rows


@pytest.fixture
def panglot(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def test_from_a_candidate_to_live_traffic_and_back(panglot: CommandLine) -> None:
    panglot.evaluated("it", 1, 0.5)
    assert panglot.said("publish", "it").splitlines() == [
        "it@1 published, held-out WER 50.0% (49.0–51.0)",
        "it: it@1 serves all streams",
    ]
    panglot.evaluated("it", 2, 0.4)
    said = panglot.said("publish", "it", "--canary", "10")
    assert said.splitlines()[0] == "it@2 published, held-out WER 40.0% (39.0–41.0)"
    assert said.splitlines()[1] == (
        "it: it@2 serves 10% of the streams, it@1 the rest; next: panglot promote it, "
        "or panglot rollback it"
    )
    assert "is in the store already" in panglot.said("publish", "it", "--canary", "50")
    rows = panglot.versions("it")
    assert [(row["version"], row["percent"], row["held_out_wer"]) for row in rows] == [
        ("it@2", 50, 0.4),
        ("it@1", 50, 0.5),
    ]
    assert panglot.said("promote", "it") == "it: it@2 serves all streams\n"
    assert panglot.said("rollback", "it") == "it: it@1 serves all streams\n"
    assert panglot.said("rollback", "it", "--to", "2") == "it: it@2 serves all streams\n"


def test_several_languages_at_once(panglot: CommandLine) -> None:
    for seed, language in enumerate(("it", "fr", "ru")):
        panglot.evaluated(language, seed, 0.5)
    panglot.said("publish", "it", "fr", "ru")
    assert [row["language"] for row in panglot.versions()] == ["fr", "it", "ru"]
    assert [row["language"] for row in panglot.versions("ita")] == ["it"]


def test_the_table(panglot: CommandLine) -> None:
    panglot.evaluated("it", 1, 0.5)
    panglot.said("publish", "it", "--canary", "10")
    table = panglot.said("versions")
    for shown in ("it@1", "10%", "universal", "90%", "50.0% (49.0–51.0)", "30 min, few-shot"):
        assert shown in " ".join(table.split())


def test_nothing_published(panglot: CommandLine) -> None:
    result = panglot("versions", "it")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no version of it is published" in result.stderr
    assert panglot.versions() == []


def test_a_warning_is_no_output(panglot: CommandLine) -> None:
    candidate(1, 0.5, universal=0.2).write(panglot.runs / "it")
    result = panglot("publish", "it")
    assert result.exit_code == 0
    assert "universal path serves in place of it@1" in result.stderr
    assert "in place of" not in result.stdout


def test_what_is_wrong_is_said(panglot: CommandLine) -> None:
    assert "run `panglot evaluate it`" in panglot.refused("publish", "it")
    assert "'not a tag' is no language tag" in panglot.refused("rollback", "not a tag")
    assert "nothing was stable before universal" in panglot.refused("rollback", "it")
    for percent in ("0", "100", "-3", "nan", "many"):
        assert panglot("publish", "it", "--canary", percent).exit_code == 2, percent
