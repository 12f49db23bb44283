"""Which languages to teach a language from: what is known, what is expected, how they rank."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.adapter_files import AdapterFiles
from common.catalogue import models_url
from common.errors import InvalidRequest, UnknownLanguage
from common.relatives import Relatives
from transfer.sources.adapters import read_adapters
from transfer.sources.benefit import Benefit
from transfer.sources.knowledge import SourceAdapter, pair_of
from transfer.sources.prior import published_benefit
from transfer.sources.ranking import nearest_languages, rank_adapters, rank_languages, weights


@pytest.fixture(scope="module")
def relatives() -> Relatives:
    return Relatives.read()


@pytest.fixture(scope="module")
def benefit() -> Benefit:
    return Benefit.read()


@pytest.fixture(scope="module")
def shipped() -> list[SourceAdapter]:
    return read_adapters(AdapterFiles(models_url("")))


def test_what_is_known_of_a_pair(relatives: Relatives) -> None:
    pair = pair_of(relatives, "ca", "es")
    assert {"Indo-European", "Romance"} <= pair.groups[0] & pair.groups[1]
    assert pair.genetic is not None
    assert 0.5 < pair.genetic < 1
    assert pair.coverage is not None
    assert 0.5 < pair.coverage < 1
    assert (pair.tone_lost, pair.script_shared) == (False, True)
    itself = pair_of(relatives, "ca", "ca")
    assert (itself.genetic, itself.coverage, itself.lacking_distance) == (1, 1, 0)


def test_what_the_source_lacks_weighs_by_articulation(relatives: Relatives) -> None:
    near, far = (pair_of(relatives, "vi", source).lacking_distance for source in ("th", "haw"))
    assert near is not None
    assert far is not None
    assert 0 < near < far < 1


@pytest.mark.parametrize(
    ("target", "source", "share"),
    [
        ("da", "en", 0.85),  # within Germanic
        ("ca", "it", 0.85),  # and within any other branch
        ("it", "en", 0.70),  # Germanic to Romance
        ("ru", "it", 0.65),  # within Indo-European
        ("sw", "it", 0.50),  # to Niger-Congo
        ("zh", "it", 0.45 * 0.85),  # to Sino-Tibetan, which is tonal
        ("vi", "it", 0.55 * 0.85),
        ("vi", "th", 0.55),  # both tonal
        ("fi", "ja", 0.50),  # nothing known
    ],
)
def test_the_published_table(relatives: Relatives, target: str, source: str, share: float) -> None:
    assert published_benefit(pair_of(relatives, target, source)) == pytest.approx(share)


def test_the_shipped_adapters_rank_by_kinship(
    relatives: Relatives, benefit: Benefit, shipped: list[SourceAdapter]
) -> None:
    others = [adapter for adapter in shipped if adapter.tag != "be"]
    ranked = rank_adapters(relatives, benefit, "be", others)
    assert len(ranked) == len(others) == 10
    assert ranked[0].pair.source == "ru"
    assert "same branch: East Slavic" in ranked[0].reasons
    assert "33 min of speech" in ranked[0].reasons
    assert all(0 < one.benefit < 1 for one in ranked)
    for_galician = rank_adapters(relatives, benefit, "gl", shipped)
    assert for_galician[0].pair.source in {"es", "ca", "it", "fr", "ro"}


def test_of_two_like_adapters_the_better_taught_comes_first(
    relatives: Relatives, benefit: Benefit
) -> None:
    good = SourceAdapter("es@2", "es", minutes=38.0, letters_wrong=0.1)
    poor = replace(good, key="es@1", minutes=2.0, letters_wrong=0.6)
    ranked = rank_adapters(relatives, benefit, "ca", (poor, good))
    assert [one.adapter for one in ranked] == [good, poor]


def test_any_language_has_nearest_ones(relatives: Relatives, benefit: Benefit) -> None:
    found = nearest_languages(relatives, benefit, "yo", 5)
    assert len(found) == 5
    assert {"Atlantic-Congo"} <= found[0].pair.groups[1]
    assert "yor" not in {one.pair.source for one in found}


def test_weights_of_a_mean(relatives: Relatives) -> None:
    russian, italian, danish = weights("be", ("ru", "it", "da"), relatives)
    assert russian + italian + danish == pytest.approx(1)
    assert russian > italian > danish > 0
    assert weights("be", ("ru",)) == (1.0,)
    # Nothing is known of Esperanto, so none counts more than another.
    assert weights("eo", ("it", "pl"), relatives) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        (("be", "ru"), "be is be itself"),
        (("ru", "bel"), "bel is be itself"),
        (("it", "ru", "ita"), "it and ita are the same language"),
        ((), "no source language is given"),
    ],
)
def test_contradictory_sources_are_refused(
    relatives: Relatives, benefit: Benefit, tags: tuple[str, ...], said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        weights("be", tags, relatives)
    with pytest.raises(InvalidRequest, match=said):
        rank_languages(relatives, benefit, "be", tags)


def test_unknown_languages_are_refused(relatives: Relatives, benefit: Benefit) -> None:
    with pytest.raises(UnknownLanguage, match="'xx' is not known"):
        weights("be", ("ru", "xx"), relatives)
    with pytest.raises(UnknownLanguage, match="nearest: be"):
        nearest_languages(relatives, benefit, "Belarusian", 3)
