"""Which languages there are, and what serves each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.adapter_files import AdapterFiles
from common.catalogue import Catalogue, catalogue_of, models_url, universal_languages
from common.errors import UnknownLanguage
from common.fleet import UNIVERSAL
from common.store import StoreReader

TAGS = ("de", "en", "es", "fil", "fr", "it", "pt", "zh")


def read_catalogue(directory: Path | str, tags: tuple[str, ...]) -> Catalogue:
    """Of a store in a directory, or at a URL."""
    return catalogue_of(StoreReader(AdapterFiles(str(directory))).read(), tags)


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
        "base_fingerprint": "sha256:whisper",
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
    bases = [languages[tag].base_fingerprint for tag in ("it", "fr", "en")]
    assert bases == ["sha256:whisper", None, None]


OURS, THEIRS = rates(0.2, 0.3), rates(0.1, 0.3)


@pytest.mark.parametrize(
    ("cards", "winner"),
    [
        ({"en": OURS, "mms-eng": THEIRS}, "mms-eng@3"),
        ({"en": THEIRS, "mms-eng": OURS}, "en@3"),
        ({"en": rates(0.9, 0.3), "abc": None}, "en@3"),  # measured, however badly
        ({"mms-eng": None, "b": None}, "b@3"),
        ({"mms-eng": OURS, "b": OURS}, "b@3"),
        ({"x": rates(0.0, 0.3), "b": OURS}, "x@3"),
    ],
)
def test_of_several_adapters_the_best_measured_serves(
    tmp_path: Path, cards: dict[str, Any], winner: str
) -> None:
    for name, evaluation in cards.items():
        base = f"sha256:{name}"
        card(tmp_path, name, language="eng", evaluation=evaluation, base_fingerprint=base)
    english = read_catalogue(tmp_path, TAGS).languages["en"]
    assert english.adapter == winner
    assert english.base_fingerprint == f"sha256:{winner.partition('@')[0]}"


def test_the_universal_path_serves_a_language_it_was_measured_better_at(tmp_path: Path) -> None:
    card(tmp_path, "en", served_by="universal", evaluation=rates(0.4, 0.3))
    card(tmp_path, "mms-eng", language="en", evaluation=None)
    assert read_catalogue(tmp_path, TAGS).languages["en"].adapter == UNIVERSAL
    card(tmp_path, "other", language="en", evaluation=rates(0.2, 0.3))
    assert read_catalogue(tmp_path, TAGS).languages["en"].adapter == "other@3"


def test_an_imported_adapter_is_served(tmp_path: Path) -> None:
    card(
        tmp_path,
        "mms-uzb-script_cyrillic",
        language="uzb-Cyrl",
        kind="attention",
        evaluation=None,
        lexicon=None,
    )
    served = read_catalogue(tmp_path, TAGS).languages["uz-Cyrl"]
    assert (served.adapter, served.held_out_wer) == ("mms-uzb-script_cyrillic@3", None)
    assert served.name == "Uzbek (Cyrillic)"


@pytest.mark.parametrize(
    ("served", "asked", "found"),
    [
        (("uzb-Latn", "uzb-Cyrl"), "uz", "uz"),
        (("uzb-Latn", "uzb-Cyrl"), "uz-Latn", "uz"),
        (("uzb-Latn", "uzb-Cyrl"), "uz-Latn-UZ", "uz"),
        (("uzb-Latn", "uzb-Cyrl"), "uzb-Cyrl", "uz-Cyrl"),
        (("uzb-Latn", "uzb-Cyrl"), "uz-Cyrl-UZ", "uz-Cyrl"),
        (("uzb-Latn",), "uz-Cyrl", "uz"),
        (("kmr-Cyrl", "kmr-Arab"), "kmr", "kmr-Arab"),
        (("aze-Cyrl", "aze-Latn"), "azj-Cyrl", "az-Cyrl"),
        (("crk-Cans",), "crk-Latn", "crk"),
    ],
)
def test_a_script_is_told_where_it_is_not_the_usual_one(
    tmp_path: Path, served: tuple[str, ...], asked: str, found: str
) -> None:
    for tag in served:
        card(tmp_path, tag)
    assert read_catalogue(tmp_path, TAGS).find(asked, "x").tag == found


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
        '{"id": "de", "version": 1, "language": "de", "served_by": "adapter", "evaluation": null}',
        '{"id": "de", "version": 1, "language": "de", "served_by": "x", '
        '"evaluation": {"x": {"wer": {"value": NaN}}}}',
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


def test_where_the_store_is() -> None:
    assert models_url("s3://bucket/adapters") == "s3://bucket/adapters"
    shipped = set(read_catalogue(models_url(""), ()).languages)
    assert shipped == {"be", "bg", "ca", "da", "el", "en", "es", "fr", "it", "ro", "ru"}


def test_folders_may_be_links_and_other_files_stand_beside_them(
    directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = tmp_path_factory.mktemp("store")
    (store / "it").symlink_to(directory / "it")
    (store / "README.md").write_text("Adapters.")
    (store / "empty").mkdir()
    assert set(read_catalogue(store, ()).languages) == {"it"}
    assert not read_catalogue(store / "README.md", ()).languages


def test_a_store_behind_a_url(directory: Path) -> None:
    languages = read_catalogue(f"file://{directory}", TAGS).languages
    assert languages["it"].adapter == "it@3"
