"""The adapters of a store that a language could start from."""

from __future__ import annotations

from common.adapter_files import AdapterFiles
from common.store import StoreReader
from transfer.publishing.publish import cards_of
from transfer.sources.knowledge import SourceAdapter


def read_adapters(files: AdapterFiles, base: str | None = None) -> list[SourceAdapter]:
    """The latest version of every adapter, by language and id; with `base`, of that fingerprint.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    holdings = StoreReader(files).read()
    latest: dict[str, SourceAdapter] = {}
    for tag in sorted({version.tag for version in holdings.versions.values()}):
        for card in cards_of(files, holdings, tag).values():  # in order of version
            if base in (None, card.base_fingerprint):
                latest[card.id] = SourceAdapter.of(card)
    return list(latest.values())
