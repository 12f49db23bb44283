"""`panglot demo`: real recordings through the whole stack, live."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

CLIPS = Path(__file__).parents[2] / "tests" / "audio" / "clips.json"


def command(
    clips: Annotated[
        Path, typer.Option(help="List of clips with references.", show_default=False)
    ] = CLIPS,
    workers: Annotated[int, typer.Option(min=1, help="How many recognise speech.")] = 2,
    server: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Use this running server; start nothing."),
    ] = None,
) -> None:
    """Start the stack, stream real recordings in real time, and judge what comes back.

    Shows live captions, then for each clip the reference, what was heard, its word error rate and
    how long after the end of speech the text was there. Stops what it started.
    """
    from client import demo  # noqa: PLC0415
    from client.stack import StackOptions  # noqa: PLC0415

    stack = StackOptions(workers=workers, port=0)
    if not asyncio.run(demo.run(demo.read_clips(clips), stack, server)):
        raise typer.Exit(1)
