"""What `panglot train` is about to do: which clips, which base, which source, and why so."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import langcodes

from common.errors import InvalidRequest
from speech.base_model import BaseModel, WhisperBase
from transfer.data.manifest import Clip, read_manifest
from transfer.data.prepare import manifest_path
from transfer.training.run import span
from transfer.training.settings import TrainSettings
from transfer.training.source import Fusion, Head, Start
from transfer.training.start.chosen import choose_start
from transfer.training.start.wording import told_start
from transfer.training.strategy import Family, LevelName, Strategy, choose
from transfer.training.subset import minutes_of, subset

_SERVED_RANK = 64
"""Widest adapter that a worker takes unless it is told otherwise."""


@dataclass(frozen=True)
class Plan:
    """All that a run needs, decided.

    Attributes:
        language: BCP-47 tag.
        clips: of all splits; of the training clips those that are used.
        base: loaded.
        source: what it starts from; None starts from nothing.
        strategy: level, settings and reasons.
    """

    language: str
    clips: tuple[Clip, ...]
    base: BaseModel
    source: Start | None
    strategy: Strategy


def make_plan(
    language: str,
    clips: list[Clip],
    base: BaseModel,
    level: LevelName | None,
    source: str | None,
    models: Path,
    given: Mapping[str, Any],
    fusion: Fusion | None = None,
    head: Head = "letters",
) -> Plan:
    """Decide what was not `given`.

    Args:
        language: BCP-47 tag.
        clips: as they will be used.
        base: the model to teach.
        level: of the strategy; None goes by the hours of training speech.
        source: adapters to start from, in the store `models`, as `--from` takes them.
        models: an adapter store.
        given: settings that were asked for.
        fusion, head: how it starts from them; see `Start`.

    Raises:
        InvalidRequest: it cannot be taught or started so; the message says why.
        AdapterNotFound, AdapterRefused: there is no such source, or it is of another base.
    """
    training = [clip for clip in clips if clip.split == "train"]
    start: Start | None = None
    shape: dict[str, Any] = {}
    whose = ""
    if source is not None:
        # What it starts from is of one shape; who asks for another is told so later.
        start, found = choose_start(language, source, fusion, base, models)
        shape = {"kind": found.kind.name, "rank": found.rank, "layers": found.layers}
        whose = f"as {start.sources[0].key} has it"
        start = _with_head(start, head, language, training)
    elif fusion is not None or head != "letters":
        option = "--fusion" if fusion is not None else "--head"
        raise InvalidRequest(f"{option} is of the adapters to start from: give them with --from")
    family: Family = "whisper" if isinstance(base, WhisperBase) else "wav2vec2"
    hours = minutes_of(training) / 60
    strategy = choose(hours, family, base.encoder.n_layers, level, {**shape, **given})
    taken = shape.keys() - given.keys()
    choices = tuple(
        replace(choice, why=whose) if choice.values.keys() <= taken else choice
        for choice in strategy.choices
    )
    return Plan(language, tuple(clips), base, start, replace(strategy, choices=choices))


def clips_for(language: str, data: Path, minutes: float | None, seed: int) -> list[Clip]:
    """The clips of a language in the manifest `data`, or in that of the folder `data`.

    Args:
        language: BCP-47 tag; clips in another language are passed over.
        data: a manifest, or the folder that `panglot data prepare` filled.
        minutes: of training speech, drawn with `seed`; None for all.
        seed: see `transfer.training.subset`.

    Raises:
        InvalidRequest: no such manifest, no clips of that language, or too few.
    """
    if not langcodes.tag_is_valid(language):
        raise InvalidRequest(f"{language!r:.60} is no language tag: give one such as it")
    path = manifest_path(language, data) if data.is_dir() or not data.suffix else data
    clips = read_manifest(path)
    spoken = [clip for clip in clips if _primary(clip.language) == _primary(language)]
    if not spoken:
        others = ", ".join(sorted({clip.language for clip in clips})) or "nothing"
        raise InvalidRequest(f"{path} holds no clips of {language}: it holds {others}")
    return spoken if minutes is None else subset(spoken, minutes, seed)


def layers_of(option: str, text: str | None, n_layers: int) -> tuple[int, ...] | None:
    """`3-6` → (2, 3, 4, 5); `all` → as many as there are; None stays None.

    Raises:
        InvalidRequest: it is no such range, or reaches beyond `n_layers`.
    """
    if text is None:
        return None
    if text == "all":
        return tuple(range(n_layers))
    match = re.fullmatch(r"([1-9]\d*)(?:-([1-9]\d*))?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if not first <= last <= n_layers:
        raise InvalidRequest(
            f"{option} {text!r:.40}: give all, or a range from 1 to {n_layers}, such as "
            f"{max(1, n_layers // 2)}-{n_layers}"
        )
    return tuple(range(first - 1, last))


def told(plan: Plan) -> Iterator[str]:
    """The plan in lines that a person understands."""
    training = [clip for clip in plan.clips if clip.split == "train"]
    development = [clip for clip in plan.clips if clip.split == "development"]
    strategy, settings = plan.strategy, plan.strategy.settings
    yield (
        f"{plan.language}: {minutes_of(training):.1f} minutes in {len(training)} clips to learn "
        f"from, {minutes_of(development):.1f} in {len(development)} to choose by"
    )
    yield f"strategy: {strategy.level}, {strategy.because}"
    n_layers = plan.base.encoder.n_layers
    for choice in strategy.choices:
        yield f"  {choice.name:<18}{_value(choice.name, settings, n_layers):<18}{choice.why}"
    if plan.source is not None:
        yield from told_start(plan.source)
    if settings.rank > _SERVED_RANK:
        yield (
            f"to serve it, workers need PANGLOT_WORKER_MAX_RANK={settings.rank} "
            f"(default: {_SERVED_RANK})"
        )


def _value(name: str, settings: TrainSettings, n_layers: int) -> str:
    values = {
        "adapter": settings.kind,
        "layers": f"{span(settings.layers)} of {n_layers}" if settings.layers else "none",
        "fine-tuned layers": f"{span(settings.unfrozen)} of {n_layers}"
        if settings.unfrozen
        else "none",
        "rank": settings.rank,
        "learning rate": f"{settings.learning_rate:g}",
        "head's rate": f"{settings.learning_rate:g}",
        "encoder's rate": f"{settings.encoder_learning_rate:g}",
        "warm-up": f"{settings.warmup_steps} steps",
        "accumulation": f"{settings.accumulation} x {settings.batch_s:g} s",
        "epochs": f"{settings.epochs}, patience {settings.patience}",
    }
    return str(values[name])


def _with_head(start: Start, head: Head, language: str, training: list[Clip]) -> Start:
    if head != "phonemes":
        return replace(start, head=head)
    # It needs a speech synthesiser's rules, which nothing else here does.
    from transfer.training.start.sounds import with_loans  # noqa: PLC0415

    return with_loans(start, language, [clip.text for clip in training])


def _primary(tag: str) -> str:
    return tag.partition("-")[0].lower()
