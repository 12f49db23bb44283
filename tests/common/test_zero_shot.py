"""Languages that nothing serves: who hears them, in which order, and what an operator may say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from common.catalogue import Catalogue, ServedLanguage, Trial, universal_languages
from common.errors import SettingsError, UnknownLanguage
from common.fleet import UNIVERSAL
from common.relatives import Relatives
from common.routing import Routing
from common.zero_shot import StandIn, StandIns, read_chains
from tests.common.fake_relatives import FakeRelatives, stand_ins

BASE = "sha256:a"
ADAPTERS = {tag: ServedLanguage(tag, tag, f"{tag}@1", BASE, 0.2) for tag in ("ca", "fr", "ru")}
WHISPERS = {tag: ServedLanguage(tag, tag, UNIVERSAL, None, 0.4) for tag in ("de", "ht", "it", "pl")}
UNIVERSAL_TAGS = WHISPERS.keys() | {"ca", "fr", "ru"}
NEAR = {
    "wa": {"ht": 0.79, "fr": 0.74, "ca": 0.68, "it": 0.6, "ru": 0.4},
    "csb": {"pl": 0.9, "ru": 0.85},
    "nap": {"it": 0.95, "ca": 0.7},
    "gn": {"ca": 0.3},
}


def catalogue_with(who: StandIns | None) -> Catalogue:
    """Three languages with adapters, four without."""
    return Catalogue(
        {**ADAPTERS, **WHISPERS}, UNIVERSAL_TAGS, universal=UNIVERSAL_TAGS, stand_ins=who
    )


def chain(language: ServedLanguage) -> list[str]:
    """What hears it, one after another: `fr@1`, or `universal fr`."""
    told = []
    following: ServedLanguage | None = language
    while following is not None:
        universal = following.adapter == UNIVERSAL
        told.append(f"universal {following.spoken_as}" if universal else following.adapter)
        following = following.fallback
    return told


CATALOGUE = catalogue_with(stand_ins(NEAR))


def test_a_language_that_nothing_serves_is_heard_by_its_relatives() -> None:
    walloon = CATALOGUE.find("wa", "x")
    assert (walloon.tag, walloon.name, walloon.spoken_as) == ("wa", "Walloon", "fr")
    assert walloon.stand_in == StandIn("fr", "French", 0.74)
    assert (walloon.base_fingerprint, walloon.held_out_wer) == (BASE, None)
    assert chain(walloon) == ["fr@1", "ca@1", "universal ht", "universal fr"]
    following = walloon.fallback
    assert following is not None
    assert (following.tag, following.spoken_as) == ("wa", "ca")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("csb", ["universal pl", "ru@1"]),  # Russian is near, and in another script
        ("nap", ["universal it", "ca@1"]),  # so much nearer than the next adapter
    ],
)
def test_an_adapter_goes_before_a_relative_that_is_little_nearer(
    asked: str, found: list[str]
) -> None:
    assert chain(CATALOGUE.find(asked, "x"))[:2] == found


@pytest.mark.parametrize("asked", ["wln", "wa-BE", "WA", "wa-Latn-BE"])
def test_a_language_is_known_by_its_tags(asked: str) -> None:
    assert CATALOGUE.find(asked, "x") == CATALOGUE.find("wa", "x")


@pytest.mark.parametrize("served", ["fr", "fr-CA", "it"])
def test_what_is_served_itself_has_no_stand_in(served: str) -> None:
    near = stand_ins({"fr": {"ca": 1.0}, "it": {"ca": 1.0}}, chosen={"it": ("ca",)})
    assert catalogue_with(near).find(served, "x").stand_in is None


@pytest.mark.parametrize(
    ("asked", "who"),
    [
        ("gn", stand_ins(NEAR)),  # too far
        ("wa", stand_ins(NEAR, least=0.8)),
        ("wa", stand_ins({"wa": {"fr": 1.0}}, least=1)),
        ("wa", stand_ins(NEAR, chosen={"wa": ()})),
        ("wa", stand_ins(NEAR, chosen={"wa": ("oc", "pcd")})),  # who are not served
        ("wa", None),
        ("qqq", stand_ins(NEAR)),  # nothing is known of it
        ("", stand_ins(NEAR)),
        ("walloon", stand_ins(NEAR)),
    ],
)
def test_without_a_relative_that_is_near_it_is_refused(asked: str, who: StandIns | None) -> None:
    with pytest.raises(UnknownLanguage, match="which is not served; nearest: "):
        catalogue_with(who).find(asked, "x")


def test_what_an_operator_says_counts_however_far_it_is() -> None:
    who = stand_ins(NEAR, least=1, chosen={"wa": ("oc", "ru", "ca"), "gn": ("de",)})
    catalogue = catalogue_with(who)
    assert chain(catalogue.find("wa", "x")) == ["ru@1", "ca@1", "universal ru"]
    assert catalogue.find("wa", "x").stand_in == StandIn("ru", "Russian", None)
    assert chain(catalogue.find("gn", "x")) == ["universal de"]


def test_a_canary_of_the_relative_hears_its_streams_here_too() -> None:
    canary = replace(ADAPTERS["fr"], adapter="fr@2", fallback=ADAPTERS["fr"], on_trial=True)
    trial = Trial(canary, Routing("fr@1", "fr@2", 99.999))
    catalogue = replace(CATALOGUE, trials={"fr": trial})
    walloon = catalogue.for_stream("stream", {}).find("wa", "x")
    assert chain(walloon)[:3] == ["fr@2", "fr@1", "ca@1"]
    assert walloon.on_trial
    assert walloon.fallback is not None
    assert not walloon.fallback.on_trial


def test_a_stream_knows_what_it_named_and_no_other() -> None:
    languages = CATALOGUE.including(("fr", "wa"))
    assert languages.keys() == CATALOGUE.languages.keys() | {"wa"}
    assert languages["fr"] is ADAPTERS["fr"]
    assert languages["wa"] == CATALOGUE.find("wa", "x")
    # Taught in the middle of a stream, it has an adapter of its own from then on.
    taught = ServedLanguage("wa", "Walloon", "wa@1", BASE, None)
    later = replace(CATALOGUE, languages={**CATALOGUE.languages, "wa": taught})
    assert later.for_stream("s", CATALOGUE.languages).including(("wa",))["wa"] is taught


def test_what_is_known_of_a_tag_is_worked_out_once() -> None:
    relatives = FakeRelatives(NEAR)
    catalogue = catalogue_with(StandIns(cast(Relatives, relatives), 0.5))
    for stream in ("a", "b"):
        assert catalogue.for_stream(stream, catalogue.languages).find("wa", "x").adapter == "fr@1"
    assert relatives.n_asked == 1
    fewer = replace(catalogue, languages={"ca": ADAPTERS["ca"]})
    assert fewer.find("wa", "x").adapter == "ca@1"


@pytest.mark.parametrize(
    ("asked", "by"),
    [("wa", "fr"), ("an", "es"), ("rue", "be"), ("gsw", "de"), ("yue", "zh"), ("hsb", "cs")],
)
def test_the_shipped_table_knows_relatives(asked: str, by: str) -> None:
    adapters = ("be", "bg", "ca", "da", "el", "es", "fr", "ro", "ru")
    languages = {
        tag: ServedLanguage(tag, tag, f"{tag}@1" if tag in adapters else UNIVERSAL, BASE, None)
        for tag in universal_languages()
    }
    who = StandIns(Relatives.read(), 0.6)
    catalogue = Catalogue(languages, universal=languages.keys(), stand_ins=who)
    found = catalogue.find(asked, "x")
    assert (found.tag, found.spoken_as) == (asked, by)
    with pytest.raises(UnknownLanguage):
        catalogue.find("nv", "x")  # Navajo has no relative here


def test_chains_are_read(tmp_path: Path) -> None:
    file = tmp_path / "relatives.json"
    file.write_text('{"wln": ["fra", "ca", "fr"], "gn": []}')
    assert read_chains(str(file), "X") == {"wa": ("fr", "ca"), "gn": ()}
    assert read_chains("", "X") == {}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (["wa"], "which holds no object"),
        ({"not a tag": ["fr"]}, "RELATIVES: 'not a tag' is 'not a tag': give a BCP-47 tag"),
        ({"wa": "fr"}, "RELATIVES: 'wa' is 'fr': give a list of tags"),
        ({"wa": ["fr", 3]}, "RELATIVES: 'wa'[1] is 3: give a BCP-47 tag"),
        ({"wa": ["f r"]}, "RELATIVES: 'wa'[0] is 'f r': give a BCP-47 tag"),
        ({"wa": ["fr", "wln"]}, "RELATIVES: 'wa' names itself"),
        ({"wa": ["fr"], "wln": ["ca"]}, "RELATIVES: 'wln' is there twice: wa under two tags"),
        ({"wa-BE": ["fr"]}, "RELATIVES: 'wa-BE' has a script or region"),
        ({"wa": ["fr", "ca", "it", "oc"]}, "RELATIVES: 'wa' has 4 tags: give at most 3"),
    ],
)
def test_chains_that_cannot_be_are_named(tmp_path: Path, document: Any, says: str) -> None:
    file = tmp_path / "relatives.json"
    file.write_text(json.dumps(document))
    with pytest.raises(SettingsError) as refused:
        read_chains(str(file), "RELATIVES")
    assert says in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "relatives.json"
    with pytest.raises(SettingsError, match=r"RELATIVES is .*: no such file or directory"):
        read_chains(str(file), "RELATIVES")
    for content in (b"{", b"\xff\xfe"):
        file.write_bytes(content)
        with pytest.raises(SettingsError, match=r"RELATIVES is .*, which is no JSON"):
            read_chains(str(file), "RELATIVES")
