"""Which languages there are, kept up to date while streams run."""

from __future__ import annotations

import asyncio

import structlog

from common.catalogue import Catalogue, catalogue_of
from common.errors import StoreUnavailable
from common.store import Holdings, StoreReader

_log = structlog.get_logger()


class CatalogueWatcher:
    """Reads the store every so often."""

    def __init__(
        self, store: StoreReader, universal_tags: tuple[str, ...], interval_s: float
    ) -> None:
        """Read it once; raises StoreUnavailable where it does not answer."""
        self._store = store
        self._universal_tags = universal_tags
        self._interval_s = interval_s
        self._available = True
        self._holdings = store.read()
        self.latest = catalogue_of(self._holdings, universal_tags)

    async def run(self) -> None:
        """Refresh until cancelled. While the store is away, what was read last stays."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self.refresh()

    async def refresh(self) -> None:
        """Read the store once, in a thread: it may be far away."""
        try:
            holdings = await asyncio.to_thread(self._store.read)
            if self._holdings.versions and not holdings.versions:
                # A volume that is no longer mounted looks like this.
                raise StoreUnavailable("it holds no adapter any more")
        except StoreUnavailable as error:
            if self._available:
                _log.warning("store unavailable; what was served stays", reason=str(error))
            self._available = False
            return
        self._available = True
        if holdings != self._holdings:
            self._adopt(holdings)

    def _adopt(self, holdings: Holdings) -> None:
        before, self._holdings = self.latest, holdings
        self.latest = catalogue_of(holdings, self._universal_tags)
        for tag in sorted({*before.languages, *self.latest.languages}):
            old, new = (_described(catalogue, tag) for catalogue in (before, self.latest))
            if old != new:
                _log.info("language rerouted", language=tag, before=old, now=new)


def _described(catalogue: Catalogue, tag: str) -> str:
    """`it@1`, or `it@1, it@2 for 10 %`."""
    if tag not in catalogue.languages:
        return "nothing"
    trial = catalogue.trials.get(tag)
    canary = f", {trial.canary.adapter} for {trial.routing.percent:g} %" if trial else ""
    return catalogue.languages[tag].adapter + canary
