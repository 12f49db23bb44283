"""What a run starts from, in lines that a person understands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transfer.training.source import Loan, Start

_BLOCKS = {
    "best": "its blocks",
    "mean": "the mean of their blocks",
    "attention": "a mean of their blocks that is learned for each block",
    "concatenation": "their blocks side by side, and a learned projection to the rank",
}
_ROWS = {
    "letters": "and the letters both write",
    "phonemes": "and the letters both write, or that sound alike",
    "new": "and a new head",
}
_MOST_NAMED = 12


def told_start(start: Start) -> Iterator[str]:
    """The sources with their weights, how they are put together, and which letters are lent."""
    how = f"{_BLOCKS[start.fusion]}, {_ROWS[start.head]}"
    if len(start.sources) == 1:
        yield f"  {'start':<18}{start.sources[0].key:<18}{how}"
        yield from (f"  {'':<36}{why}" for why in start.why)
    else:
        yield f"  {'start':<18}{start.fusion:<18}{how}"
        for source, weight, why in zip(start.sources, start.weights, start.why, strict=True):
            yield f"  {'':<18}{f'{source.key} x {weight:.2f}':<18}{why}"
    if start.head == "phonemes":
        yield f"  {'letters by sound':<18}{_loans(start.loans, start)}"


def _loans(loans: Sequence[Loan], start: Start) -> str:
    if not loans:
        return "none: the sources write all letters"
    several = len(start.sources) > 1
    said = [
        f"{loan.letter} as {loan.lent}"
        + (f" of {start.sources[loan.source].key}" if several else "")
        for loan in loans[:_MOST_NAMED]
    ]
    more = len(loans) - len(said)
    return ", ".join(said) + (f" and {more} more" if more else "")
