"""The phoneme part of an evaluation, in words, as tables on the terminal, and as a picture."""

from __future__ import annotations

from markupsafe import Markup
from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.tags import english_name
from transfer.evaluation import wording
from transfer.evaluation.findings import PATHS
from transfer.evaluation.phonemes import FEWEST, ClassMap, Estimate, PhonemeFindings

_SHOWN_CONFUSIONS = 8
_SIGNS = {
    "plosive": "p",
    "affricate": "t͡s",
    "fricative": "s",
    "nasal": "n",
    "lateral": "l",
    "trill or tap": "r",
    "approximant": "j",
    "click": "ǃ",
    "high front vowel": "i",
    "mid front vowel": "e",
    "central vowel": "ə",
    "mid back vowel": "o",
    "high back vowel": "u",
    "low vowel": "a",
    "": wording.NOTHING,
}
"""Heads of narrow columns: a phoneme of each class."""
_CELL, _LEFT, _TOP = 36, 170, 40


def print_phonemes(console: Console, found: PhonemeFindings) -> None:
    """The result in a sentence, a table of the paths, the confusions, and the map of classes."""
    console.print()
    console.print(sentence(found), markup=False)
    console.print(paths_table(found))
    listed = ", ".join(wording.confusion(each) for each in found.confusions[:_SHOWN_CONFUSIONS])
    console.print(f"phonemes heard wrong most: {listed or 'none'}", markup=False)
    console.print()
    console.print(classes_table(found.classes))


def sentence(found: PhonemeFindings) -> str:
    """The adapter's result for anybody, with what its transfer gap is worth."""
    adapter = found.paths["adapter"]
    said = f"Of 100 phonemes it hears {wording.per_hundred(adapter.every.value)} right"
    if not found.sources:
        return f"{said}."
    whose = " or ".join(english_name(language) for language in found.sources)
    if adapter.gap is None or adapter.shared is None or adapter.own is None:
        return (
            f"{said}. Fewer than {FEWEST} were said that {whose} has too, or that it has not: "
            "no transfer gap is given."
        )
    shared, own = (wording.per_hundred(each.value) for each in (adapter.shared, adapter.own))
    real = "real" if adapter.gap.real else "perhaps chance"
    return (
        f"{said}: {shared} of those that {whose} has too, {own} of the others. The transfer gap, "
        f"{gap(adapter.gap)}, is {real}."
    )


def gap(found: Estimate) -> str:
    """`15.1 points (3.6 to 25.9)`."""
    value, low, high = (f"{100 * each:.1f}" for each in (found.value, found.low, found.high))
    return f"{value} points ({low} to {high})".replace("-", "−")


def share(found: Estimate | None) -> str:
    """`69.0% (64.4–73.8%)`; nothing where there are too few."""
    if found is None:
        return ""
    return f"{found.value:.1%} ({100 * found.low:.1f}–{found.high:.1%})"


def paths_table(found: PhonemeFindings) -> Table:
    """A row for each path: accuracies and the transfer gap with their intervals."""
    table = Table("path", box=None, pad_edge=False)
    headings = ["phonemes right", "error rate"]
    if found.sources:
        headings += ["shared right", "target-only right", "transfer gap"]
    for heading in headings:
        table.add_column(heading, justify="right")
    for path, each in found.paths.items():
        cells = [share(each.every), share(each.error_rate)]
        if found.sources:
            cells += [share(each.shared), share(each.own), gap(each.gap) if each.gap else ""]
        table.add_row(PATHS[path], *cells)
    return table


def classes_table(found: ClassMap) -> Table:
    """What was said in rows, what was heard in columns, as percentages of each row."""
    table = Table("said, and heard as … (%)", box=None, pad_edge=False)
    for name in found.classes:
        table.add_column(_SIGNS[name], justify="right")
    table.add_column("said", justify="right")
    for name, row in zip(found.classes, found.counts, strict=True):
        cells = [f"{100 * count / max(sum(row), 1):.0f}" if count else "" for count in row]
        table.add_row(Text(_row_name(name)), *cells, str(sum(row)) if name else "")
    return table


def classes_chart(found: ClassMap) -> Markup:
    """The same as an `<svg>`: the darker a cell, the more of its row."""
    width = _LEFT + _CELL * len(found.classes)
    height = _TOP + _CELL * len(found.classes)
    columns = (
        Markup('<text x="{}" y="{}" text-anchor="middle"><title>{}</title>{}</text>').format(
            _LEFT + _CELL * (number + 0.5), _TOP - 12, name or "not heard", _SIGNS[name]
        )
        for number, name in enumerate(found.classes)
    )
    rows = (
        _row(found, number, name, row)
        for number, (name, row) in enumerate(zip(found.classes, found.counts, strict=True))
    )
    drawn = Markup("").join([*columns, *rows])
    return Markup(
        '<figure class="adapter"><svg viewBox="0 0 {} {}" role="img" '
        'aria-label="articulatory classes said and heard, in % of each row">{}</svg></figure>'
    ).format(width, height, drawn)


def _row(found: ClassMap, number: int, name: str, row: tuple[int, ...]) -> Markup:
    y = _TOP + _CELL * number
    label = Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(
        _LEFT - 8, y + _CELL * 0.62, _row_name(name)
    )
    cells = (
        _cell(_LEFT + _CELL * column, y, count / sum(row), f"{count} of {sum(row)}")
        for column, count in enumerate(row)
        if count
    )
    return Markup("").join([label, *cells])


def _cell(x: float, y: float, part: float, title: str) -> Markup:
    return Markup(
        '<g><title>{}</title><rect x="{}" y="{}" width="{}" height="{}" fill-opacity="{:.2f}"/>'
        '<text class="cell" x="{}" y="{}" text-anchor="middle">{:.0f}</text></g>'
    ).format(
        title, x + 1, y + 1, _CELL - 2, _CELL - 2, part**0.5 * 0.7,  # small shares show too
        x + _CELL / 2, y + _CELL * 0.62, 100 * part,
    )  # fmt: skip


def _row_name(name: str) -> str:
    return f"{name} ({_SIGNS[name]})" if name else "never said"
