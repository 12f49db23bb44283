"""The arms of `benchmarks.transfer_ablations`: what is taught with an aid and without it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from wordfreq import top_n_list

from benchmarks.taught import Taught, Teaching, epochs_for, hear, teach
from speech.base_model import BaseModel
from transfer.data.manifest import Clip, Split
from transfer.evaluation.history import read_history
from transfer.phonemes.g2p import open_g2p
from transfer.phonemes.synthesis import spoken_clips
from transfer.pretraining.recordings import find_recordings
from transfer.probing.probe import probe
from transfer.probing.probes import ProbeSettings
from transfer.progress import TerminalBars
from transfer.self_training.rounds import SelfTraining, self_train
from transfer.self_training.teacher import find_teacher
from transfer.training.plan import clips_for
from transfer.training.run import RunRecord
from transfer.training.subset import subset
from transfer.training.train import train

_BATCH_S = 10.0
_SYNTHETIC_CLIPS, _SYNTHETIC_WORDS = 500, 1000
_SOURCE = {"be": "es@2", "el": "es@2", "vi": "es@2"}
"""Of the other scripts, so that the head has much to begin with or nothing."""


@dataclass(frozen=True)
class Bench:
    """What all ablations need.

    Attributes:
        base: the shared model.
        data, runs, models: folders.
        minutes: of labelled speech.
        steps: of each run from a source; from nothing three times as many.
        languages: of real speech, those with a source of another script.
    """

    base: BaseModel
    data: Path
    runs: Path
    models: Path
    minutes: float
    steps: int
    languages: tuple[str, ...]

    def clips(self, language: str, seed: int) -> list[Clip]:
        """Labelled speech, drawn with the seed."""
        return clips_for(language, self.data, self.minutes, seed)

    def teach(self, language: str, clips: Sequence[Clip], teaching: Teaching, seed: int) -> Taught:
        """In a folder that names all three."""
        named = replace(
            teaching,
            name=f"{language}-{teaching.name}-{seed}",
            given={"seed": seed, **teaching.given},
        )
        return teach(self.base, language, clips, named, self.runs, self.models)

    def from_source(
        self, language: str, clips: Sequence[Clip], name: str, **given: Any
    ) -> Teaching:
        """A run of `steps` from the language's source."""
        epochs = epochs_for(clips, self.steps, _BATCH_S)
        return Teaching(name, {"epochs": epochs, "patience": epochs, **given}, _SOURCE[language])


Arm = tuple[str, str, int, Taught]
"""Language, name of the arm, seed, and what came of it; the first arm of a seed is the base."""


def _head(bench: Bench, seeds: Sequence[int]) -> Iterator[Arm]:
    for language in bench.languages:
        for seed in seeds:
            clips = bench.clips(language, seed)
            for head in ("letters", "phonemes", "new"):
                teaching = replace(bench.from_source(language, clips, head), head=head)
                yield language, head, seed, bench.teach(language, clips, teaching, seed)


def _prototypes(bench: Bench, seeds: Sequence[int]) -> Iterator[Arm]:
    for language in bench.languages:
        for seed in seeds:
            clips = bench.clips(language, seed)
            for name, given in (("letters", {}), ("prototypes", {"prototypes": 0.1})):
                teaching = bench.from_source(language, clips, name, **given)
                yield language, name, seed, bench.teach(language, clips, teaching, seed)


def _freezing(bench: Bench, seeds: Sequence[int]) -> Iterator[Arm]:
    language = "be"
    for seed in seeds:
        clips = bench.clips(language, seed)
        with TerminalBars(Console(stderr=True)) as bars:
            probed, _ = probe(
                bench.base, clips, language, "letters", ProbeSettings(seed=seed), bars, half=True
            )
        epochs = epochs_for(clips, 3 * bench.steps, _BATCH_S)
        for name, frozen in (("default", 2), ("probe", probed.frozen)):
            layers = tuple(range(frozen, bench.base.encoder.n_layers))
            given = {"epochs": epochs, "patience": epochs, "rank": 64, "layers": layers}
            teaching = Teaching(f"nothing-{frozen}", given)
            yield language, name, seed, bench.teach(language, clips, teaching, seed)


def _self_training(bench: Bench, seeds: Sequence[int]) -> Iterator[Arm]:
    for language in bench.languages:
        for seed in seeds:
            clips = bench.clips(language, seed)
            every = clips_for(language, bench.data, None, seed)
            teaching = bench.from_source(language, clips, "letters")
            bench.teach(language, clips, teaching, seed)
            teacher = bench.runs / f"{language}-letters-{seed}"
            yield language, "labelled alone", seed, _further(bench, language, clips, teacher, seed)
            yield (
                language,
                "self-trained",
                seed,
                _student(bench, language, clips, every, teacher, seed),
            )


def _further(
    bench: Bench, language: str, clips: Sequence[Clip], teacher: Path, seed: int
) -> Taught:
    """The teacher, and as many steps again on what it was taught with."""
    run = bench.runs / f"{language}-further-{seed}"
    with TerminalBars(Console(stderr=True)) as bars:
        found = find_teacher(language, teacher, bench.models, None, clips, bars)
    epochs = epochs_for(clips, bench.steps // 2, _BATCH_S)
    settings = replace(found.settings, epochs=epochs, patience=epochs)
    record = train(bench.base, clips, language, settings, run, found.start(language))
    return Taught(record, read_history(run), hear(bench.base, record, run, clips))


def _student(
    bench: Bench,
    language: str,
    clips: Sequence[Clip],
    every: Sequence[Clip],
    teacher: Path,
    seed: int,
) -> Taught:
    """Half as many steps as the teacher's, on labelled and pseudo-labelled clips."""
    labelled = {clip.audio for clip in clips}
    hidden = [clip for clip in every if clip.split == "train" and clip.audio not in labelled]
    out = bench.runs / f"{language}-self-trained-{seed}"
    listed = out / "audio.jsonl"
    listed.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"audio": str(Path(clip.audio).resolve())}) for clip in hidden]
    listed.write_text("\n".join(lines), encoding="utf-8")
    more = [*clips, *hidden]
    how = SelfTraining(0.0, 0.5, 1, epochs_for(more, bench.steps // 2, _BATCH_S), None)
    run = out / "round-1" / language
    with TerminalBars(Console(stderr=True)) as bars:
        self_train(
            language,
            clips,
            every,
            find_recordings(language, listed),
            how,
            run=teacher,
            out=out,
            models=bench.models,
            adapter=None,
            bars=bars,
            tell=lambda found: None,
        )
    return _finished(bench, run, clips)


def _finished(bench: Bench, run: Path, clips: Sequence[Clip]) -> Taught:
    record = RunRecord.read(run)
    return Taught(record, read_history(run), hear(bench.base, record, run, clips))


def _tone(bench: Bench, seeds: Sequence[int]) -> Iterator[Arm]:
    spoken = _synthetic("vi", bench.runs / "synthetic-vi")
    for seed in seeds:
        clips = subset(spoken, bench.minutes, seed)
        for name, weight in (("letters", 0.0), ("tone", 0.3)):
            teaching = bench.from_source("vi", clips, name, tone=weight)
            yield "vi", name, seed, bench.teach("vi", clips, teaching, seed)


def _synthetic(language: str, folder: Path) -> list[Clip]:
    """Phrases of drawn frequent words, each of one split alone, read by espeak-ng's voices."""
    g2p, chance = open_g2p(language), random.Random(0)
    words = top_n_list(language, _SYNTHETIC_WORDS)
    texts = list(dict.fromkeys(" ".join(chance.sample(words, 4)) for _ in range(_SYNTHETIC_CLIPS)))
    parts: tuple[tuple[Split, int, int], ...] = (
        ("held_out", 0, 80),
        ("development", 80, 140),
        ("train", 140, len(texts)),
    )
    return [
        clip
        for split, first, last in parts
        for clip in spoken_clips(texts[first:last], split, g2p, folder)
    ]


ABLATIONS: dict[str, Callable[[Bench, Sequence[int]], Iterator[Arm]]] = {
    "head": _head,
    "prototypes": _prototypes,
    "self-training": _self_training,
    "tone": _tone,
    "freezing": _freezing,
}
