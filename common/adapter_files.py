"""Where adapters lie: a directory, or an object store by any URL that fsspec opens.

    it@2/card.json, adapter.safetensors, lexicon.bin    version 2 of adapter `it`; never changed
    it/…                                                the same, of the version that its card says
    routing/it.000003.json                              which version serves; the highest counts

Files are created whole and never changed, so two may publish at once and nobody reads half a file.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import fsspec
import structlog
from fsspec.implementations.local import LocalFileSystem

from common.errors import SettingsError, StoreUnavailable

CARD_FILE = "card.json"
MAX_BYTES = 2**30
"""No file of an adapter is larger: beyond that it is none, and would fill the memory."""

_log = structlog.get_logger()
_FOLDER = re.compile(r"\w[\w.-]{0,100}(@[1-9][0-9]{0,8})?")
_SCRATCH = ".publishing-"
_ABANDONED = timedelta(hours=1)
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)


class AdapterFiles:
    """Reads and adds files of a store. Calls block; they may come from several threads."""

    def __init__(self, url: str) -> None:
        """Open `url`: a path, or `s3://…`, `gs://…`, `filecache::s3://…` and so on.

        Raises:
            SettingsError: fsspec knows no such protocol, or its package is not installed.
        """
        try:
            self._files, self._root = fsspec.url_to_fs(url)
        except (ValueError, ImportError) as error:
            protocol = url.partition("://")[0]
            raise SettingsError(
                f"PANGLOT_MODELS: adapters cannot be read by {protocol!r:.40}: give a directory, "
                "or install fsspec's package for it (s3fs, gcsfs, adlfs)"
            ) from error

    def read(self, folder: str, file: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: there is none, or `folder` is no name of one.
            StoreUnavailable: the store does not answer, or the file is absurdly large.
        """
        if not _FOLDER.fullmatch(folder):  # it comes over the wire, and stays within the store
            raise FileNotFoundError(folder[:100])
        path = f"{self._root}/{folder}/{file}"
        try:
            # A listing that is kept may be older than the file.
            self._files.invalidate_cache()
            if (size := self._files.size(path)) and size > MAX_BYTES:
                raise StoreUnavailable(
                    f"{file} of adapter {folder} has {size} bytes; the limit is {MAX_BYTES}"
                )
            return bytes(self._files.cat_file(path))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileNotFoundError(f"{folder}/{file}") from error
        except StoreUnavailable:
            raise
        except Exception as error:  # each protocol has kinds of its own
            raise StoreUnavailable(
                f"{file} of adapter {folder} cannot be read: {type(error).__name__}; try again"
            ) from error

    def names(self, folder: str = "") -> list[str]:
        """What lies in a folder, or in the store itself, in order; [] where there is none.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        try:
            self._files.invalidate_cache()
            # Not `glob`: it passes over folders that are symbolic links.
            found = self._files.ls(f"{self._root}/{folder}".rstrip("/"), detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except Exception as error:
            raise StoreUnavailable(
                f"the adapters cannot be listed: {type(error).__name__}; see PANGLOT_MODELS"
            ) from error
        return sorted(PurePosixPath(str(path)).name for path in found)

    def cards(self, folders: Iterable[str]) -> dict[str, bytes]:
        """`card.json` of each folder that has one, all read at once.

        One that is there and cannot be read is logged and left out.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        paths = [f"{self._root}/{folder}/{CARD_FILE}" for folder in folders]
        try:
            contents = self._files.cat(paths, on_error="return") if paths else {}
        except Exception as error:
            raise StoreUnavailable(
                f"the cards cannot be read: {type(error).__name__}; see PANGLOT_MODELS"
            ) from error
        cards = {}
        for path, content in contents.items():
            folder = PurePosixPath(path).parent.name
            if isinstance(content, bytes):
                cards[folder] = content
            elif not isinstance(content, FileNotFoundError | NotADirectoryError):
                _log.error("card ignored", adapter=folder, error=repr(content))
        return cards

    def create(self, folder: str, file: str, content: bytes) -> None:
        """Write a file that is not there yet, whole or not at all.

        Raises:
            FileExistsError: it is there. Of two that create it at once, one gets this.
            StoreUnavailable: it cannot be written: no room, no right to, no answer.
        """
        path = f"{self._root}/{folder}/{file}"
        try:
            if isinstance(self._files, LocalFileSystem):
                _create(Path(path), Path(self._root), content)
            else:
                self._files.pipe_file(path, content, mode="create")
        except FileExistsError:
            raise
        except Exception as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise StoreUnavailable(f"{folder}/{file} cannot be written: {reason}") from error

    def sweep(self, unfinished: Iterable[str]) -> None:
        """Delete what publishers left that were killed: scratch files, and these folders.

        One that somebody has written to within the hour may be under way, and stays. So does what
        cannot be deleted: it does no harm.
        """
        scratch = [name for name in self.names() if name.startswith(_SCRATCH)]
        for name in (*scratch, *unfinished):
            path = f"{self._root}/{name}"
            with suppress(Exception):
                newest = max(self._files.modified(file) for file in self._files.find(path))
                if datetime.now(UTC) - newest > _ABANDONED:
                    self._files.rm(path, recursive=True)


def _create(path: Path, store: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = store / f"{_SCRATCH}{secrets.token_hex(8)}"
    try:
        with scratch.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _name_once(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def _name_once(scratch: Path, path: Path) -> None:
    try:
        path.hardlink_to(scratch)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A file system without links: nothing there is both whole and exclusive.
        if path.exists():
            raise FileExistsError(path) from None
        scratch.replace(path)
