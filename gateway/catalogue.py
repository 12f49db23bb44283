"""Which languages there are, kept up to date while streams run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

import structlog

from common.catalogue import Catalogue, catalogue_of
from common.errors import StoreUnavailable
from common.store import Holdings, StoreReader
from common.zero_shot import StandIns

_log = structlog.get_logger()


class CatalogueWatcher:
    """Reads the store, and asks language identification, every so often."""

    def __init__(
        self,
        store: StoreReader,
        universal_tags: tuple[str, ...],
        identified: Callable[[], Awaitable[Collection[str] | None]],
        interval_s: float,
        stand_ins: StandIns | None = None,
    ) -> None:
        """Read the store once; raises StoreUnavailable where it does not answer.

        Args:
            store: of adapters.
            universal_tags: what the base model knows.
            identified: asks which tags language identification tells apart; None: no answer. Until
                the first answer they are those of the base model.
            interval_s: from one look to the next.
            stand_ins: who hears a language that nothing serves; None: nobody.
        """
        self._store = store
        self._universal_tags = universal_tags
        self._ask = identified
        self._interval_s = interval_s
        self._stand_ins = stand_ins
        self._available = True
        self._holdings = store.read()
        self._identified = frozenset(universal_tags)
        self.latest = self._catalogue(None)

    async def run(self) -> None:
        """Refresh until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(self._interval_s)

    async def refresh(self) -> None:
        """Look once. While the one or the other is away, what it said last stays."""
        holdings, identified = await asyncio.gather(self._read_store(), self._ask_identified())
        if identified != self._identified:
            _log.info("languages identified", before=len(self._identified), now=len(identified))
        if (holdings, identified) != (self._holdings, self._identified):
            self._adopt(holdings, identified)

    async def _read_store(self) -> Holdings:
        try:
            # In a thread: it may be far away.
            holdings = await asyncio.to_thread(self._store.read)
            if self._holdings.versions and not holdings.versions:
                # A volume that is no longer mounted looks like this.
                raise StoreUnavailable("it holds no adapter any more")
        except StoreUnavailable as error:
            if self._available:
                _log.warning("store unavailable; what was served stays", reason=str(error))
            self._available = False
            return self._holdings
        self._available = True
        return holdings

    async def _ask_identified(self) -> frozenset[str]:
        told = await self._ask()
        return self._identified if told is None else frozenset(told)

    def _adopt(self, holdings: Holdings, identified: frozenset[str]) -> None:
        before, self._holdings, self._identified = self.latest, holdings, identified
        self.latest = self._catalogue(identified)
        for tag in sorted({*before.languages, *self.latest.languages}):
            old, new = (_described(catalogue, tag) for catalogue in (before, self.latest))
            if old != new:
                _log.info("language rerouted", language=tag, before=old, now=new)

    def _catalogue(self, identified: frozenset[str] | None) -> Catalogue:
        return catalogue_of(self._holdings, self._universal_tags, identified, self._stand_ins)


def _described(catalogue: Catalogue, tag: str) -> str:
    """`it@1`, or `it@1, it@2 for 10 %`."""
    if tag not in catalogue.languages:
        return "nothing"
    trial = catalogue.trials.get(tag)
    canary = f", {trial.canary.adapter} for {trial.routing.percent:g} %" if trial else ""
    return catalogue.languages[tag].adapter + canary
