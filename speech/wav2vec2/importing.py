"""What all imports have in common: files of the hub, and a folder in an adapter store."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from common.adapter_files import CARD_FILE
from common.errors import ModelNotFound, PanglotError, StoreUnavailable
from speech.adapters.card import WEIGHTS_FILE, AdapterCard, read_card, write_card


def model_directory(name: str, files: Sequence[str]) -> Path:
    """The directory `name`, or that of a hub id, whose `files` (patterns) are then downloaded.

    Raises:
        ModelNotFound: the hub does not give them.
    """
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download  # noqa: PLC0415 only a hub id needs it

    try:
        return Path(snapshot_download(name, allow_patterns=list(files)))
    except Exception as error:  # the hub client raises kinds of its own for each way to fail
        raise ModelNotFound(f"files of {name!r} cannot be downloaded; try again") from error


def put_adapter(store: Path, card: AdapterCard, content: bytes, source: Path | None = None) -> bool:
    """Put an adapter into the store, as `<store>/<id>/`; False if it was there already.

    The card comes last, and without it there is no adapter. What an import left that was broken off
    is completed.

    Args:
        store: a directory, made if missing.
        card: says the checksum of `content`.
        content: of `adapter.safetensors`.
        source: a file that holds `content`, linked where it can be.

    Raises:
        StoreUnavailable: the store cannot be written.
    """
    folder = store / card.id
    if _is_there(folder, card):
        return False
    try:
        _write(folder, card, content, source)
    except OSError as error:
        raise StoreUnavailable(
            f"the store {store} cannot be written: {error.strerror}; what was imported stays, and "
            "the same command goes on"
        ) from error
    return True


def _is_there(folder: Path, card: AdapterCard) -> bool:
    try:
        same = read_card(folder) == card
        content = (folder / WEIGHTS_FILE).read_bytes()
    except (PanglotError, OSError):
        return False
    return same and hashlib.sha256(content).hexdigest() == card.sha256


def _write(folder: Path, card: AdapterCard, content: bytes, source: Path | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f".{WEIGHTS_FILE}.new"
    try:
        scratch.unlink(missing_ok=True)
        if source is not None:
            with suppress(OSError):  # another file system, or one without links
                os.link(source.resolve(), scratch)  # the hub's cache keeps links to its files
        if not scratch.exists():
            scratch.write_bytes(content)
        scratch.replace(folder / WEIGHTS_FILE)
        write_card(card, folder)
    except OSError:
        if not (folder / CARD_FILE).exists():
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        scratch.unlink(missing_ok=True)  # a link is not renamed onto a link to the same file
