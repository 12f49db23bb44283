"""`panglot data|train|evaluate`: prepare speech, train an adapter, evaluate and publish it."""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from common.errors import InvalidRequest, PanglotError
from speech.adapters.card import Accuracy, ErrorRate, LexiconSettings
from speech.adapters.store import AdapterStore
from speech.base_model import load_base_model
from speech.lexicon import LexiconDecoder
from transfer.corpora import LANGUAGES
from transfer.data import manifest_path
from transfer.data import prepare as prepare_language
from transfer.evaluate import (
    Verdict,
    log_probs_of,
    rounded_to_half,
    summary,
    tune_lexicon,
    universal_texts,
)
from transfer.evaluate import evaluate as evaluate_adapter
from transfer.lexicon import build_lexicon
from transfer.manifest import read_manifest
from transfer.publish import publish
from transfer.run import RunRecord
from transfer.settings import TrainSettings
from transfer.train import Source
from transfer.train import train as train_adapter

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Teach Panglot a language: data prepare, then train, then evaluate.",
)
data_app = typer.Typer(no_args_is_help=True, help="Speech to teach with.")
app.add_typer(data_app, name="data")
console = Console()

Languages = Annotated[list[str], typer.Argument(help=f"Language tags, of: {' '.join(LANGUAGES)}.")]
Language = Annotated[str, typer.Argument(help="BCP-47 tag of the language, such as `it`.")]
Data = Annotated[Path, typer.Option(help="Folder of corpora and manifests.")]
Runs = Annotated[Path, typer.Option(help="Folder of training runs, one per language.")]
Models = Annotated[Path, typer.Option(help="Folder of published adapters.")]
Manifest = Annotated[
    Path | None, typer.Option(help="JSONL manifest of your own; default: what prepare wrote.")
]


@data_app.command()
def prepare(languages: Languages, data: Data = Path("data")) -> None:
    """Download free speech with transcripts, check it, and split it by text into a manifest."""
    table = Table("language", "train", "development", "held out", "left out")
    for language in languages:
        with console.status(f"{language}: downloading, listening, checking"):
            prepared = prepare_language(language, data)
        splits = (
            f"{prepared.count(split)} ({prepared.hours(split) * 60:.0f} min)"
            for split in ("train", "development", "held_out")
        )
        reasons = (f"{count} {reason}" for reason, count in prepared.reasons().most_common())
        table.add_row(language, *splits, ", ".join(reasons))
        rejected = "".join(
            f"{r.reason}\t{r.clip.audio}\t{r.clip.text}\n" for r in prepared.rejected
        )
        prepared.manifest.with_suffix(".rejected.tsv").write_text(rejected, encoding="utf-8")
    console.print(table)


@app.command()
def train(
    language: Language,
    start_from: Annotated[
        str | None, typer.Option(help="Published adapter to start from, such as `it@1`.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training clips.")] = 30,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3,
    rank: Annotated[int, typer.Option(min=1, help="Width of the bottleneck.")] = 64,
    layers: Annotated[
        str, typer.Option(help="Encoder layers to adapt, counted from 1, such as `3-6`.")
    ] = "3-6",
    seed: int = 0,
    manifest: Manifest = None,
    data: Data = Path("data"),
    runs: Runs = Path("runs"),
    models: Models = Path("models"),
) -> None:
    """Train an adapter on a manifest's training clips; an interrupted run goes on where it was."""
    settings = TrainSettings(
        epochs=epochs,
        learning_rate=learning_rate,
        rank=rank,
        layers=_layers(layers),
        seed=seed,
    )
    base = load_base_model(settings.base_model)
    source = None
    if start_from is not None:
        width = int(base.whisper.config.d_model)
        loaded = AdapterStore(models, base.fingerprint, width).load(start_from)
        source = Source(start_from, loaded.module.state_dict(), loaded.card.vocabulary)
    clips = read_manifest(manifest or manifest_path(language, data))
    record = train_adapter(base, clips, language, settings, runs / language, source)
    console.print(
        f"{language}: {record.steps} steps, development WER {record.development_wer:.3f}, "
        f"CER {record.development_cer:.3f} (greedy). Next: panglot evaluate {language}"
    )


@app.command()
def evaluate(
    language: Language,
    manifest: Manifest = None,
    version: Annotated[int, typer.Option(min=1, help="Version to publish.")] = 1,
    data: Data = Path("data"),
    runs: Runs = Path("runs"),
    models: Models = Path("models"),
) -> None:
    """Build and tune the lexicon, score all paths on held-out clips, and publish with a card."""
    run = runs / language
    record = RunRecord.read(run)
    base = load_base_model(record.settings.base_model)
    adapter = rounded_to_half(record.adapter(run, int(base.whisper.config.d_model)))
    clips = read_manifest(manifest or manifest_path(language, data))
    training, development, held_out = (
        [clip for clip in clips if clip.split == split]
        for split in ("train", "development", "held_out")
    )

    lexicon = build_lexicon([clip.text for clip in training], language, record.vocabulary)
    heard = [(clip, log_probs_of(base, adapter, clip)) for clip in development]
    tuned = tune_lexicon(lexicon, record.vocabulary, heard, hashlib.sha256(lexicon).hexdigest())
    decoder = LexiconDecoder.from_bytes(lexicon, record.vocabulary, tuned)
    with Progress(console=console) as progress:
        bar = progress.add_task(f"{language} universal decoder", total=len(held_out))
        cache = run / "universal.json"
        written = universal_texts(base, held_out, cache, lambda: progress.advance(bar))
    evaluation, verdicts = evaluate_adapter(
        base, adapter, record.vocabulary, decoder, held_out, written
    )
    card = publish(models, base, record, adapter, lexicon, tuned, evaluation, training, version)
    console.print(_report(verdicts, tuned))
    console.print(f"published {card.key} in {models / language}; served by: {card.served_by}")


def _layers(text: str) -> tuple[int, ...]:
    """`3-6` → (2, 3, 4, 5)."""
    match = re.fullmatch(r"([1-9]\d*)(?:-([1-9]\d*))?", text)
    if match is None or int(match[2] or match[1]) < int(match[1]):
        raise InvalidRequest(f"--layers {text!r}: give a range counted from 1, such as 3-6")
    return tuple(range(int(match[1]) - 1, int(match[2] or match[1])))


def _report(verdicts: list[Verdict], tuned: LexiconSettings) -> Table:
    title = f"held out; LM weight {tuned.lm_weight:g}, word score {tuned.word_score:g}"
    table = Table("clips", "path", "WER", "CER", title=title)
    for source in (None, *sorted({verdict.clip.source for verdict in verdicts})):
        part = [verdict for verdict in verdicts if source in (None, verdict.clip.source)]
        found = summary(part)
        paths: list[tuple[str, Accuracy]] = [
            ("greedy", found.greedy),
            ("with lexicon", found.adapter),
            ("universal", found.universal),
        ]
        for name, accuracy in paths:
            rates = (_rate(accuracy.wer), _rate(accuracy.cer))
            table.add_row(f"{source or 'all'} ({len(part)})", name, *rates)
    return table


def _rate(rate: ErrorRate) -> str:
    return f"{rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}]"


def main() -> None:
    """Run the command line; our own errors are one line, not a traceback."""
    try:
        app(prog_name="panglot")
    except PanglotError as error:
        Console(stderr=True).print(f"[red]error:[/red] {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
