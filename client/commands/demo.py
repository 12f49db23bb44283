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
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE.svg", help="Also save what is printed as a picture."),
    ] = None,
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
    try:
        right = asyncio.run(demo.run(demo.read_clips(clips), stack, server, picture))
    except asyncio.CancelledError:  # SIGTERM; everything is stopped by now
        raise typer.Exit(143) from None
    if not right:
        raise typer.Exit(1)
