"""`panglot probe`: how well each layer of an encoder already serves a language."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from speech.base_model import EMBEDDED, BaseModel, WhisperBase, load_base_model
from transfer.files import write_whole
from transfer.probing.chart import plot
from transfer.probing.probe import probe
from transfer.probing.probes import ProbeSettings
from transfer.probing.proposal import MOST_OF_THE_WAY, PROBE_FILE, ProbeRecord, Target
from transfer.progress import TerminalBars
from transfer.training import options as o
from transfer.training.plan import clips_for
from transfer.training.run import span
from transfer.training.strategy import Family, choose
from transfer.training.subset import minutes_of, subset

PLOT_FILE = "probe.svg"


def probe_command(
    language: o.Language,
    data: o.Data = Path("data"),
    base: o.Base = EMBEDDED,
    minutes: Annotated[
        float, typer.Option(metavar="N", help="Training speech that the probes learn from.")
    ] = 5.0,
    target: Annotated[
        Target, typer.Option(help="What they write; phonemes by espeak-ng's pronunciation.")
    ] = "letters",
    seed: o.Seed = 0,
    precision: o.Precision = None,
    runs: o.Runs = Path("runs"),
) -> None:
    """Find how well each layer of an encoder already serves a language.

    A linear probe reads the language's letters off what each layer makes of its speech, without
    changing the layer. Once most of what the best layer shows can be read, an adapter should begin:
    from that a number of layers to freeze is proposed, beside the default for this much speech.

    The table comes on stdout; plot and figures go into the language's folder of runs, where
    `panglot train LANGUAGE --freeze probe` finds them.

    `panglot probe ca`

    `panglot probe sw --base facebook/mms-300m --target phonemes`
    """
    clips = clips_for(language, data, None, seed)
    hours = minutes_of(clip for clip in clips if clip.split == "train") / 60
    if minutes < hours * 60:
        clips = subset(clips, minutes, seed)
    model = load_base_model(base)
    with TerminalBars(Console(stderr=True)) as bars:
        settings = ProbeSettings(seed=seed)
        record, left_out = probe(
            model, clips, language, target, settings, bars, half=precision != "fp32"
        )
    run = runs / language
    record.write(run)
    write_whole(run / PLOT_FILE, plot(record))
    for line in left_out:
        typer.echo(f"left out {line}", err=True)
    for line in table(record):
        typer.echo(line)
    typer.echo(proposed(record, default_frozen(model, hours), hours))
    typer.echo(f"written: {run / PROBE_FILE}, {run / PLOT_FILE}", err=True)


def table(record: ProbeRecord) -> Iterator[str]:
    """A line for each layer, in columns."""
    yield (
        f"{record.language}: {record.target} wrong by a linear probe on each layer of "
        f"{record.base}, {record.minutes:.1f} minutes to learn from, {record.judged_minutes:.1f} "
        "to judge by"
    )
    yield f"{'layer':<7}{'wrong':>7}  {'95% interval':<15}  of the way to the best"
    for layer, (error, way) in enumerate(zip(record.errors, record.way(), strict=True)):
        interval = f"{error.low:.1%}–{error.high:.1%}"
        yield f"{layer or 'input':<7}{error.value:>7.1%}  {interval:<15}  {way:>4.0%}"


def proposed(record: ProbeRecord, default: int, hours: float) -> str:
    """What follows for training, in a line."""
    n_layers = record.n_layers
    return (
        f"default {_frozen(default)} frozen for {hours * 60:.0f} minutes of speech; the probe "
        f"proposes {_frozen(record.frozen)}, the lowest that go {MOST_OF_THE_WAY:.0%} of the way "
        f"to the best layer. To train so: --freeze probe, which is --layers "
        f"{span(tuple(range(record.frozen, n_layers)))}"
    )


def default_frozen(base: BaseModel, hours: float) -> int:
    """How many layers the strategy leaves untouched with so much speech."""
    family: Family = "whisper" if isinstance(base, WhisperBase) else "wav2vec2"
    return choose(hours, family, base.encoder.n_layers).settings.first_layer


def _frozen(n_layers: int) -> str:
    return span(tuple(range(n_layers))) if n_layers else "none"
