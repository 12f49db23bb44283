"""Steps 6 to 10: what a worker made of a span, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace

from panglot.v1 import asr_pb2

from common.catalogue import ServedLanguage
from common.zero_shot import StandIn


@dataclass(frozen=True)
class SpanSource:
    """Where a hypothesis comes from.

    Attributes:
        start: first sample of the span in the stream, 16 kHz.
        language: BCP-47 tag.
        adapter: `<id>@<version>`, or `universal`.
        language_probability: None when the client fixed the language.
        stand_in: the relative that `adapter` is of, where nothing serves the language itself.
    """

    start: int
    language: str
    adapter: str
    language_probability: float | None
    stand_in: StandIn | None = None

    def by(self, language: ServedLanguage) -> SpanSource:
        """The same, heard by what serves `language`."""
        return replace(self, adapter=language.adapter, stand_in=language.stand_in)


@dataclass(frozen=True)
class Heard:
    """What a span's worker made of it."""

    source: SpanSource
    hypothesis: asr_pb2.Hypothesis
