"""Where adapters lie: a directory, or an object store by any URL that fsspec opens.

One folder per adapter: `card.json`, `adapter.safetensors`, and `lexicon.bin` where it has one.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import fsspec
import structlog

from common.errors import SettingsError, StoreUnavailable

CARD_FILE = "card.json"
MAX_BYTES = 2**30
"""No file of an adapter is larger: beyond that it is none, and would fill the memory."""

_log = structlog.get_logger()
_NAME = re.compile(r"\w[\w.-]{0,100}")


class AdapterFiles:
    """Reads the files of a store. Calls block; they may come from several threads."""

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

    def read(self, adapter: str, file: str) -> bytes:
        """The content of a file of `adapter`.

        Raises:
            FileNotFoundError: there is none, or `adapter` is no name of a folder.
            StoreUnavailable: the store does not answer, or the file is absurdly large.
        """
        if not _NAME.fullmatch(adapter):  # it comes over the wire, and stays within the store
            raise FileNotFoundError(adapter[:100])
        path = f"{self._root}/{adapter}/{file}"
        try:
            if (size := self._files.size(path)) and size > MAX_BYTES:
                raise StoreUnavailable(
                    f"{file} of adapter {adapter} has {size} bytes; the limit is {MAX_BYTES}"
                )
            return bytes(self._files.cat_file(path))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileNotFoundError(f"{adapter}/{file}") from error
        except StoreUnavailable:
            raise
        except Exception as error:  # each protocol has kinds of its own
            raise StoreUnavailable(
                f"{file} of adapter {adapter} cannot be read: {type(error).__name__}; try again"
            ) from error

    def cards(self) -> dict[str, bytes]:
        """`card.json` of every adapter, by the name of its folder, in order; {} without a store.

        One that is there and cannot be read is logged and left out.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        try:
            # Not `glob`: it passes over folders that are symbolic links.
            folders = sorted(map(str, self._files.ls(self._root, detail=False)))
            paths = [f"{folder}/{CARD_FILE}" for folder in folders]
            contents = self._files.cat(paths, on_error="return") if paths else {}
        except FileNotFoundError:
            return {}
        except Exception as error:
            raise StoreUnavailable(
                f"the adapters cannot be listed: {type(error).__name__}; see PANGLOT_MODELS"
            ) from error
        cards = {}
        for path in paths:
            adapter, content = PurePosixPath(path).parent.name, contents[path]
            if isinstance(content, bytes):
                cards[adapter] = content
            elif not isinstance(content, FileNotFoundError | NotADirectoryError):
                _log.error("card ignored", adapter=adapter, error=repr(content))
        return cards
