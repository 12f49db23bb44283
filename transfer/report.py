"""What `panglot evaluate` shows: error rates of each path, over all clips and by corpus."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from speech.adapters.card import Accuracy, ErrorRate, LexiconSettings
from transfer.evaluate import Verdict, summary


def report(verdicts: Sequence[Verdict], tuned: LexiconSettings) -> Table:
    """A row for each path and corpus, with 95% intervals."""
    title = f"held out; LM weight {tuned.lm_weight:g}, word score {tuned.word_score:g}"
    table = Table("clips", "path", "WER", "CER", title=title)
    for source in (None, *sorted({verdict.clip.source for verdict in verdicts})):
        part = [verdict for verdict in verdicts if source in (None, verdict.clip.source)]
        found = summary(part)
        paths: list[tuple[str, Accuracy]] = [
            ("greedy", found.greedy),
            ("with lexicon", found.adapter),
            ("universal", found.universal),
        ]
        for name, accuracy in paths:
            rates = (_rate(accuracy.wer), _rate(accuracy.cer))
            table.add_row(f"{source or 'all'} ({len(part)})", name, *rates)
    return table


def _rate(rate: ErrorRate) -> str:
    return f"{rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}]"
