"""How far apart phonemes are said, by articulatory features.

Features and their weights are PanPhon's: Mortensen et al., "PanPhon: A Resource for Mapping IPA
Segments to Articulatory Feature Vectors" (COLING 2016). Its table of base segments and what each
diacritic changes lie beside this file, so that the package and its dependencies are not needed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from common.errors import InvalidRequest
from transfer.phonemes.chart import CLASS_OF, RELEASES, TIE
from transfer.phonemes.notation import decomposed

_TABLE = "articulation.json"
_VALUES = {"+": 1.0, "0": 0.0, "-": -1.0}
Features = npt.NDArray[np.float64]


def distance(one: str, other: str) -> float:
    """How differently two phonemes are said, 0 (the same features) to 1 (all of them opposed).

    The weighted sum of the features' differences, where + against - is 1 and either against
    "does not apply" a half, divided by the sum of the weights.

    Raises:
        InvalidRequest: one of them is no phoneme that the table knows.
    """
    weights = _table().weights
    difference = np.abs(_features(one) - _features(other)) / 2
    return float(difference @ weights / weights.sum())


def nearest(phoneme: str, among: Collection[str]) -> tuple[str, float]:
    """The phoneme that is said most alike, and its distance; of equals the first in the alphabet.

    Raises:
        InvalidRequest: there is nothing to choose among, or see `distance`.
    """
    if not among:
        raise InvalidRequest(f"nothing to choose the nearest phoneme of /{phoneme}/ among")
    # Features do not tell all phonemes apart, /r/ and /ɾ/ for one.
    if phoneme in among:
        return phoneme, 0.0
    away, found = min((distance(phoneme, other), other) for other in among)
    return found, away


def articulatory_class(phoneme: str) -> str:
    """One of `chart.CLASSES`, by the base letter: `tʲ` is a plosive, `t͡ʃ` an affricate.

    Raises:
        InvalidRequest: it is no phoneme of the International Phonetic Alphabet.
    """
    letters = [letter for letter in decomposed(phoneme) if letter in CLASS_OF]
    if not letters:
        raise _unknown(phoneme)
    if TIE in phoneme and letters[-1] in RELEASES:
        return "affricate"
    return CLASS_OF[letters[0]]


@dataclass(frozen=True)
class _Table:
    """Features of base segments, and what diacritics set.

    Attributes:
        names: of the features.
        weights: float64 `[n_feature]`.
        segments: base segment → float64 `[n_feature]` of -1, 0 and 1.
        diacritics: mark → feature → value.
    """

    names: tuple[str, ...]
    weights: Features
    segments: Mapping[str, Features]
    diacritics: Mapping[str, Mapping[str, float]]


@cache
def _table() -> _Table:
    document = json.loads(files("transfer.phonemes").joinpath(_TABLE).read_text("utf-8"))
    return _Table(
        names=tuple(document["weights"]),
        weights=np.array(list(document["weights"].values())),
        segments={
            decomposed(segment): np.array([_VALUES[value] for value in values])
            for segment, values in document["segments"].items()
        },
        diacritics={
            mark: {feature: _VALUES[value] for feature, value in changed.items()}
            for mark, changed in document["diacritics"].items()
        },
    )


@cache
def _features(phoneme: str) -> Features:
    """float64 `[n_feature]`: those of the longest base segment, as the marks after it change them.

    A mark that changes no feature is passed over.
    """
    table, text = _table(), decomposed(phoneme)
    base = next((text[:end] for end in range(len(text), 0, -1) if text[:end] in table.segments), "")
    if not base:
        raise _unknown(phoneme)
    found = table.segments[base].copy()
    for mark in text[len(base) :]:
        if mark == TIE:  # an affricate that the table lacks: a stop that is let go slowly
            found[table.names.index("delrel")] = 1.0
        for feature, value in table.diacritics.get(mark, {}).items():
            found[table.names.index(feature)] = value
    return found


def _unknown(phoneme: str) -> InvalidRequest:
    return InvalidRequest(
        f"{phoneme!r} is no phoneme that the table of articulatory features knows: write it in the "
        "International Phonetic Alphabet, such as 't͡ʃ' or 'tʲ'"
    )
