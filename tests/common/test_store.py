"""What a store holds, in every layout it may have, while it is written to."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from structlog.testing import capture_logs

from common.adapter_files import CARD_FILE, AdapterFiles
from common.catalogue import catalogue_of
from common.errors import StoreUnavailable
from common.fleet import UNIVERSAL
from common.routing import Routing
from common.store import ROUTING_FOLDER, StoreReader, reroute

TAGS = ("en", "it")


@pytest.fixture(params=["directory", "object store"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AdapterFiles]:
    """An empty store."""
    if request.param == "directory":
        yield AdapterFiles(str(tmp_path / "store"))
        return
    yield AdapterFiles("memory://bucket-of-versions")
    fsspec.filesystem("memory").store.clear()


def add(files: AdapterFiles, folder: str, **fields: Any) -> None:
    """A version; its card says what its folder does."""
    name, _, number = folder.partition("@")
    rate = {"wer": {"value": 0.5}}
    card = {
        "id": name,
        "version": int(number or 1),
        "language": "it",
        "base_fingerprint": "sha256:whisper",
        "served_by": "adapter",
        "evaluation": {"adapter": rate, "universal": rate},
    }
    files.create(folder, CARD_FILE, json.dumps(card | fields).encode())


def route(files: AdapterFiles, *changes: Routing, tag: str = "it") -> None:
    """One document after another."""
    for number, routing in enumerate(changes, 1):
        files.create(ROUTING_FOLDER, f"{tag}.{number:06}.json", routing.to_json())


def serving(files: AdapterFiles, reader: StoreReader | None = None) -> str:
    """What serves Italian, and what is on trial for it."""
    catalogue = catalogue_of((reader or StoreReader(files)).read(), TAGS)
    trial = catalogue.trials.get("it")
    canary = f" {trial.canary.adapter} {trial.routing.percent:g}" if trial else ""
    return catalogue.languages["it"].adapter + canary


def test_an_empty_store(files: AdapterFiles) -> None:
    assert serving(files) == UNIVERSAL
    assert StoreReader(files).read().routing("it") is None


def test_without_a_routing_the_highest_version_serves(files: AdapterFiles) -> None:
    add(files, "it")
    assert serving(files) == "it@1"
    for folder in ("it@9", "it@10", "it@2"):
        add(files, folder)
    assert serving(files) == "it@10"


def test_of_several_adapters_the_best_measured_serves_by_its_latest(files: AdapterFiles) -> None:
    for folder, wer in (("it@1", 0.1), ("it@2", 0.4), ("mms-ita@1", 0.3), ("mms-ita@2", 0.2)):
        add(files, folder, evaluation={"adapter": {"wer": {"value": wer}}})
    assert serving(files) == "mms-ita@2"


def test_the_routing_decides(files: AdapterFiles) -> None:
    for folder in ("it", "it@2", "it@3"):
        add(files, folder)
    reader = StoreReader(files)
    route(files, Routing("it@2"))
    assert serving(files, reader) == "it@2"
    files.create(ROUTING_FOLDER, "it.000002.json", Routing("it@1", "it@3", 10).to_json())
    assert serving(files, reader) == "it@1 it@3 10"
    files.create(ROUTING_FOLDER, "it.000010.json", Routing(UNIVERSAL).to_json())
    assert serving(files, reader) == serving(files) == UNIVERSAL


def test_a_canary_has_what_is_stable_to_fall_back_on(files: AdapterFiles) -> None:
    add(files, "it")
    add(files, "it@2", base_fingerprint="sha256:mms")
    route(files, Routing("it@1", "it@2", 50))
    catalogue = catalogue_of(StoreReader(files).read(), TAGS)
    by_stream = {
        name: catalogue.for_stream(name, {}).languages["it"] for name in map(str, range(100))
    }
    canaries = [each for each in by_stream.values() if each.adapter == "it@2"]
    assert 25 < len(canaries) < 75
    assert {each.fallback for each in canaries} == {catalogue.languages["it"]}
    assert {(each.adapter, each.on_trial) for each in by_stream.values()} == {
        ("it@1", False),
        ("it@2", True),
    }
    assert {each.base_fingerprint for each in canaries} == {"sha256:mms"}


def test_a_language_does_not_go_away_in_the_middle_of_a_stream(files: AdapterFiles) -> None:
    add(files, "sw", language="sw")
    first = catalogue_of(StoreReader(files).read(), TAGS).for_stream("s", {})
    later = catalogue_of(StoreReader(AdapterFiles("/nowhere")).read(), TAGS)
    assert later.for_stream("s", first.languages).languages["sw"].adapter == "sw@1"
    assert later.for_stream("s", {}).languages.keys() == set(TAGS)


def test_what_is_routed_and_is_not_there(files: AdapterFiles) -> None:
    add(files, "it")
    route(files, Routing("it@7"))
    with capture_logs() as logs:
        assert serving(files) == "it@1"
    assert [log["adapter"] for log in logs] == ["it@7"]
    files.create(ROUTING_FOLDER, "it.000002.json", Routing("it@1", "it@8", 10).to_json())
    assert serving(files) == "it@1"


def test_a_routing_of_a_language_that_nobody_knows(files: AdapterFiles) -> None:
    add(files, "it")
    for tag in ("quz", "no-such-tag-at-all", "1"):
        route(files, Routing(UNIVERSAL), tag=tag)
    assert catalogue_of(StoreReader(files).read(), TAGS).languages.keys() == set(TAGS)


def test_half_a_version_is_none(files: AdapterFiles) -> None:
    add(files, "it")
    files.create("it@2", "adapter.safetensors", b"half")
    holdings = StoreReader(files).read()
    assert (list(holdings.versions), holdings.unfinished) == (["it@1"], ("it@2",))


def test_two_folders_of_one_version(files: AdapterFiles) -> None:
    add(files, "it", language="fr")
    add(files, "it@1")
    versions = StoreReader(files).read().versions
    assert [(version.tag, version.folder) for version in versions.values()] == [("it", "it@1")]


def test_a_folder_says_what_its_card_says(files: AdapterFiles) -> None:
    add(files, "it@1")
    add(files, "it@2", version=1)
    add(files, "italian", id="it", version=3)
    with capture_logs() as logs:
        assert list(StoreReader(files).read().versions) == ["it@1"]
    assert "folder it@2 holds it@1: name it so, or it" in logs[0]["error"]


def test_a_broken_routing_counts_for_nothing_and_is_told_once(files: AdapterFiles) -> None:
    for folder in ("it", "it@2"):
        add(files, folder)
    route(files, Routing("it@1"))
    files.create(ROUTING_FOLDER, "it.000002.json", b"{")
    files.create(ROUTING_FOLDER, "README.md", b"none of ours")
    reader = StoreReader(files)
    with capture_logs() as logs:
        assert [serving(files, reader) for _ in range(3)] == ["it@1"] * 3
    assert [log["name"] for log in logs] == ["it.000002.json"]
    reroute(files, "it", lambda now: Routing("it@2"))
    assert serving(files, reader) == "it@2"


def test_a_routing_of_which_nothing_can_be_read(files: AdapterFiles) -> None:
    add(files, "it")
    files.create(ROUTING_FOLDER, "it.000001.json", b"{")
    assert serving(files) == "it@1"
    reroute(files, "it", lambda now: Routing(UNIVERSAL))
    assert serving(files) == UNIVERSAL


def test_a_broken_card_is_told_once_and_served_once_it_is_whole(tmp_path: Path) -> None:
    files = AdapterFiles(str(tmp_path))
    (tmp_path / "it").mkdir()
    card = tmp_path / "it" / CARD_FILE
    card.write_text('{"id": "it", ')  # as somebody's `cp` has got so far
    reader = StoreReader(files)
    with capture_logs() as logs:
        assert [serving(files, reader) for _ in range(3)] == [UNIVERSAL] * 3
    assert len(logs) == 1
    card.unlink()
    add(files, "it")
    assert serving(files, reader) == "it@1"


def test_what_was_read_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = AdapterFiles(str(tmp_path))
    add(files, "it")
    add(files, "it@2")
    route(files, Routing("it@1"))
    reader = StoreReader(files)
    before = reader.read()
    asked: list[str] = []
    read, cards = AdapterFiles.read, AdapterFiles.cards

    def one(self: AdapterFiles, folder: str, file: str) -> bytes:
        asked.append(file)
        return read(self, folder, file)

    def several(self: AdapterFiles, folders: Iterable[str]) -> dict[str, bytes]:
        found = cards(self, folders)
        asked.extend(found)
        return found

    monkeypatch.setattr(AdapterFiles, "read", one)
    monkeypatch.setattr(AdapterFiles, "cards", several)
    assert reader.read() == before
    assert asked == []
    add(files, "it@3")
    assert reader.read() != before
    assert asked == ["it@3"]


def test_a_version_that_was_taken_away(tmp_path: Path) -> None:
    files = AdapterFiles(str(tmp_path))
    add(files, "it")
    add(files, "it@2")
    reader = StoreReader(files)
    assert serving(files, reader) == "it@2"
    shutil.rmtree(tmp_path / "it@2")
    assert serving(files, reader) == "it@1"


def test_changes_at_once_all_count(tmp_path: Path) -> None:
    files = AdapterFiles(str(tmp_path))
    for number in range(1, 9):
        add(files, f"it@{number}")
    start = threading.Barrier(8)
    failed: list[Exception] = []

    def publish(key: str) -> None:
        start.wait()
        try:
            reroute(files, "it", lambda now: (now or Routing("it@1")).with_stable(key))
        except StoreUnavailable as error:
            failed.append(error)

    threads = [threading.Thread(target=publish, args=(f"it@{n}",)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    routing = StoreReader(files).read().routing("it")
    assert routing is not None
    heard = {*routing.previous, routing.stable}
    assert heard == {f"it@{number}" for number in range(1, 9)}


def test_the_slower_change_is_made_to_what_the_quicker_left(files: AdapterFiles) -> None:
    for folder in ("it@1", "it@2", "it@3"):
        add(files, folder)
    route(files, Routing("it@1", "it@2", 10))
    seen: list[Routing | None] = []

    def slowly(now: Routing | None) -> Routing:
        seen.append(now)
        if len(seen) == 1:
            reroute(files, "it", lambda now: Routing("it@2", previous=("it@1",)))
        assert now is not None
        return now.with_stable("it@3")

    assert reroute(files, "it", slowly) == Routing("it@3", previous=("it@1", "it@2"))
    assert seen == [Routing("it@1", "it@2", 10), Routing("it@2", previous=("it@1",))]


def test_what_changes_nothing_writes_nothing(files: AdapterFiles) -> None:
    add(files, "it")
    for _ in range(3):
        reroute(files, "it", lambda now: now or Routing("?"))
    assert files.names(ROUTING_FOLDER) == ["it.000001.json"]


def test_a_store_that_does_not_answer(files: AdapterFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    add(files, "it")
    reader = StoreReader(files)

    def away(*_: object, **__: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(type(files._files), "ls", away)
    with pytest.raises(StoreUnavailable, match="cannot be listed: ConnectionError"):
        reader.read()
