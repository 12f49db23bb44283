"""What a start from a source is worth, calibrated on the transfers that were measured here.

A ridge regression of what the published table leaves unexplained, on the table itself and a few
features of the pair and of the source's adapter: with no measurement it is the table, and the more
there are the less of the table is left. A feature that is not known counts as average. Languages
also differ in how hard they are, whatever the source, so that each target that was measured has an
intercept of its own, and one that was not has none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from transfer.sources.knowledge import Pair, SourceAdapter
from transfer.sources.prior import published_benefit

BENEFIT_FILE = Path(__file__).with_name("benefit.json")
_MOST = 0.95
"""No start removes all errors; the line that is fitted does not know that."""
_TARGET_PENALTY = 1.0
_UNPENALISED = 1e-9


@dataclass(frozen=True)
class Feature:
    """How a feature counts.

    Attributes:
        mean, sd: over the pairs it was fitted on; a feature of sd 0 counts nothing.
        weight: of the share of errors removed, per sd.
    """

    mean: float
    sd: float
    weight: float


@dataclass(frozen=True)
class Benefit:
    """The fitted expectation.

    Attributes:
        n_pair: measured transfers it was fitted on.
        offset: what all of them lie above the published table.
        targets: what those of a target that was measured lie above the others, by ISO 639-3.
        features: by name, see `features_of`.
    """

    n_pair: int
    offset: float
    targets: Mapping[str, float]
    features: Mapping[str, Feature]

    @classmethod
    def read(cls, file: Path = BENEFIT_FILE) -> Self:
        """The fit that is shipped."""
        fit: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["fit"]
        features = {name: Feature(**values) for name, values in fit.pop("features").items()}
        return cls(**fit, features=features)

    def of(self, pair: Pair, adapter: SourceAdapter | None = None) -> float:
        """Expected share of the target's errors that the start removes, 0..0.95."""
        values = features_of(pair, adapter)
        known = {name: each for name, each in self.features.items() if values[name] is not None}
        gain = sum(
            each.weight * ((values[name] or 0.0) - each.mean) / each.sd
            for name, each in known.items()
            if each.sd > 0
        )
        hardness = self.offset + self.targets.get(pair.target_code, 0.0)
        return min(_MOST, max(0.0, published_benefit(pair) + hardness + gain))

    def to_json(self) -> dict[str, Any]:
        """As `read` reads it, rounded to what it is worth."""
        document = asdict(self)
        document["offset"] = round(self.offset, 4)
        document["targets"] = {code: round(each, 4) for code, each in self.targets.items()}
        document["features"] = {
            name: {key: round(value, 4) for key, value in asdict(each).items()}
            for name, each in self.features.items()
        }
        return document


def features_of(pair: Pair, adapter: SourceAdapter | None) -> dict[str, float | None]:
    """What the benefit is expected by; None for what is not known."""
    minutes = adapter.minutes if adapter else None
    return {
        "published": published_benefit(pair),
        "similarity": pair.similarity,
        "log_minutes": math.log(minutes) if minutes else None,
    }


def fit(
    pairs: Sequence[tuple[Pair, SourceAdapter | None]],
    measured: Sequence[float],
    penalty: float,
) -> Benefit:
    """Fit to measured shares of errors removed.

    `penalty` is how many pairs the published table is worth against the features: 0.001 is nearly
    least squares, and with an endless one only the offset and the targets' are learned.
    """
    rows = [features_of(pair, adapter) for pair, adapter in pairs]
    names = list(rows[0])
    table = np.array([[_number(row[name]) for name in names] for row in rows])
    known = ~np.isnan(table)
    counts = np.maximum(known.sum(axis=0), 1)
    means = np.where(known, table, 0.0).sum(axis=0) / counts
    centred = np.where(known, table - means, 0.0)
    sds = np.sqrt((centred**2).sum(axis=0) / counts)
    codes = [pair.target_code for pair, _ in pairs]
    targets = sorted(set(codes))
    design: NDArray[np.float64] = np.hstack(
        [
            np.ones((len(rows), 1)),
            np.array([[float(code == target) for target in targets] for code in codes]),
            centred / np.where(sds > 0, sds, 1.0),
        ]
    )
    penalties = [_UNPENALISED, *[_TARGET_PENALTY] * len(targets), *[penalty] * len(names)]
    excess = np.array(measured) - [published_benefit(pair) for pair, _ in pairs]
    solved = np.linalg.solve(design.T @ design + np.diag(penalties), design.T @ excess).tolist()
    offset, weights = solved[0], solved[1 + len(targets) :]
    return Benefit(
        n_pair=len(rows),
        offset=offset,
        targets=dict(zip(targets, solved[1:], strict=False)),
        features={
            name: Feature(float(mean), float(sd), weight)
            for name, mean, sd, weight in zip(names, means, sds, weights, strict=True)
        },
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value
