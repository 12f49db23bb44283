"""Fitting what a source is worth, and saying honestly how well that is foreseen."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from common.errors import InvalidRequest
from common.relatives import Relatives
from transfer.sources.benefit import BENEFIT_FILE, Benefit
from transfer.sources.calibrate import (
    Measured,
    agreement,
    calibrate,
    fit_to,
    left_out,
    read_measured,
    spearman,
)
from transfer.sources.knowledge import SourceAdapter, pair_of
from transfer.sources.prior import published_benefit

TAGS = ("be", "bg", "ca", "da", "el", "en", "es", "fr", "it", "ro", "ru")


@pytest.fixture(scope="module")
def relatives() -> Relatives:
    return Relatives.read()


def transfers(relatives: Relatives, slope: float) -> list[Measured]:
    """Of all pairs, in a world where kinship is all that counts."""
    found = []
    for target, source in product(TAGS, TAGS):
        if target != source:
            pair = pair_of(relatives, target, source)
            assert pair.genetic is not None
            found.append(Measured(pair, None, 0.4 + slope * pair.genetic))
    return found


def test_what_counts_is_found_out(relatives: Relatives) -> None:
    measured = transfers(relatives, 0.5)
    benefit = fit_to(measured)
    slavic, other = (benefit.of(pair_of(relatives, "be", source)) for source in ("ru", "da"))
    assert slavic > other + 0.1
    known = agreement(measured, left_out(measured, lambda one: one.pair.target))
    assert known["spearman"] > 0.7  # most pairs tie in truth, and hardly any in what is expected
    assert known["mean_absolute_error"] < 0.02


def test_without_evidence_it_is_the_published_table(relatives: Relatives) -> None:
    pair = pair_of(relatives, "da", "en")
    as_published = [Measured(pair, None, published_benefit(pair))]
    assert fit_to(as_published).of(pair) == pytest.approx(0.85)
    stubborn = fit_to(transfers(relatives, 0.5), penalty=1e9)
    gap = stubborn.of(pair) - stubborn.of(pair_of(relatives, "da", "it"))
    assert gap == pytest.approx(0.85 - 0.65, abs=1e-6)


def test_a_hard_target_is_known_to_be_hard_once_it_was_measured(relatives: Relatives) -> None:
    hard = [
        Measured(one.pair, None, one.benefit - (0.3 if one.pair.target == "da" else 0))
        for one in transfers(relatives, 0.5)
    ]
    benefit = fit_to(hard)
    danish, german = (benefit.of(pair_of(relatives, tag, "en")) for tag in ("dan", "de"))
    assert danish < german - 0.2
    by_source = left_out(hard, lambda one: one.pair.source)
    assert agreement(hard, by_source)["mean_absolute_error"] < 0.03


def test_who_is_left_out_is_not_looked_at(relatives: Relatives) -> None:
    measured = transfers(relatives, 0.5)
    absurd = [Measured(one.pair, None, 0.0) if one.pair.target == "be" else one for one in measured]
    plain, turned = (left_out(each, lambda one: one.pair.target) for each in (measured, absurd))
    for one, before, after in zip(measured, plain, turned, strict=True):
        assert (before == after) == (one.pair.target == "be")


def test_what_is_not_known_counts_as_average(relatives: Relatives) -> None:
    adapters = {tag: SourceAdapter(f"{tag}@1", tag, 3.0 + n, 0.1) for n, tag in enumerate(TAGS)}
    measured = [
        Measured(one.pair, adapters[one.pair.source], one.benefit)
        for one in transfers(relatives, 0.5)
    ]
    benefit = fit_to(measured)
    pair = measured[0].pair
    usual = benefit.features["log_minutes"].mean
    average = SourceAdapter("x@1", "x", 2.718281828459045**usual, 0.1)
    assert benefit.of(pair, None) == pytest.approx(benefit.of(pair, average))


def rows() -> list[dict[str, Any]]:
    def row(target: str, source: str | None, cer: float) -> dict[str, Any]:
        return {"target": target, "source": source, "adapter": f"{source}@1", "cer": cer}

    return [
        row("be", None, 0.8),
        row("be", "ru", 0.2),
        row("be", "it", 0.4),
        row("da", "en", 0.4),  # of which there is no start from nothing yet
    ]


def test_the_file_of_pairs(relatives: Relatives) -> None:
    russian = SourceAdapter("ru@1", "ru", 33.0, 0.1)
    measured = read_measured(rows(), relatives, [russian])
    assert [one.pair.source for one in measured] == ["ru", "it"]
    assert [one.benefit for one in measured] == pytest.approx([0.75, 0.5])
    assert [one.adapter for one in measured] == [russian, None]
    with pytest.raises(InvalidRequest, match="no pairs"):
        read_measured(rows()[1:], relatives, [])


def test_what_is_written_is_read_again(relatives: Relatives, tmp_path: Path) -> None:
    measured = transfers(relatives, 0.3)
    document = calibrate(measured)
    file = tmp_path / "benefit.json"
    file.write_text(json.dumps(document))
    pair = measured[5].pair
    assert Benefit.read(file).of(pair) == pytest.approx(fit_to(measured).of(pair), abs=1e-3)
    assert set(document["agreement"]) == {
        "target_mean",
        "published_table",
        "in_sample",
        "pair_left_out",
        "source_left_out",
        "target_left_out",
    }


def test_rank_correlation() -> None:
    assert spearman([1, 2, 3, 4], [10, 20, 30, 400]) == pytest.approx(1)
    assert spearman([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    assert spearman([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(0.9487, abs=1e-4)
    assert spearman([1, 1, 1], [1, 2, 3]) == 0


def test_the_shipped_fit_says_how_far_it_may_be_trusted() -> None:
    document = json.loads(BENEFIT_FILE.read_text(encoding="utf-8"))
    assert document["fit"]["n_pair"] > 0
    assert -1 <= document["agreement"]["target_left_out"]["spearman"] <= 1
