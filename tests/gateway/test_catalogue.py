"""What is published while the gateway runs is served, and a store that is away changes nothing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from common.adapter_files import CARD_FILE, AdapterFiles
from common.errors import StoreUnavailable
from common.fleet import UNIVERSAL
from common.routing import Routing
from common.store import ROUTING_FOLDER, StoreReader
from gateway.catalogue import CatalogueWatcher
from tests.common.fake_relatives import stand_ins


def add(files: AdapterFiles, version: int, language: str = "it") -> None:
    card = {
        "id": language,
        "version": version,
        "language": language,
        "base_fingerprint": "sha256:whisper",
        "served_by": "adapter",
        "evaluation": None,
    }
    files.create(f"{language}@{version}", CARD_FILE, json.dumps(card).encode())


class FakeLid:
    """Says which languages it knows; None is no answer."""

    def __init__(self, *languages: str) -> None:
        self.languages: tuple[str, ...] | None = languages or None

    async def model_languages(self) -> tuple[str, ...] | None:
        return self.languages


def watcher_of(
    files: AdapterFiles, interval_s: float = 60.0, lid: FakeLid | None = None
) -> CatalogueWatcher:
    asks = (lid or FakeLid()).model_languages
    return CatalogueWatcher(StoreReader(files), ("it", "en"), asks, interval_s)


def serves(watcher: CatalogueWatcher) -> str:
    return watcher.latest.languages["it"].adapter


async def test_what_is_published_is_served(tmp_path: Path) -> None:
    files = AdapterFiles(str(tmp_path))
    watcher = watcher_of(files)
    assert serves(watcher) == UNIVERSAL
    add(files, 1)
    with capture_logs() as logs:
        await watcher.refresh()
        await watcher.refresh()
    assert serves(watcher) == "it@1"
    (log,) = logs
    assert (log["language"], log["before"], log["now"]) == ("it", UNIVERSAL, "it@1")
    add(files, 2)
    files.create(ROUTING_FOLDER, "it.1.json", Routing("it@1", "it@2", 10).to_json())
    with capture_logs() as logs:
        await watcher.refresh()
    assert [log["now"] for log in logs] == ["it@1, it@2 for 10 %"]


async def test_nothing_new_is_nothing_new(tmp_path: Path) -> None:
    files = AdapterFiles(str(tmp_path))
    add(files, 1)
    watcher = watcher_of(files)
    before = watcher.latest
    await watcher.refresh()
    assert watcher.latest is before


async def test_while_the_store_is_away_what_was_read_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = AdapterFiles(str(tmp_path))
    add(files, 1)
    watcher = watcher_of(files)
    names = AdapterFiles.names

    def away(*_: object) -> list[str]:
        raise StoreUnavailable("the adapters cannot be listed: ConnectionError")

    monkeypatch.setattr(AdapterFiles, "names", away)
    with capture_logs() as logs:
        await watcher.refresh()
        await watcher.refresh()
    assert [log["log_level"] for log in logs] == ["warning"]
    assert serves(watcher) == "it@1"
    add(files, 2)
    monkeypatch.setattr(AdapterFiles, "names", names)
    await watcher.refresh()
    assert serves(watcher) == "it@2"
    monkeypatch.setattr(AdapterFiles, "names", away)
    with pytest.raises(StoreUnavailable):
        watcher_of(files)


async def test_a_store_that_is_suddenly_empty_is_away(tmp_path: Path) -> None:
    files = AdapterFiles(str(tmp_path / "store"))
    add(files, 1)
    watcher = watcher_of(files)
    (tmp_path / "store").rename(tmp_path / "unmounted")
    with capture_logs() as logs:
        await watcher.refresh()
        await watcher.refresh()
    assert [log["reason"] for log in logs] == ["it holds no adapter any more"]
    assert serves(watcher) == "it@1"
    (tmp_path / "unmounted").rename(tmp_path / "store")
    add(files, 2)
    await watcher.refresh()
    assert serves(watcher) == "it@2"


async def test_it_looks_again_and_again(tmp_path: Path) -> None:
    files = AdapterFiles(str(tmp_path))
    watcher = watcher_of(files, interval_s=0.01)
    running = asyncio.create_task(watcher.run())
    async with asyncio.timeout(10):
        for version in (1, 2, 3):
            add(files, version)
            while serves(watcher) != f"it@{version}":  # noqa: ASYNC110 what is waited for
                await asyncio.sleep(0.01)
    running.cancel()


async def test_what_is_identified_is_what_the_service_says(tmp_path: Path) -> None:
    files = AdapterFiles(str(tmp_path))
    add(files, 1, language="lij")
    lid = FakeLid()
    watcher = watcher_of(files, lid=lid)

    def identified() -> list[str]:
        known = watcher.latest.languages.values()
        return [language.tag for language in known if watcher.latest.is_identified(language)]

    await watcher.refresh()
    assert identified() == ["it", "en"]  # it has not answered
    lid.languages = ("en", "lij", "xx")
    with capture_logs() as logs:
        await watcher.refresh()
        await watcher.refresh()
    assert identified() == ["en", "lij"]
    assert [(log["before"], log["now"]) for log in logs] == [(2, 3)]
    lid.languages = None
    await watcher.refresh()
    assert identified() == ["en", "lij"]  # it is away
    assert watcher.latest.for_stream("s", {}).identified == {"en", "lij", "xx"}


async def test_what_is_taught_is_no_longer_heard_by_a_relative(tmp_path: Path) -> None:
    files = AdapterFiles(str(tmp_path))
    add(files, 1)
    who = stand_ins({"nap": {"it": 0.9}, "lij": {"it": 0.8, "nap": 0.9}})
    asks = FakeLid().model_languages
    watcher = CatalogueWatcher(StoreReader(files), ("en",), asks, 60.0, who)

    def serves_now(tag: str) -> tuple[str, bool]:
        found = watcher.latest.for_stream("s", {}).find(tag, "x")
        return found.adapter, found.stand_in is not None

    assert [serves_now("nap"), serves_now("lij")] == [("it@1", True), ("it@1", True)]
    add(files, 1, language="nap")
    await watcher.refresh()
    assert [serves_now("nap"), serves_now("lij")] == [("nap@1", False), ("nap@1", True)]
