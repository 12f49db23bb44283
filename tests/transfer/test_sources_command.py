"""`panglot sources` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from common.errors import InvalidRequest, PanglotError, UnknownLanguage
from transfer.sources.command import sources_command


def panglot_sources(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(sources_command)
    return CliRunner().invoke(app, list(arguments))


def listed(*arguments: str) -> list[dict[str, Any]]:
    result = panglot_sources(*arguments, "--json")
    assert result.exit_code == 0, result.output
    sources: list[dict[str, Any]] = json.loads(result.stdout)["sources"]
    return sources


def refused(*arguments: str) -> PanglotError:
    error = panglot_sources(*arguments).exception
    assert isinstance(error, PanglotError)
    return error


def test_the_table_can_be_piped() -> None:
    result = panglot_sources("be")
    assert result.exit_code == 0, result.output
    heading, first, *others = result.stdout.splitlines()
    assert heading.split()[:2] == ["source", "language"]
    assert first.startswith("ru@")
    assert "same branch: East Slavic; 33 of 36 phonemes" in first
    assert len(others) == 9  # a line each, whatever the width of a terminal
    assert not any(line.startswith("be@") for line in others)


def test_what_was_taken_for_want_of_an_inventory_is_said_apart() -> None:
    result = panglot_sources("be")
    assert "no phonemes of bel are listed: those usual in East Slavic are taken" in result.stderr
    assert "are taken" not in result.stdout
    assert "neither descent nor phonemes of epo are known" in panglot_sources("eo").stderr
    assert "eus has no known relatives" in panglot_sources("eu").stderr
    assert panglot_sources("it").stderr == ""


def test_any_language_at_large() -> None:
    found = listed("yor", "--all", "--count", "4")
    assert len(found) == 4
    assert all(one["adapter"] is None for one in found)
    order = [one["expected_benefit"] for one in found]
    assert order == sorted(order, reverse=True)
    assert "phonemes" in found[0]["reasons"][1]


def test_some_languages_with_an_adapter_or_without() -> None:
    found = {one["language"]: one for one in listed("ca", "--among", "it, pt,es")}
    assert set(found) == {"it", "pt", "es"}
    assert found["pt"]["adapter"] is None
    assert found["es"]["adapter"].startswith("es@")
    assert found["es"]["genetic"] > 0.5


def test_an_empty_store(tmp_path: Path) -> None:
    result = panglot_sources("be", "--models", str(tmp_path))
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "the store holds no adapter of another language: see --all" in result.stderr
    assert listed("be", "--models", str(tmp_path), "--among", "ru")[0]["adapter"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ca", "--among", "ca,it"), "ca is ca itself"),
        (("ca", "--among", "it,ita"), "it and ita are the same language"),
        (("ca", "--among", " , "), "no source language is given"),
        (("ca", "--among", "it", "--all"), "give one"),
    ],
)
def test_contradictory_sources(arguments: tuple[str, ...], said: str) -> None:
    error = refused(*arguments)
    assert isinstance(error, InvalidRequest)
    assert said in str(error)


@pytest.mark.parametrize("arguments", [("Belarusian",), ("ca", "--among", "it,Belarusian")])
def test_an_unknown_language(arguments: tuple[str, ...]) -> None:
    error = refused(*arguments)
    assert isinstance(error, UnknownLanguage)
    assert "nearest: be (Belarusian)" in str(error)
