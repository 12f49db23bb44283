"""Files that are there whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from common.errors import StoreUnavailable


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` once it is written and on the disk.

    Raises:
        StoreUnavailable: it cannot be written, for want of space or rights; what stood at `path`
            stands there still.
    """
    scratch = path.with_name(f".{path.name}.new")
    with writable(path.parent):
        try:
            with scratch.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise


def write_whole(path: Path, content: str | bytes) -> None:
    """The same for content that is at hand; folders are made.

    Raises:
        StoreUnavailable: as above.
    """
    with writable(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Says in a line why `folder` cannot be written, and what to do.

    Raises:
        StoreUnavailable: in the place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(
            f"{folder} cannot be written: {error.strerror or error}; what was there before is as "
            "it was: make room and give the same command again, a training run goes on from its "
            "last checkpoint"
        ) from error
