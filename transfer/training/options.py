"""The options of `panglot train`. Where one is not given, the strategy decides."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from speech.adapters.kinds import KindName
from transfer.training import source

_SPEECH = "Speech"
_LEARNS = "What learns (default: by the strategy)"
_STEPS = "How it learns (default: by the strategy)"
_HEARS = "How clips are heard"
_RUN = "The run"

Language = Annotated[str, typer.Argument(help="BCP-47 tag of the language, such as `it`.")]
Data = Annotated[
    Path,
    typer.Option(
        metavar="DIR|FILE",
        rich_help_panel=_SPEECH,
        help="Folder that `panglot data prepare` filled, or a manifest.",
    ),
]
Manifest = Annotated[Path | None, typer.Option(hidden=True, help="A manifest, as --data FILE.")]
Hours = Annotated[
    str,
    typer.Option(
        metavar="auto|N",
        rich_help_panel=_SPEECH,
        help="Training speech to use: all there is, or N hours drawn from it.",
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        metavar="N",
        rich_help_panel=_SPEECH,
        help="The same in minutes. Fewer minutes are a part of more, with the same seed.",
    ),
]
Base = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        rich_help_panel=_LEARNS,
        help="Base model: `embedded` (Whisper base), a directory in the hub's layout, or a hub "
        "id, of Whisper or of wav2vec 2.0 (MMS, XLS-R, XLSR-53).",
    ),
]
Strategy = Annotated[
    Literal["auto", "zero-shot", "few-shot", "low", "medium", "high"],
    typer.Option(
        rich_help_panel=_LEARNS,
        help="How much may be learned: by the hours of speech, or as asked.",
    ),
]
StartFrom = Annotated[
    str | None,
    typer.Option(
        "--start-from",
        "--from",
        metavar="ID@VERSION,…|auto",
        rich_help_panel=_LEARNS,
        help="Published adapters of other languages to start from, such as `it@1`, `es@2,it@2` or "
        "with weights `es@2=0.6,it@2=0.4`; or the three that `panglot sources` ranks best, "
        "`auto:2` the two. Their kind, rank and layers are taken.",
    ),
]
Fusion = Annotated[
    source.Fusion | None,
    typer.Option(
        rich_help_panel=_LEARNS,
        help="What several adapters make: the best one alone, their weighted mean, a mean that is "
        "learned for each block, or their bottlenecks side by side and a learned projection.  "
        "[default: best]",
    ),
]
Head = Annotated[
    source.Head,
    typer.Option(
        rich_help_panel=_LEARNS,
        help="What the new letters start as: the rows of the letters the adapters write; also, "
        "for others, of the letters that sound most like them; or nothing.",
    ),
]
Kind = Annotated[
    KindName | None,
    typer.Option(
        rich_help_panel=_LEARNS,
        help="Kind of adapter: this project's, or the one MMS publishes.",
    ),
]
Rank = Annotated[int | None, typer.Option(rich_help_panel=_LEARNS, help="Width of the bottleneck.")]
Layers = Annotated[
    str | None,
    typer.Option(
        metavar="A-B",
        rich_help_panel=_LEARNS,
        help="Encoder layers that get a block, counted from 1, such as 3-6; those below stay "
        "untouched.",
    ),
]
Freeze = Annotated[
    str | None,
    typer.Option(
        metavar="N|probe",
        rich_help_panel=_LEARNS,
        help="The same as --layers from N + 1 to the last: how many of the lowest stay untouched; "
        "or as many as `panglot probe` proposed.",
    ),
]
Unfreeze = Annotated[
    str | None,
    typer.Option(
        metavar="A-B",
        rich_help_panel=_LEARNS,
        help="Encoder layers to train themselves, with a head and no adapter: a full "
        "fine-tune, of wav2vec 2.0 only. It is served by workers of its own.",
    ),
]
Epochs = Annotated[
    int | None, typer.Option(min=1, rich_help_panel=_STEPS, help="Passes over the clips.")
]
LearningRate = Annotated[
    float | None, typer.Option(rich_help_panel=_STEPS, help="Peak learning rate.")
]
EncoderLearningRate = Annotated[
    float | None,
    typer.Option(rich_help_panel=_STEPS, help="The same of unfrozen encoder layers."),
]
WarmupSteps = Annotated[
    int | None,
    typer.Option("--warm-up", rich_help_panel=_STEPS, help="Optimiser steps to the peak."),
]
Accumulation = Annotated[
    int | None,
    typer.Option(rich_help_panel=_STEPS, help="Batches that make one optimiser step."),
]
BatchS = Annotated[
    float | None, typer.Option(rich_help_panel=_STEPS, help="Seconds of audio in a batch.")
]
WeightDecay = Annotated[float | None, typer.Option(rich_help_panel=_STEPS, help="Of AdamW.")]
ClipNorm = Annotated[float | None, typer.Option(rich_help_panel=_STEPS, help="Longest gradient.")]
Patience = Annotated[
    int | None,
    typer.Option(rich_help_panel=_STEPS, help="Epochs without a better one after which it stops."),
]
ChosenBy = Annotated[
    Literal["cer", "wer"] | None,
    typer.Option(
        rich_help_panel=_STEPS,
        help="Error rate on the development clips that the best epoch is chosen by.",
    ),
]
Prototypes = Annotated[
    float | None,
    typer.Option(
        metavar="WEIGHT",
        rich_help_panel=_STEPS,
        help="Of a second loss: a place for each phoneme in what the encoder says, those that the "
        "adapters of --from lack above all.  [default: 0, off]",
    ),
]
Tone = Annotated[
    str,
    typer.Option(
        metavar="WEIGHT|auto",
        rich_help_panel=_STEPS,
        help="Of a second loss: the tones that are said. `auto` is 0.3 for languages whose tones "
        "can be read off their texts, and 0, off, for others.",
    ),
]
Speeds = Annotated[
    str | None,
    typer.Option(
        metavar="X,Y,…",
        rich_help_panel=_HEARS,
        help="Speeds, one drawn per epoch; other than 1 with noise, silence and, now and "
        "then, a telephone's band.  [default: 1,0.9,1.1]",
    ),
]
TimeMasks = Annotated[
    int | None,
    typer.Option(rich_help_panel=_HEARS, help="Stretches of time masked.  [default: 2]"),
]
FeatureDropout = Annotated[
    float | None,
    typer.Option(rich_help_panel=_HEARS, help="Share of features masked.  [default: 0.1]"),
]
Seed = Annotated[int, typer.Option(rich_help_panel=_RUN, help="Of all that is drawn.")]
Precision = Annotated[
    Literal["bf16", "fp32"] | None,
    typer.Option(rich_help_panel=_RUN, help="Of matrix products.  [default: bf16]"),
]
MemoryGb = Annotated[
    float | None,
    typer.Option(
        rich_help_panel=_RUN,
        help="What the untouched layers make of the clips is kept in memory up to this, else "
        "made anew in each epoch.  [default: 4]",
    ),
]
Restart = Annotated[
    bool,
    typer.Option("--restart", rich_help_panel=_RUN, help="Forget the run that is there."),
]
CheckpointMinutes = Annotated[
    float,
    typer.Option(min=0, rich_help_panel=_RUN, help="Between checkpoints within an epoch."),
]
Runs = Annotated[
    Path, typer.Option(rich_help_panel=_RUN, help="Folder of training runs, one per language.")
]
Models = Annotated[
    Path, typer.Option(rich_help_panel=_RUN, help="Adapter store that --from is in.")
]
