"""`panglot data`, `train`, `publish` and so on: what teaches a language, in another process."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

import typer

from client.errors import StackError

_TOOLS = {
    "data": "Prepare recordings and transcripts of a language.",
    "sources": "Rank the languages that a language could be taught from.",
    "probe": "Find how well each layer of an encoder serves a language already.",
    "train": "Teach a language: train an adapter on prepared data.",
    "pretrain": "Let a wav2vec 2.0 encoder hear a language before it is taught.",
    "self-train": "Teach a language by what its own adapter hears in audio without transcripts.",
    "evaluate": "Measure an adapter on held-out speech.",
    "publish": "Put what was evaluated into the store, and serve it.",
    "versions": "List the published versions, and how many of the streams hear each.",
    "promote": "Let the canary hear all streams.",
    "rollback": "Take a canary back, or return to the version that served before.",
    "calibrate": "Fit the confidence of a base model's own decoder.",
    "language-id": "Train the head that tells which language is spoken.",
    "models": "Bring in models made elsewhere: convert checkpoints, import MMS's adapters.",
}


def add_to(app: typer.Typer) -> None:
    """Add the commands; every argument, `--help` too, is theirs."""
    as_it_is = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    for name, help_text in _TOOLS.items():
        app.command(name, help=help_text, context_settings=as_it_is)(hand_over)


def hand_over(context: typer.Context) -> None:
    """Become `python -m transfer NAME ARGS…`; raises StackError where it is not installed."""
    missing = [module for module in ("transfer", "torch") if find_spec(module) is None]
    if missing:
        raise StackError(
            f"`panglot {context.info_name}` needs {missing[0]}: pip install 'panglot[server]'"
        )
    arguments = [sys.executable, "-P", "-m", "transfer", str(context.info_name), *context.args]
    os.execv(sys.executable, arguments)
