"""What `panglot evaluate` prints."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from transfer.evaluation import wording
from transfer.evaluation.curve import Curve
from transfer.evaluation.findings import PATHS, Findings
from transfer.evaluation.phoneme_report import print_phonemes

_SHOWN_CONFUSIONS = 8
_SHOWN_PARTS = ("source", "speaker")


def print_findings(console: Console, findings: Findings) -> None:
    """The result in a sentence, the table, what is heard wrong most, times, phonemes."""
    found = findings.confusions["adapter"]
    console.print(f"{findings.subject}: {wording.sentence(findings.whole)}", markup=False)
    console.print()
    console.print(scores_table(findings))
    console.print()
    for name, confusions in (("words", found.words), ("characters", found.characters)):
        listed = ", ".join(wording.confusion(each) for each in confusions[:_SHOWN_CONFUSIONS])
        console.print(f"{name} heard wrong most: {listed or 'none'}", markup=False)
    if findings.lexicon is not None:
        weights = findings.lexicon
        console.print(
            f"lexicon: LM weight {weights.lm_weight:g}, word score {weights.word_score:g}"
        )
    if findings.times is not None:
        console.print(wording.times(findings.times))
    if findings.phonemes is not None:
        print_phonemes(console, findings.phonemes)


def scores_table(findings: Findings) -> Table:
    """A row for each path, over all clips, by source and by speaker; counts are of words."""
    table = Table("clips", "path", box=None, pad_edge=False)
    for heading in ("WER", "95% interval", "CER", "95% interval", "subst.", "ins.", "del."):
        table.add_column(heading, justify="right")
    table.add_column("WER less universal's")
    parts = [part for part in findings.parts if part.by in _SHOWN_PARTS]
    for part in (findings.whole, *parts):
        for path, score in part.scores.items():
            compared = part.against_universal if path == "adapter" else None
            table.add_row(
                Text(f"{part.name} ({part.n_clip})" if path == "adapter" else ""),
                PATHS[path],
                wording.percent(score.wer.value),
                wording.interval(score.wer, part.n_clip),
                wording.percent(score.cer.value),
                wording.interval(score.cer, part.n_clip),
                str(score.words.substitutions),
                str(score.words.insertions),
                str(score.words.deletions),
                wording.change(compared, part.n_clip) if compared else "",
            )
    return table


def curve_table(curve: Curve) -> Table:
    """A row for each amount of speech."""
    table = Table(box=None, pad_edge=False, title="minutes of speech", title_justify="left")
    for heading in ("minutes", "clips", "WER", "95% interval", "CER", "greedy WER"):
        table.add_column(heading, justify="right")
    for point in curve.points:
        table.add_row(
            f"{point.minutes:.1f}",
            str(point.n_clip),
            wording.percent(point.wer.value),
            wording.interval(point.wer, curve.n_judged),
            wording.percent(point.cer.value),
            wording.percent(point.greedy_wer.value),
        )
    if curve.universal is not None:
        value, bounds = curve.universal.value, wording.interval(curve.universal, curve.n_judged)
        table.add_row("universal", "", wording.percent(value), bounds, "", "")
    return table
