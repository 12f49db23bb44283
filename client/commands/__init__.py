"""One module per command; each imports what is heavy only when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

DEFAULT_SERVER = "127.0.0.1:50051"

Server = Annotated[
    str, typer.Option(metavar="HOST:PORT", envvar="PANGLOT_SERVER", help="The gateway.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
