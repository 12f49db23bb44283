"""What is known of 8,000 languages: descent, sounds, tones. Baked by `transfer/sources/bake.py`.

The classification is Glottolog's as in URIEL+ (CC BY-SA 4.0); the inventories are PHOIBLE's
(CC BY-SA 3.0); the features of sounds are panphon's (MIT). The file says so of itself.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import langcodes
import numpy as np
from langcodes.data_dicts import NORMALIZED_MACROLANGUAGES
from numpy.typing import NDArray

from common.errors import UnknownLanguage
from common.tags import english_name, nearest_tags

FACTS_FILE = Path(__file__).with_name("language_facts.npz")
_ISOLATE, _NO_LINEAGE = -1, -2


@dataclass(frozen=True)
class LanguageFacts:
    """A language.

    Attributes:
        code: ISO 639-3.
        clades: numbers of its branches, from the family inward; () for an isolate; None where its
            descent is not known, or it has none (a pidgin, an invented language).
        phonemes: IPA, written broadly; empty where nobody has listed them.
        tonal: whether words differ by tone; None where no source says.
        stand_in: the branch whose usual phonemes these are, for want of its own; else None.
    """

    code: str
    clades: tuple[int, ...] | None
    phonemes: frozenset[str]
    tonal: bool | None
    stand_in: str | None = None


class LanguageTable:
    """Facts of languages, by any tag of theirs."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take the arrays that `transfer.sources.bake` describes."""
        self.about: dict[str, dict[str, str]] = json.loads(arrays["about"].tobytes())
        self.codes = _lines(arrays["codes"])
        self.clade_names = _lines(arrays["clade_names"])
        self._number = {code: index for index, code in enumerate(self.codes)}
        self._clade, self._parent = arrays["clade"], arrays["clade_parent"]
        self._end = arrays["clade_end"]
        self._tonal = arrays["tonal"]
        self._phonemes = arrays["phonemes"]
        self._ends = np.cumsum(arrays["n_phoneme"], dtype=np.int64)
        self._segments = _lines(arrays["segments"])
        self._segment = {segment: index for index, segment in enumerate(self._segments)}
        self._features = arrays["features"] / np.float32(2)
        self._weights = arrays["weights"]
        self._sorted_clades = np.sort(self._clade)
        self.n_placed = int(np.count_nonzero(self._clade != _NO_LINEAGE))

    @classmethod
    def read(cls, file: Path = FACTS_FILE) -> Self:
        """The table that is shipped."""
        with np.load(file, allow_pickle=False) as arrays:
            return cls({name: arrays[name] for name in arrays.files})

    def find(self, tag: str) -> LanguageFacts:
        """Facts of a language, by BCP-47 or ISO 639-3; scripts and regions do not matter.

        A macrolanguage, such as `zh`, is its most spoken member; what a member lacks is taken from
        the macrolanguage. Phonemes that nobody has listed are those that half of its nearest branch
        have, and `stand_in` says so; likewise the tones.

        Raises:
            UnknownLanguage: no such language is known; names the nearest.
        """
        codes = [code for code in _codes(tag) if code in self._number]
        if not codes:
            raise UnknownLanguage(self._refusal(tag))
        numbers = [self._number[code] for code in codes]
        clade = next((int(self._clade[n]) for n in numbers if self._clade[n] != _NO_LINEAGE), None)
        clades = None if clade is None else self._lineage(clade)
        phonemes = next((own for n in numbers if (own := self._inventory(n))), frozenset[str]())
        stand_in = None
        if not phonemes:
            phonemes, stand_in = self._usual_phonemes(clades or ())
        tonal = next((bool(self._tonal[n]) for n in numbers if self._tonal[n] >= 0), None)
        if tonal is None:
            tonal = self._usually_tonal(clades or ())
        return LanguageFacts(codes[0], clades, phonemes, tonal, stand_in)

    def knows(self, tag: str) -> bool:
        """Whether `find` finds it; quick, while finding what was meant takes a while."""
        return any(code in self._number for code in _codes(tag))

    @property
    def described(self) -> tuple[str, ...]:
        """The languages whose own phonemes are listed, by ISO 639-3."""
        n_phoneme = np.diff(self._ends, prepend=0)
        return tuple(code for code, n in zip(self.codes, n_phoneme, strict=True) if n)

    def clade_size(self, clade: int) -> int:
        """How many languages a branch has."""
        span = np.searchsorted(self._sorted_clades, (clade, self._end[clade]))
        return int(span[1] - span[0])

    def phoneme_distance(self, phonemes: frozenset[str], among: frozenset[str]) -> NDArray[Any]:
        """From each phoneme, in order of code points, to the nearest of others.

        Float32 [n_phoneme], 0..1: the weights of the articulatory features that differ.
        """
        rows = self._features[[self._segment[phoneme] for phoneme in sorted(phonemes)]]
        others = self._features[[self._segment[phoneme] for phoneme in sorted(among)]]
        different = np.abs(rows[:, None] - others[None]) / 2
        nearest: NDArray[Any] = (different @ self._weights).min(axis=1)
        return nearest

    def _lineage(self, clade: int) -> tuple[int, ...]:
        clades: list[int] = []
        while clade != _ISOLATE:
            clades.append(clade)
            clade = int(self._parent[clade])
        return tuple(reversed(clades))

    def _inventory(self, number: int) -> frozenset[str]:
        start = self._ends[number - 1] if number else 0
        return frozenset(self._segments[p] for p in self._phonemes[start : self._ends[number]])

    def _members(self, clade: int) -> list[int]:
        inside = (self._clade >= clade) & (self._clade < self._end[clade])
        return np.flatnonzero(inside).tolist()

    def _usual_phonemes(self, clades: tuple[int, ...]) -> tuple[frozenset[str], str | None]:
        for clade in reversed(clades):
            listed = [own for number in self._members(clade) if (own := self._inventory(number))]
            if listed:
                counts = Counter(phoneme for own in listed for phoneme in own)
                usual = frozenset(p for p, count in counts.items() if 2 * count >= len(listed))
                return usual, self.clade_names[clade]
        return frozenset(), None

    def _usually_tonal(self, clades: tuple[int, ...]) -> bool | None:
        for clade in reversed(clades):
            said = self._tonal[self._members(clade)]
            said = said[said >= 0]
            if said.size:
                return bool(said.mean() >= 0.5)
        return None

    def _refusal(self, tag: str) -> str:
        near = [langcodes.standardize_tag(code) for code in nearest_tags(tag, self.codes)]
        names = ", ".join(f"{code} ({english_name(code)})" for code in near)
        return (
            f"language {tag[:64]!r} is not known: give BCP-47 or ISO 639-3, such as be or bel; "
            f"nearest: {names}"
        )


def _codes(tag: str) -> list[str]:
    """ISO 639-3 codes under which something may be known of a language, the best first."""
    try:
        language = langcodes.get(langcodes.standardize_tag(tag)).language or ""
        code = langcodes.get(language).to_alpha3() if language else tag
    except (ValueError, LookupError):
        return []
    members = {macro: member for member, macro in NORMALIZED_MACROLANGUAGES.items()}
    macro = NORMALIZED_MACROLANGUAGES.get(language)
    wider = langcodes.get(macro).to_alpha3() if macro else None
    as_given = tag.partition("-")[0].lower()  # a code that has been retired since
    return [other for other in (members.get(language), code, wider, as_given) if other]


def _lines(array: NDArray[Any]) -> tuple[str, ...]:
    return tuple(array.tobytes().decode().split("\n"))
