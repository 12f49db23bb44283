"""What a segment is given: by the process that it runs in, and by the client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.catalogue import ServedLanguage
from gateway.catalogue import CatalogueWatcher
from gateway.language import LanguageClient
from gateway.workers import WorkerPool


@dataclass(frozen=True)
class Services:
    """What a segment needs of the outside; one per process."""

    catalogue: CatalogueWatcher
    workers: WorkerPool
    lid: LanguageClient


@dataclass(frozen=True)
class Options:
    """What the client asked for.

    Attributes:
        fixed: the language of the whole stream; then nothing is identified.
        candidates: the languages to choose among; None for all.
        weights: how likely a language is beforehand, against 1 for one that is not in it.
        partials: whether to show words before they are final.
        boosted_phrases: what finals prefer, as the client wrote it.
    """

    fixed: ServedLanguage | None
    candidates: tuple[str, ...] | None
    partials: bool
    boosted_phrases: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def named(self) -> tuple[str, ...]:
        """BCP-47 tags of all languages that the client named, each once."""
        fixed = () if self.fixed is None else (self.fixed.tag,)
        return tuple(dict.fromkeys((*fixed, *(self.candidates or ()), *self.weights)))
