"""Hear, choose, learn, and again with the student as the teacher. Read `self_train` first.

Self-training with pseudo-labels: Xie et al., "Self-training with Noisy Student" (2020); Park et
al., "Improved Noisy Student Training for Automatic Speech Recognition" (2020). The noise is the
trainer's: speeds, disturbed audio, masks. The student is of the teacher's shape and starts from its
weights: minutes of speech are too few to begin anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from common.errors import InvalidRequest
from transfer.data.manifest import Clip, write_lines, write_manifest
from transfer.data.prepare import manifest_path
from transfer.pretraining.recordings import LeftOut, Recording
from transfer.progress import Bars
from transfer.self_training.choice import Chosen, choose, texts_judged
from transfer.self_training.hypotheses import Labelled, hear
from transfer.self_training.teacher import Teacher, find_teacher
from transfer.training.run import RunRecord
from transfer.training.train import train

LEVEL = "self-trained"


@dataclass(frozen=True)
class SelfTraining:
    """All there is to choose.

    Attributes:
        confidence: least confidence of what is learned from, 0 to 1.
        keep: and at most this share of the recordings, the surest.
        rounds: how often the student becomes the teacher, and one more.
        epochs: of each student; 0 writes the manifest and trains nothing.
        learning_rate: peak of each student's; None is the teacher's.

    Raises:
        InvalidRequest: a limit is out of range.
    """

    confidence: float
    keep: float
    rounds: int
    epochs: int
    learning_rate: float | None

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= 1:
            raise InvalidRequest(f"--confidence is {self.confidence:g}: it must be 0 to 1")
        if not 0 < self.keep <= 1:
            raise InvalidRequest(f"--keep is {self.keep:g}: it must be above 0, and up to 1")


@dataclass(frozen=True)
class Round:
    """What came of one round.

    Attributes:
        number: counts from 1.
        teacher: its key.
        folder: holds the manifest and the student's run, by the language's name.
        chosen: what was heard, and what was kept.
        left_out: recordings that could not be used.
        before: development CER and WER of the teacher; None of a published one.
        student: None where nothing was trained.
    """

    number: int
    teacher: str
    folder: Path
    chosen: Chosen
    left_out: tuple[LeftOut, ...]
    before: tuple[float, float] | None
    student: RunRecord | None

    @property
    def better(self) -> bool:
        """Whether the student is; where the teacher was not measured it is taken to be."""
        if self.student is None:
            return False
        return self.before is None or self.student.development_cer < self.before[0]


def self_train(
    language: str,
    labelled: Sequence[Clip],
    every_clip: Sequence[Clip],
    recordings: Sequence[Recording],
    how: SelfTraining,
    *,
    run: Path,
    out: Path,
    models: Path,
    adapter: str | None,
    bars: Bars,
    tell: Callable[[Round], None],
) -> list[Round]:
    """Teach `language` by what its adapter hears in `recordings`.

    Each round writes `out/round-N/<language>.jsonl`, with what was labelled by people and what was
    kept of the rest, `<language>.pseudo.tsv`, with all that was heard, and the student's run in
    `<language>/`. Rounds end where a student is no better on the development clips.

    Args:
        language: BCP-47 tag.
        labelled: what people have written down: learned from, and of split `development`.
        every_clip: of the manifest: audio that stands in these is left out, unless it is of split
            `train` and not in `labelled`.
        recordings: audio whose transcripts nobody knows.
        how: limits.
        run: the language's finished run.
        out: folder for the rounds.
        models: adapter store.
        adapter: key of a published adapter to begin with in place of the run.
        bars: shows progress.
        tell: called after each choice and after each training.

    Raises:
        InvalidRequest: there is no teacher, or nothing that it is sure enough of.
        StoreUnavailable: `out` cannot be written.
    """
    known = Labelled([*labelled, *(clip for clip in every_clip if clip.split != "train")])
    judged = texts_judged(every_clip)
    teacher = find_teacher(language, run, models, adapter, labelled, bars)
    rounds: list[Round] = []
    for number in range(1, how.rounds + 1):
        folder = out / f"round-{number}"
        if number > 1:
            student = out / f"round-{number - 1}" / language
            teacher = find_teacher(language, student, models, None, labelled, bars)
        advance = bars(f"{teacher.key} listens", len(recordings))
        heard, left_out = hear(teacher, recordings, known, advance)
        chosen = choose(heard, how.confidence, how.keep, judged)
        clips = [*labelled, *chosen.clips()]
        _write(folder, language, clips, chosen)
        found = Round(
            number, teacher.key, folder, chosen, tuple(left_out), teacher.development, None
        )
        tell(found)
        if not chosen.kept:
            raise InvalidRequest(_nothing_kept(found, how))
        if how.epochs == 0:
            return [*rounds, found]
        found = replace(found, student=_student(teacher, clips, language, how, folder))
        rounds.append(found)
        tell(found)
        if not found.better:
            break
    return rounds


def _student(
    teacher: Teacher, clips: Sequence[Clip], language: str, how: SelfTraining, folder: Path
) -> RunRecord:
    settings = replace(
        teacher.settings,
        epochs=how.epochs,
        patience=how.epochs,  # the best epochs are the last, in which the rate falls to zero
        learning_rate=how.learning_rate or teacher.settings.learning_rate,
    )
    base = teacher.recogniser.base
    start = teacher.start(language)
    return train(base, clips, language, settings, folder / language, start, level=LEVEL)


def _write(folder: Path, language: str, clips: Sequence[Clip], chosen: Chosen) -> None:
    absolute = [replace(clip, audio=str(Path(clip.audio).resolve())) for clip in clips]
    write_manifest(manifest_path(language, folder), absolute)
    lines = ["confidence\tverdict\ttext\taudio"]
    lines += [
        f"{each.confidence:.4f}\t{verdict}\t{each.text}\t{each.recording.path}"
        for each, verdict in chosen.verdicts
    ]
    write_lines(folder / f"{language}.pseudo.tsv", lines)


def _nothing_kept(found: Round, how: SelfTraining) -> str:
    heard = [each for each, _ in found.chosen.verdicts]
    if not heard:
        reasons = sorted({each.reason for each in found.left_out})
        return f"none of the {len(found.left_out)} recordings can be used: {'; '.join(reasons)}"
    surest = max(each.confidence for each in heard)
    return (
        f"nothing of {len(heard)} recordings was heard with a confidence of {how.confidence:g} and "
        f"can be learned from (the surest has {surest:.2f}): lower --confidence, or write more down"
    )
