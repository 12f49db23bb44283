"""What a run starts from: other languages' adapters, and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from torch import Tensor

Fusion = Literal["best", "mean", "attention", "concatenation"]
FUSIONS: tuple[Fusion, ...] = get_args(Fusion)
Head = Literal["letters", "phonemes", "new"]


@dataclass(frozen=True)
class Source:
    """A trained adapter of another language.

    Attributes:
        key: `<id>@<version>`.
        weights: tensors as `AdapterShape.tensors` names them.
        vocabulary: symbol of each CTC class.
        language: BCP-47 tag; empty where nobody needs it.
    """

    key: str
    weights: Mapping[str, Tensor] = field(repr=False)
    vocabulary: tuple[str, ...]
    language: str = ""


@dataclass(frozen=True)
class Loan:
    """A letter that no source writes begins as a letter that sounds most like it.

    Attributes:
        letter: of the language that is taught.
        phoneme: what it mostly stands for, in IPA.
        source: number of the source that lends.
        lent: its letter.
        nearest: the phoneme of that.
        distance: between the two phonemes; 0 is the same.
    """

    letter: str
    phoneme: str
    source: int
    lent: str
    nearest: str
    distance: float


@dataclass(frozen=True)
class Start:
    """Sources, and how they become one adapter.

    Attributes:
        sources: one or more, of one kind and with blocks after the same layers.
        weights: of each, above 0, summing to 1.
        fusion: `best` is one source as it is; the others are of several. See
            `transfer.training.start`.
        head: which rows of the new head begin as rows of the sources' heads: those of the letters
            they write, also those of letters that sound alike, or none.
        loans: for the second.
        why: of each source why it was chosen or weighs so, for people to read.
    """

    sources: tuple[Source, ...]
    weights: tuple[float, ...] = (1.0,)
    fusion: Fusion = "best"
    head: Head = "letters"
    loans: tuple[Loan, ...] = ()
    why: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The sources as `--from` takes them: `es@2`, or `es@2=0.6,it@2=0.4`."""
        if len(self.sources) == 1:
            return self.sources[0].key
        pairs = zip(self.sources, self.weights, strict=True)
        return ",".join(f"{source.key}={weight:.4g}" for source, weight in pairs)

    @property
    def identity(self) -> str:
        """All that decides what comes of it, in a line; of one source with its letters, its key."""
        fused = f"{self.fusion} of {self.text}" if len(self.sources) > 1 else self.text
        return fused if self.head == "letters" else f"{fused}, head by {self.head}"
