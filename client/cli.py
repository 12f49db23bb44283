"""The command line, `panglot`. Commands live in `client.commands`; here they are put together."""

from __future__ import annotations

import os
import sys

import typer

from client.commands import demo, fleet, handover, serve, transcribe
from client.errors import ClientError

app = typer.Typer(
    name="panglot",
    help="Self-hosted, streaming, multilingual speech recognition.",
    epilog="Start with `panglot serve`, then in another terminal `panglot transcribe FILE`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve.command)
app.command("transcribe", no_args_is_help=True)(transcribe.command)
app.command("languages")(fleet.languages_command)
app.command("status")(fleet.status_command)
app.command("demo")(demo.command)
handover.add_to(app)


def main() -> None:
    """Run the command line and exit: 0; 1 for a failure, named in a line on stderr; 2 for usage."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except ClientError as error:
        fail(str(error))
    except Exception as error:
        if os.environ.get("PANGLOT_DEBUG"):
            raise
        fail(f"unexpected {type(error).__name__}: {error} (PANGLOT_DEBUG=1 shows where)")


def fail(message: str) -> None:
    """One line on stderr, then exit code 1."""
    typer.echo(f"panglot: {message}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
