"""`panglot data|train|evaluate|publish|…`: prepare speech, train an adapter, serve it."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from common.errors import PanglotError
from transfer.calibrate_command import calibrate_command
from transfer.data_command import app as data_app
from transfer.evaluate_command import evaluate_command
from transfer.models import app as models_app
from transfer.publish_command import add_to as add_publish_commands
from transfer.train_command import train_command

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Teach Panglot a language: data prepare, train, evaluate, publish.",
)
app.add_typer(data_app, name="data")
app.add_typer(models_app, name="models")

app.command("train", no_args_is_help=True)(train_command)
app.command("evaluate")(evaluate_command)
add_publish_commands(app)
app.command("calibrate")(calibrate_command)


def main() -> None:
    """Run the command line; our own errors are one line, not a traceback."""
    try:
        app(prog_name="panglot")
    except PanglotError as error:
        Console(stderr=True).print(f"[red]error:[/red] {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
