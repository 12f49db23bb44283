"""`python -m transfer.sources.calibrate PAIRS`: fit what a source is worth to what was measured.

PAIRS is what `benchmarks/transfer_pairs.py` writes: rows of target, source, the source's adapter
and `cer`, the share of letters wrong after the same few steps; of each target one row whose source
is null, taught from nothing.

A rank correlation on the pairs that were fitted flatters. So each pair is also predicted by a fit
that has not seen it, by one that has seen nothing of its source, and nothing of its target. The
last does not know how hard the target is, which nobody does before somebody has tried; how far
knowing that alone goes is told as the target's mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import numpy as np
import typer

from common.adapter_files import AdapterFiles
from common.errors import InvalidRequest
from common.relatives import Relatives
from transfer.files import write_whole
from transfer.sources.adapters import read_adapters
from transfer.sources.benefit import BENEFIT_FILE, Benefit, fit
from transfer.sources.knowledge import Pair, SourceAdapter, pair_of
from transfer.sources.prior import published_benefit

PENALTY = 10.0
"""Pairs that the published table is worth. Not tuned: about one target's worth of pairs."""
_ROUNDED = 4


@dataclass(frozen=True)
class Measured:
    """A transfer that was measured; `benefit` is the share of wrong letters that it removed."""

    pair: Pair
    adapter: SourceAdapter | None
    benefit: float


def read_measured(
    rows: Sequence[dict[str, Any]], relatives: Relatives, adapters: Sequence[SourceAdapter]
) -> list[Measured]:
    """The pairs among the rows of a pair file.

    Raises:
        InvalidRequest: there are none, since no target has both a source and a start from nothing.
        UnknownLanguage: nothing is known of a language.
    """
    from_nothing = {row["target"]: row["cer"] for row in rows if row["source"] is None}
    by_key = {adapter.key: adapter for adapter in adapters}
    measured = [
        Measured(
            pair_of(relatives, row["target"], row["source"]),
            by_key.get(row["adapter"]),
            1 - row["cer"] / from_nothing[row["target"]],
        )
        for row in rows
        if row["source"] is not None and row["target"] in from_nothing
    ]
    if not measured:
        raise InvalidRequest("no pairs: of a target there must be a row whose source is null too")
    return measured


def fit_to(measured: Sequence[Measured], penalty: float = PENALTY) -> Benefit:
    """The fit to all of them."""
    pairs = [(one.pair, one.adapter) for one in measured]
    return fit(pairs, [one.benefit for one in measured], penalty)


def left_out(
    measured: Sequence[Measured], group: Callable[[Measured], str], penalty: float = PENALTY
) -> list[float]:
    """Each pair as expected by a fit to those of other groups: of other sources, say."""
    fits = {
        name: fit_to([one for one in measured if group(one) != name], penalty)
        for name in {group(one) for one in measured}
    }
    return [fits[group(one)].of(one.pair, one.adapter) for one in measured]


def spearman(expected: Sequence[float], measured: Sequence[float]) -> float:
    """Rank correlation, -1..1; ties have their mean rank; 0 where one side is all the same."""
    ranks = np.array([_ranks(expected), _ranks(measured)])
    if len(expected) < 2 or (ranks.std(axis=1) == 0).any():
        return 0.0
    return float(np.corrcoef(ranks)[0, 1])


def agreement(measured: Sequence[Measured], expected: Sequence[float]) -> dict[str, float]:
    """How well the order is foreseen: over all pairs, and over each target's sources, their mean.

    The second is what a ranking is asked for; the first also asks which targets are hard.
    """
    targets = sorted({one.pair.target for one in measured})
    within = []
    for target in targets:
        chosen = [i for i, one in enumerate(measured) if one.pair.target == target]
        if len(chosen) > 2:
            within.append(
                spearman([expected[i] for i in chosen], [measured[i].benefit for i in chosen])
            )
    errors = [abs(one.benefit - e) for one, e in zip(measured, expected, strict=True)]
    return {
        "spearman": round(spearman(expected, [one.benefit for one in measured]), _ROUNDED),
        "spearman_within_target": round(fmean(within), _ROUNDED) if within else 0.0,
        "mean_absolute_error": round(fmean(errors), _ROUNDED),
    }


def calibrate(measured: Sequence[Measured], penalty: float = PENALTY) -> dict[str, Any]:
    """The content of `benefit.json`: the fit, and how far it may be trusted."""
    benefit = fit_to(measured, penalty)
    of_target = {
        target: fmean(one.benefit for one in measured if one.pair.target == target)
        for target in {one.pair.target for one in measured}
    }
    expected = {
        "target_mean": [of_target[one.pair.target] for one in measured],
        "published_table": [published_benefit(one.pair) for one in measured],
        "in_sample": [benefit.of(one.pair, one.adapter) for one in measured],
        "pair_left_out": left_out(measured, lambda one: one.pair.target + one.pair.source, penalty),
        "source_left_out": left_out(measured, lambda one: one.pair.source, penalty),
        "target_left_out": left_out(measured, lambda one: one.pair.target, penalty),
    }
    return {
        "fit": benefit.to_json(),
        "penalty": penalty,
        "agreement": {name: agreement(measured, values) for name, values in expected.items()},
    }


def main(
    pairs: Annotated[Path, typer.Argument(exists=True, help="What transfer_pairs.py wrote.")],
    models: Annotated[str, typer.Option(help="Adapter store with the sources.")] = "models",
    out: Annotated[Path, typer.Option(help="File to write.")] = BENEFIT_FILE,
) -> None:
    """Fit the expected benefit of a source to measured transfers; prints how well it foresees."""
    rows = json.loads(pairs.read_text(encoding="utf-8"))["rows"]
    adapters = read_adapters(AdapterFiles(models))
    document = calibrate(read_measured(rows, Relatives.read(), adapters))
    write_whole(out, json.dumps(document, indent=2) + "\n")
    typer.echo(f"{out}: {document['fit']['n_pair']} pairs")
    for name, figures in document["agreement"].items():
        told = ", ".join(f"{key.replace('_', ' ')} {value:.2f}" for key, value in figures.items())
        typer.echo(f"{name.replace('_', ' ')}: {told}")


def _ranks(values: Sequence[float]) -> np.ndarray:
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[which]
    return ranks


if __name__ == "__main__":
    typer.run(main)
