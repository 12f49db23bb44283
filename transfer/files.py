"""Files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

from common.errors import InvalidRequest


def write_whole(path: Path, content: str | bytes) -> None:
    """Write to a scratch file beside it, then take its place; folders are made.

    Raises:
        InvalidRequest: it cannot be written there, with the reason; what was there stays.
    """
    scratch = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_bytes(content.encode() if isinstance(content, str) else content)
        scratch.replace(path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise InvalidRequest(f"{path} cannot be written: {error.strerror}") from error
