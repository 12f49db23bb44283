"""Files of a store are there whole, once, or not at all."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from common.adapter_files import AdapterFiles
from common.errors import StoreUnavailable

BUCKET = "memory://bucket-of-files"


@pytest.fixture(params=["directory", "object store"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AdapterFiles]:
    """An empty store."""
    if request.param == "directory":
        yield AdapterFiles(str(tmp_path / "store"))
        return
    yield AdapterFiles(BUCKET)
    fsspec.filesystem("memory").store.clear()


def test_what_was_created_is_read(files: AdapterFiles) -> None:
    assert files.names() == []
    files.create("it@2", "card.json", b"{}")
    files.create("routing", "it.000001.json", b"[]")
    assert files.names() == ["it@2", "routing"]
    assert files.names("routing") == ["it.000001.json"]
    assert files.read("it@2", "card.json") == b"{}"
    assert files.cards(["it@2", "fr", "routing"]) == {"it@2": b"{}"}


def test_what_is_there_is_never_replaced(files: AdapterFiles) -> None:
    files.create("it@2", "card.json", b"first")
    with pytest.raises(FileExistsError):
        files.create("it@2", "card.json", b"second")
    assert files.read("it@2", "card.json") == b"first"


def test_of_many_at_once_one_wins(tmp_path: Path) -> None:
    files = AdapterFiles(str(tmp_path))
    start, won = threading.Barrier(8), []

    def create(number: int) -> None:
        start.wait()
        try:
            files.create("it@2", "card.json", bytes([number]) * 100_000)
            won.append(number)
        except FileExistsError:
            pass

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = won
    assert files.read("it@2", "card.json") == bytes([winner]) * 100_000
    assert [path.name for path in tmp_path.iterdir()] == ["it@2"]


@pytest.mark.parametrize(
    "name", ["../it", "it@", "it@0", "it@01", "it@x", "it@1@2", "@1", "a/b", ""]
)
def test_a_name_that_is_none(files: AdapterFiles, name: str) -> None:
    with pytest.raises(FileNotFoundError):
        files.read(name, "card.json")


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = AdapterFiles(str(tmp_path))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailable) as caught:
        files.create("it@2", "card.json", b"{}")
    assert str(caught.value) == "it@2/card.json cannot be written: No space left on device"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_store_that_nobody_may_write_to() -> None:
    files = AdapterFiles("/proc/no-store")
    with pytest.raises(StoreUnavailable, match=r"it@2/card\.json cannot be written: "):
        files.create("it@2", "card.json", b"{}")


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = AdapterFiles(str(tmp_path))

    def without(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", without)
    files.create("it@2", "card.json", b"first")
    with pytest.raises(FileExistsError):
        files.create("it@2", "card.json", b"second")
    assert files.read("it@2", "card.json") == b"first"


def test_what_was_left_an_hour_ago_is_swept(tmp_path: Path) -> None:
    files = AdapterFiles(str(tmp_path))
    for folder in ("it@2", "it@3"):
        files.create(folder, "adapter.safetensors", b"half")
    for name in (".publishing-old", ".publishing-new", ".gitignore"):
        (tmp_path / name).write_bytes(b"half")
    then = time.time() - 2 * 3600
    for left in ("it@2/adapter.safetensors", ".publishing-old", ".gitignore"):
        os.utime(tmp_path / left, (then, then))
    files.sweep(["it@2", "it@3"])
    assert files.names() == [".gitignore", ".publishing-new", "it@3"]


def test_the_newest_file_tells_how_old_a_folder_is(tmp_path: Path) -> None:
    files = AdapterFiles(str(tmp_path))
    for file in ("adapter.safetensors", "lexicon.bin"):
        files.create("it@2", file, b"")
    os.utime(tmp_path / "it@2" / "lexicon.bin", (0, 0))
    files.sweep(["it@2"])
    assert files.names("it@2") == ["adapter.safetensors", "lexicon.bin"]


def test_sweeping_an_object_store_keeps_what_is_new() -> None:
    files = AdapterFiles(BUCKET)
    files.create("it@2", "adapter.safetensors", b"half")
    files.sweep(["it@2", "fr@9"])
    assert files.names("it@2") == ["adapter.safetensors"]
    fsspec.filesystem("memory").store.clear()
