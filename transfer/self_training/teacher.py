"""Who writes down what nobody has: a language's finished run, or its published adapter."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from common.errors import InvalidRequest
from speech.adapters.card import Calibration
from speech.base_model import load_base_model
from speech.calibration import fit
from transfer.data.audio import read_audio
from transfer.data.manifest import Clip
from transfer.evaluation.calibrate import Outcomes, Published
from transfer.evaluation.evaluate import evaluate
from transfer.evaluation.recogniser import Recogniser
from transfer.evaluation.scoring import Edits
from transfer.lexicon.tuning import tune
from transfer.progress import Bars
from transfer.training.run import RUN_FILE, WEIGHTS, RunRecord
from transfer.training.settings import TrainSettings
from transfer.training.source import Source, Start


@dataclass(frozen=True)
class Teacher:
    """An adapter as it is served, and what a student of it needs.

    Attributes:
        key: names it.
        recogniser: with its lexicon, unless the development clips are heard better without.
        calibration: of its confidence; None where there was too little speech to measure it.
        settings: with which a student of the same shape is trained.
        development: greedy CER and WER on the development clips; None of a published one.
    """

    key: str
    recogniser: Recogniser
    calibration: Calibration | None
    settings: TrainSettings
    development: tuple[float, float] | None

    def start(self, language: str) -> Start:
        """What the student starts from: all that the teacher knows."""
        weights = self.recogniser.adapter.state_dict()
        return Start((Source(self.key, weights, self.recogniser.vocabulary, language),))


def find_teacher(
    language: str,
    run: Path,
    models: Path,
    adapter: str | None,
    clips: Sequence[Clip],
    bars: Bars,
) -> Teacher:
    """The published `adapter` where one is named, else the run.

    Args:
        language: BCP-47 tag.
        run: folder of the finished run.
        models: adapter store.
        adapter: its key in the store, `<id>@<version>`.
        clips: labelled: the lexicon of a run is built of them, and tuned on those of split
            `development`.
        bars: shows progress.

    Raises:
        InvalidRequest: there is no finished run, or the adapter is of another language.
        AdapterNotFound, AdapterRefused: there is no such adapter, or it does not fit its base.
    """
    development = [clip for clip in clips if clip.split == "development"]
    if adapter is not None:
        return _best_path(_published(language, models, adapter), development)
    if not (run / RUN_FILE).is_file():
        raise InvalidRequest(
            f"there is no finished run in {run}, and somebody must write down what is said: "
            f"panglot train {language} first, or name a published adapter with --adapter"
        )
    record = RunRecord.read(run)
    base = load_base_model(record.base_model(run))
    training = [clip for clip in clips if clip.split == "train"]
    tuned = tune(base, record, run, training, development, bars)
    digest = hashlib.sha256((run / WEIGHTS).read_bytes()).hexdigest()
    teacher = Teacher(
        key=f"{run.name}@run-{digest[:8]}",
        recogniser=tuned.recogniser,
        calibration=tuned.calibration,
        settings=replace(record.settings, base_model=record.base_model(run)),
        development=(record.development_cer, record.development_wer),
    )
    return _best_path(teacher, development)


def _best_path(teacher: Teacher, development: Sequence[Clip]) -> Teacher:
    """The teacher without its lexicon, where it then hears more letters of `development`.

    A lexicon of a few minutes' text writes words that it knows in the place of words that it does
    not: of Belarusian, taught with 5 minutes, CER was 0.168 with it and 0.149 without (249 clips).
    """
    recogniser = teacher.recogniser
    verdicts = evaluate(recogniser, development, None)
    served, plain = (
        sum(Edits.of(path.characters()).errors for path in paths)
        for paths in ([each.adapter for each in verdicts], [each.greedy for each in verdicts])
    )
    if plain >= served:
        return teacher
    recogniser = replace(recogniser, decoder=None)
    outcomes = Outcomes.of(
        (clip, recogniser.words(recogniser.log_probs(read_audio(clip.audio))))
        for clip in development
    )
    calibration = fit(outcomes.confidence, outcomes.right)
    return replace(teacher, recogniser=recogniser, calibration=calibration)


def _published(language: str, models: Path, key: str) -> Teacher:
    found = Published.load(models, key)
    card = found.card
    if card.language.partition("-")[0] != language.partition("-")[0]:
        raise InvalidRequest(f"--adapter {key} hears {card.language}, not {language}")
    settings = TrainSettings(
        kind=card.kind, rank=card.rank, layers=card.layers, base_model=card.base_model
    )
    return Teacher(card.key, found.recogniser, card.calibration, settings, None)
