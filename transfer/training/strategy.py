"""How to teach, by how much speech there is. Pure: hours and an encoder to settings and reasons.

The published defaults (`PUBLISHED`) are for training an encoder's own weights. Here the encoder is
shared by all languages and stays as it is; what learns is an adapter that starts from nothing. So
they are kept where they say how much may be learned (rank, warm-up, accumulation, layers), and
replaced where another value was measured to be better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

from common.errors import InvalidRequest
from transfer.training.run import span
from transfer.training.settings import TrainSettings

Family = Literal["whisper", "wav2vec2"]
LevelName = Literal["zero-shot", "few-shot", "low", "medium", "high"]
LEVELS: tuple[LevelName, ...] = get_args(LevelName)

FEWEST_MINUTES = 1.0
"""With less, too few of a language's sounds are heard even once."""


@dataclass(frozen=True)
class Level:
    """One row of the published table.

    Attributes:
        name: as people call it.
        below_hours: of speech, where the next row begins.
        frozen: share of the encoder's layers, from below, that stay untouched; the table's "most"
            is taken as three quarters.
        rank, learning_rate, warmup_steps, accumulation: as in `TrainSettings`.
        epochs, patience: ours, the table has none: the more speech, the fewer passes. Minutes of
            speech are taught by steps instead; see `FEW_SHOT_STEPS`.
    """

    name: LevelName
    below_hours: float
    frozen: Fraction
    rank: int
    learning_rate: float
    warmup_steps: int
    accumulation: int
    epochs: int
    patience: int


PUBLISHED = (
    Level("few-shot", 1, Fraction(3, 4), 64, 1e-4, 100, 8, epochs=30, patience=10),
    Level("low", 10, Fraction(2, 3), 128, 3e-5, 500, 4, epochs=20, patience=5),
    Level("medium", 100, Fraction(1, 3), 256, 2e-5, 1000, 2, epochs=10, patience=3),
    Level("high", float("inf"), Fraction(0), 256, 1e-5, 2000, 1, epochs=5, patience=2),
)

ADAPTER_RATE = 1e-3
"""Measured; see above."""
FEW_SHOT_STEPS, FEW_SHOT_BATCH_S = 2400, 10.0
"""Catalan, ten minutes, development CER: batches of 24 s .200, of 10 s .196 in as many epochs."""
FEW_SHOT_EPOCHS = (20, 100)
WHISPER_FROZEN = Fraction(1, 3)
"""Layers 3-6 of 6: what 5 to 45 minutes were taught with."""


@dataclass(frozen=True)
class Choice:
    """Some settings that belong together, and why they are so."""

    name: str
    values: Mapping[str, Any]
    why: str


@dataclass(frozen=True)
class Strategy:
    """What was chosen.

    Attributes:
        level: its name.
        because: why this level.
        settings: of the run.
        choices: what is in them, for people to read.
    """

    level: LevelName
    because: str
    settings: TrainSettings
    choices: tuple[Choice, ...]


def choose(
    hours: float,
    family: Family,
    n_layers: int,
    level: LevelName | None = None,
    given: Mapping[str, Any] | None = None,
) -> Strategy:
    """The strategy for `hours` of training speech on an encoder of `n_layers`.

    Args:
        hours: of speech to learn from; 0 is zero-shot.
        family: of the encoder.
        n_layers: of the encoder; the frozen share is of them.
        level: a level by name, whatever the hours are.
        given: settings that somebody has decided; they replace what would have been chosen.

    Raises:
        InvalidRequest: there is too little speech to learn from, the family cannot be taught so, or
            a setting is outside its limits.
    """
    given = dict(given or {})
    because = "as asked"
    if level is None:
        level, because = _level_of(hours)
    if level == "zero-shot":
        return Strategy(level, because, TrainSettings(**(given | {"epochs": 0})), ())
    choices = _choices(hours, level, family, n_layers, given)
    chosen: dict[str, Any] = {}
    for choice in choices:
        chosen |= choice.values
    return Strategy(
        level=level,
        because=because,
        settings=TrainSettings(**(chosen | given)),
        choices=tuple(
            Choice(choice.name, choice.values, "as asked")
            if choice.values.keys() & given.keys()
            else choice
            for choice in choices
        ),
    )


def _level_of(hours: float) -> tuple[LevelName, str]:
    if hours <= 0:
        return "zero-shot", "there is no speech to learn from"
    if hours * 60 < FEWEST_MINUTES:
        raise InvalidRequest(
            f"{hours * 3600:.0f} seconds of speech to learn from are too few: at least "
            f"{FEWEST_MINUTES:g} minute is needed, and 5 make a first useful adapter"
        )
    above = 0.0
    for row in PUBLISHED[:-1]:
        if hours < row.below_hours:
            hours_said = f"{above:g} to {row.below_hours:g} hours" if above else "less than an hour"
            return row.name, f"for {hours_said} of speech"
        above = row.below_hours
    return PUBLISHED[-1].name, f"for {above:g} hours of speech and more"


def _choices(
    hours: float, level: LevelName, family: Family, n_layers: int, given: Mapping[str, Any]
) -> list[Choice]:
    row = next(row for row in PUBLISHED if row.name == level)
    # Who says how the adapter is to be does not want the encoder's own weights trained.
    wants_adapter = bool(given.keys() & {"kind", "rank", "layers"})
    if given.get("unfrozen") or (level == "high" and family == "wav2vec2" and not wants_adapter):
        if family == "whisper":
            raise InvalidRequest(
                "a Whisper encoder cannot be fine-tuned here: its decoder, which serves all other "
                "languages and tells them apart, would hear by the changed encoder; train an "
                "adapter, or give a wav2vec2 model with --base"
            )
        return [*_fine_tuning(n_layers), *_schedule(row)]
    adapter = (_kind(family), _layers(row, family, n_layers), _rank(row), _rate(row))
    schedule = _schedule(row)
    if level == "few-shot":
        schedule = _few_shot_schedule(row, hours, given.get("batch_s", FEW_SHOT_BATCH_S))
    return [*adapter, *schedule]


def _kind(family: Family) -> Choice:
    if family == "whisper":
        why = "a block after attention and one after feed-forward"
        return Choice("adapter", {"kind": "bottleneck"}, why)
    why = "as MMS publishes them, so that the same workers serve both"
    return Choice("adapter", {"kind": "attention"}, why)


def _layers(row: Level, family: Family, n_layers: int) -> Choice:
    frozen = min(row.frozen, WHISPER_FROZEN) if family == "whisper" else row.frozen
    layers = tuple(range(int(n_layers * frozen), n_layers))
    why = "those below hear sounds that languages share" if frozen else "enough to teach all"
    if frozen != row.frozen:
        why += f"; published: {span(tuple(range(int(n_layers * row.frozen), n_layers)))}"
    return Choice("layers", {"layers": layers}, why)


def _rank(row: Level) -> Choice:
    return Choice("rank", {"rank": row.rank}, "published for this much speech")


def _rate(row: Level) -> Choice:
    why = f"measured on minutes of speech; published: {row.learning_rate:g}"
    return Choice("learning rate", {"learning_rate": ADAPTER_RATE}, why)


def _fine_tuning(n_layers: int) -> list[Choice]:
    row = PUBLISHED[-1]
    head = {"kind": "attention", "rank": 1, "layers": ()}
    return [
        Choice(
            "fine-tuned layers",
            head | {"unfrozen": tuple(range(n_layers))},
            "enough to teach the encoder itself; workers of its own will serve it",
        ),
        Choice("encoder's rate", {"encoder_learning_rate": row.learning_rate}, "published"),
        Choice("head's rate", {"learning_rate": ADAPTER_RATE}, "it starts from nothing"),
    ]


def _schedule(row: Level) -> list[Choice]:
    epochs = {"epochs": row.epochs, "patience": row.patience}
    return [
        Choice("warm-up", {"warmup_steps": row.warmup_steps}, "published"),
        Choice("accumulation", {"accumulation": row.accumulation}, "published"),
        Choice("epochs", epochs, "the more speech, the fewer"),
    ]


def _few_shot_schedule(row: Level, hours: float, batch_s: float) -> list[Choice]:
    fewest, most = FEW_SHOT_EPOCHS
    epochs = round(FEW_SHOT_STEPS * batch_s / (hours * 3600))
    epochs = min(most, max(fewest, epochs))
    # The best epochs are the last, in which the learning rate falls to zero.
    passes = {"epochs": epochs, "patience": max(row.patience, epochs // 2)}
    short = {"accumulation": 1, "batch_s": FEW_SHOT_BATCH_S}
    why = f"measured: minutes make few steps; published: {row.accumulation}"
    return [
        Choice("warm-up", {"warmup_steps": row.warmup_steps}, "published"),
        Choice("accumulation", short, why),
        Choice("epochs", passes, f"for about {FEW_SHOT_STEPS} steps, within {fewest} to {most}"),
    ]
