"""Phoneme inventories as PHOIBLE lists them, made comparable between their many authors."""

from __future__ import annotations

import csv
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

# Which of an article's inventories is taken where no other decides: the fuller ones first.
_SOURCES = ("ph", "ea", "gm", "uz", "ra", "aa", "saphon", "er", "spa", "upsid")
# Collections that never write tones down, so that none of theirs says that there are none.
_SILENT_ON_TONE = ("ea", "er", "saphon", "upsid")
# Length, stress, and places of articulation finer than authors agree on.
_NARROW = frozenset("ːˑˈˌ̟̠̝̞̘̙̪̺̻̼̹̜̯̩͉̈̽͆͡˞ʴ̆")
# Sounds of which a language with only one is written with either.
_ONE_SOUND = ("aɐɑ", "eɛ", "oɔ", "rɾ", "hɦ")


@dataclass(frozen=True)
class Inventory:
    """The sounds of a language.

    Attributes:
        phonemes: IPA segments, written broadly, sorted; diphthongs as their vowels, no tones.
        tonal: whether words differ by tone; None where no source says.
    """

    phonemes: tuple[str, ...]
    tonal: bool | None


def read_inventories(phoible: Path) -> dict[str, Inventory]:
    """By ISO 639-3. Of several, the one most like the others, and what most of them have.

    Ties go by source.
    """
    found: dict[str, dict[str, list[Mapping[str, str]]]] = defaultdict(lambda: defaultdict(list))
    with phoible.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["ISO6393"] != "NA" and row["Source"] in _SOURCES:
                found[row["ISO6393"]][row["InventoryID"]].append(row)
    return {code: _most_typical(list(lists.values())) for code, lists in sorted(found.items())}


def broadly(phonemes: Collection[str]) -> frozenset[str]:
    """An inventory without the marks that tell no two of its sounds apart.

    Dental `t̪` is `t`, and so is aspirated `tʰ` where there is no plain one beside it.
    """
    alike: dict[str, set[str]] = defaultdict(set)
    for phoneme in phonemes:
        marked = "".join(sign for sign in _decomposed(phoneme) if sign not in _NARROW)
        alike["".join(sign for sign in marked if not _is_mark(sign))].add(marked)
    broad = {
        plain if index == 0 else marked
        for plain, group in alike.items()
        for index, marked in enumerate(sorted(group, key=_markedness))
    }
    for sounds in _ONE_SOUND:
        present = broad & set(sounds)
        if len(present) == 1:
            broad = broad - present | {sounds[0]}
    return frozenset(broad)


def _most_typical(lists: list[list[Mapping[str, str]]]) -> Inventory:
    broad = [broadly(_segments(rows)) for rows in lists]
    sources = [rows[0]["Source"] for rows in lists]

    def typical(index: int) -> tuple[float, int]:
        likeness = sum(_jaccard(broad[index], other) for other in broad)
        # Of two, each is as like the other: only then, and in ties of more, the source decides.
        return round(likeness, 6), -_SOURCES.index(sources[index])

    best = broad[max(range(len(lists)), key=typical)]
    # A single inventory may have a gap: one of Spanish leaves out /k/.
    counts = Counter(phoneme for sounds in broad for phoneme in sounds)
    usual = {phoneme for phoneme, count in counts.items() if count > len(broad) * 2 / 3}
    tones = [
        any(row["SegmentClass"] == "tone" for row in rows)
        for rows, source in zip(lists, sources, strict=True)
        if source not in _SILENT_ON_TONE
    ]
    tonal = Counter(tones)[True] * 2 >= len(tones) if tones else None
    return Inventory(tuple(sorted(broadly(best | usual))), tonal)


def _segments(rows: Iterable[Mapping[str, str]]) -> set[str]:
    segments: set[str] = set()
    for row in rows:
        if row["SegmentClass"] == "tone" or row["Marginal"] == "TRUE":
            continue
        phoneme = row["Phoneme"].partition("|")[0]  # the author did not decide between several
        segments.update(_vowels(phoneme) if row["SegmentClass"] == "vowel" else (phoneme,))
    return segments


def _vowels(phoneme: str) -> list[str]:
    """`ai̯` → `a`, `i`."""
    vowels: list[str] = []
    for sign in _decomposed(phoneme):
        if vowels and (_is_mark(sign) or sign in _NARROW):
            vowels[-1] += sign
        else:
            vowels.append(sign)
    return vowels


def _decomposed(phoneme: str) -> str:
    return unicodedata.normalize("NFD", phoneme.replace("g", "ɡ").replace("ɫ", "lˠ"))


def _is_mark(sign: str) -> bool:
    return unicodedata.category(sign) in {"Mn", "Lm", "Sk"}


def _markedness(phoneme: str) -> tuple[int, bool, str]:
    """Of `lˠ` and `lʲ` the first is the plainer."""
    return len(phoneme), "ʲ" in phoneme, phoneme


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(1, len(one | other))
