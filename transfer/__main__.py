"""`panglot data|train|evaluate|publish|…`: prepare speech, train an adapter, serve it."""

from __future__ import annotations

import sys

import typer

from common.errors import PanglotError
from transfer.data.command import app as data_app
from transfer.evaluation.calibrate_command import calibrate_command
from transfer.evaluation.command import evaluate_command
from transfer.identification.command import app as language_id_app
from transfer.models import app as models_app
from transfer.pretraining.command import pretrain_command
from transfer.probing.command import probe_command
from transfer.publishing.command import add_to as add_publish_commands
from transfer.self_training.command import self_train_command
from transfer.sources.command import sources_command
from transfer.training.command import train_command

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Teach Panglot a language: data prepare, train, evaluate, publish.",
)
app.add_typer(data_app, name="data")
app.add_typer(models_app, name="models")
app.add_typer(language_id_app, name="language-id")

app.command("probe", no_args_is_help=True)(probe_command)
app.command("train", no_args_is_help=True)(train_command)
app.command("pretrain", no_args_is_help=True)(pretrain_command)
app.command("self-train", no_args_is_help=True)(self_train_command)
app.command("evaluate")(evaluate_command)
app.command("sources", no_args_is_help=True)(sources_command)
add_publish_commands(app)
app.command("calibrate")(calibrate_command)


def main() -> None:
    """Run the command line; an error is one line that can be piped, not a traceback."""
    try:
        app(prog_name="panglot")
    except PanglotError as error:
        reason = str(error)
    except OSError as error:
        reason = f"{error.filename or 'a file'}: {error.strerror or error}"
    else:
        return
    typer.echo(typer.style("error: ", fg=typer.colors.RED) + reason, err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
