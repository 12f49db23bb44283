"""Which languages there are, and what serves each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.catalogue import Catalogue, models_directory, read_catalogue, universal_languages
from common.errors import UnknownLanguage
from common.fleet import UNIVERSAL

TAGS = ("de", "en", "es", "fil", "fr", "it", "pt", "zh")


def rates(adapter: float, universal: float) -> dict[str, Any]:
    def rate(value: float) -> dict[str, Any]:
        return {"wer": {"value": value, "low": 0, "high": 1}}

    return {"adapter": rate(adapter), "universal": rate(universal)}


def card(directory: Path, name: str, **fields: Any) -> None:
    """What the gateway reads of a card."""
    document = {
        "id": name,
        "version": 3,
        "language": name,
        "served_by": "adapter",
        "evaluation": rates(0.125, 0.5),
    }
    (directory / name).mkdir()
    (directory / name / "card.json").write_text(json.dumps(document | fields))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    card(tmp_path, "it")
    card(tmp_path, "fr", served_by="universal")
    card(tmp_path, "rm", evaluation=None)
    return tmp_path


def test_an_adapter_stands_over_the_universal_path(directory: Path) -> None:
    languages = read_catalogue(directory, TAGS).languages
    assert set(languages) == {*TAGS, "rm"}
    italian, french, english = languages["it"], languages["fr"], languages["en"]
    assert (italian.adapter, italian.held_out_wer, italian.name) == ("it@3", 0.125, "Italian")
    assert (french.adapter, french.held_out_wer) == (UNIVERSAL, 0.5)
    assert (english.adapter, english.held_out_wer) == (UNIVERSAL, None)
    assert (languages["rm"].adapter, languages["rm"].held_out_wer) == ("rm@3", None)


def test_a_tag_is_standardised(directory: Path) -> None:
    card(directory, "iw-x", language="iw")
    assert "he" in read_catalogue(directory, TAGS).languages


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "{",
        "[]",
        "null",
        '{"id": "de"}',
        '{"id": "de", "version": 1, "language": "not a tag", "served_by": "adapter"}',
        '{"id": "de", "version": 1, "language": "de", "served_by": "adapter", "evaluation": {}}',
        '{"id": "de", "version": 1, "language": "de", "served_by": "x", "evaluation": {"x": 1}}',
    ],
)
def test_a_broken_card_is_left_out(directory: Path, broken: str) -> None:
    (directory / "de").mkdir()
    (directory / "de" / "card.json").write_text(broken)
    languages = read_catalogue(directory, TAGS).languages
    assert languages["de"].adapter == UNIVERSAL
    assert languages["it"].adapter == "it@3"


def test_a_card_that_is_no_text_is_left_out(directory: Path) -> None:
    (directory / "de").mkdir()
    (directory / "de" / "card.json").write_bytes(b"\xff\xfe\x00")
    (directory / "en" / "card.json").mkdir(parents=True)
    assert read_catalogue(directory, TAGS).languages["it"].adapter == "it@3"


def test_an_empty_or_missing_store(tmp_path: Path) -> None:
    languages = read_catalogue(tmp_path / "nowhere", TAGS).languages
    assert {language.adapter for language in languages.values()} == {UNIVERSAL}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("it", "it"),
        ("en-US", "en"),
        ("EN", "en"),
        ("pt_BR", "pt"),
        ("zh-Hant-TW", "zh"),
        ("it-CH", "it"),
        ("tl", "fil"),
        ("fil-PH", "fil"),
    ],
)
def test_regions_fall_back_to_the_language(directory: Path, asked: str, found: str) -> None:
    assert read_catalogue(directory, TAGS).find(asked, "config.language").tag == found


def test_a_region_of_its_own_comes_first(directory: Path) -> None:
    card(directory, "pt-BR")
    catalogue = read_catalogue(directory, TAGS)
    assert catalogue.find("pt-BR", "x").adapter == "pt-BR@3"
    assert catalogue.find("pt-br", "x").adapter == "pt-BR@3"
    assert catalogue.find("pt-PT", "x").adapter == UNIVERSAL


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        ("gl", "es (Spanish)"),  # the language most of its speakers read
        ("italian", "it (Italian)"),  # a name
        ("Itallian", "it (Italian)"),  # almost a name
        ("eng", None),  # its language has a shorter tag: found
    ],
)
def test_the_nearest_are_named(directory: Path, asked: str, nearest: str | None) -> None:
    catalogue = read_catalogue(directory, TAGS)
    if nearest is None:
        assert catalogue.find(asked, "x").tag == "en"
        return
    with pytest.raises(UnknownLanguage) as caught:
        catalogue.find(asked, "config.language.fixed")
    said = str(caught.value)
    assert said.startswith(f"config.language.fixed is '{asked}', which is not served; nearest: ")
    assert nearest in said


@given(st.one_of(st.text(max_size=20), st.text("abcdefx-_19", max_size=20), st.just("a" * 10**5)))
def test_any_text_is_found_or_refused(asked: str) -> None:
    catalogue = Catalogue(read_catalogue(Path("nowhere"), TAGS).languages)
    said = ""
    try:
        found = catalogue.find(asked, "tag").tag
    except UnknownLanguage as error:
        said = str(error)
    assert said or found in TAGS
    assert len(said) < 300  # it travels in a header


def test_the_shipped_list() -> None:
    tags = universal_languages()
    assert len(tags) == len(set(tags)) == 99
    languages = read_catalogue(Path("nowhere"), tags).languages
    assert not any("Unknown" in language.name for language in languages.values())


def test_where_the_store_is(tmp_path: Path) -> None:
    assert models_directory(str(tmp_path)) == tmp_path
    assert models_directory("").name == "models"
