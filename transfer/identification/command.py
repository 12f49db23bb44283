"""`panglot language-id train`: teach the head that says which language is spoken."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from common.errors import InvalidRequest
from speech.base_model import EMBEDDED, load_whisper
from transfer.data.manifest import read_manifest
from transfer.identification.learn import LearnerSettings
from transfer.identification.train import HeadSettings, train_head
from transfer.progress import TerminalBars

app = typer.Typer(no_args_is_help=True, help="Tell languages apart: train the head that does.")


@app.callback()
def _group() -> None:
    """Tell languages apart: train the head that does."""


@app.command("train")
def train_command(
    data: Annotated[Path, typer.Option(help="Manifests, of `panglot data prepare`.")] = Path(
        "data"
    ),
    runs: Annotated[Path, typer.Option(help="For caches, and the heads of folds.")] = Path("runs"),
    out: Annotated[Path, typer.Option(help="Where the head is written.")] = Path(
        "models/language-id"
    ),
    base: Annotated[
        str, typer.Option(help="A Whisper model: embedded, a directory, a hub id.")
    ] = EMBEDDED,
    crops: Annotated[
        int, typer.Option(min=100, help="Of each language's speech.")
    ] = HeadSettings.per_language,
    ridge: Annotated[
        float, typer.Option(min=0, help="What keeps the head close to the model as it is.")
    ] = LearnerSettings.ridge,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = HeadSettings.seed,
) -> None:
    """Correct what the base model says of every language that has a manifest.

    The head is linear, on the state of the decoder that decides the language. It learns from crops
    of half a second to four, in other voices, rooms and lines, and from sounds in which nobody
    speaks. Corpora of a language that has two are left out in turn, so that the head is as sure as
    it is right of new speakers.

    Example: `panglot language-id train`, then restart the language identification service.
    """
    manifests = sorted(data.glob("*.jsonl"))
    if not manifests:
        raise InvalidRequest(f"no manifests in {data}: run `panglot data prepare` first")
    clips = [clip for path in manifests for clip in read_manifest(path)]
    model = load_whisper(base)
    settings = HeadSettings(crops, LearnerSettings(ridge=ridge), seed)
    console = Console(stderr=True)

    def tell(line: str) -> None:
        console.print(line, soft_wrap=True, highlight=False)

    with TerminalBars(console) as bars:
        card = train_head(model, clips, settings, runs / "language-id", out, bars, tell)
    typer.echo(f"{out}: {len(card.languages)} languages, temperature {card.temperature:g}")
