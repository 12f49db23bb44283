"""One evaluation from a manifest to its findings: which clips, every path over them, the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import InvalidRequest
from speech.adapters.card import LexiconSettings
from speech.base_model import BaseModel, WhisperBase, load_whisper
from transfer.data.manifest import Clip, Split
from transfer.data.text import scoring_form
from transfer.evaluation.calibrate import some
from transfer.evaluation.evaluate import evaluate
from transfer.evaluation.findings import Findings, confusions_by_path, judge_part, judge_parts
from transfer.evaluation.recogniser import Recogniser
from transfer.evaluation.timing import PathTimes, time_paths
from transfer.evaluation.universal import told_language, universal_hypotheses
from transfer.lexicon.more_words import NO_MORE_WORDS, MoreWords
from transfer.lexicon.tuning import Tuned, tune
from transfer.progress import Bars, no_bars
from transfer.training.run import RunRecord

NO_REFERENCE = "none"
_ALSO_SEEN: dict[Split, tuple[Split, ...]] = {
    "held_out": ("train", "development"),
    "development": ("train",),
    "train": (),
}
"""For each split that is judged, the others whose texts an adapter has learnt from."""


@dataclass(frozen=True)
class Chosen:
    """The clips to judge.

    Attributes:
        split: which of the manifest's.
        clips: those whose text nothing has learnt from.
        left_out: how many others there were.
        known_voices: whether all their speakers are in training too.
    """

    split: Split
    clips: tuple[Clip, ...]
    left_out: int
    known_voices: bool


def choose(clips: Sequence[Clip], split: Split, most: int | None = None) -> Chosen:
    """The clips of a split that can be judged fairly; `most` of them, drawn by chance.

    Raises:
        InvalidRequest: there are none, or audio is missing.
    """
    seen = {
        scoring_form(clip.text, clip.language) for clip in clips if clip.split in _ALSO_SEEN[split]
    }
    wanted = [clip for clip in clips if clip.split == split]
    fair = [clip for clip in wanted if scoring_form(clip.text, clip.language) not in seen]
    if not wanted:
        raise InvalidRequest(
            f"the manifest has no clip of split '{split}', and nothing else can be judged: prepare "
            "the data again, or name another --split"
        )
    if not fair:
        raise InvalidRequest(
            f"every one of the {len(wanted)} clips of split '{split}' says what is also in another "
            "split: an adapter cannot be judged on what it was taught; split by text "
            "(`panglot data prepare` does)"
        )
    left_out = len(wanted) - len(fair)
    fair = fair if most is None else some(fair, split, most)
    gone = [clip.audio for clip in fair if not Path(clip.audio).is_file()]
    if gone:
        raise InvalidRequest(
            f"{len(gone)} of {len(fair)} clips have no audio any more, the first is {gone[0]}: "
            "bring it back, or prepare the data again"
        )
    voices = {(clip.source, clip.speaker) for clip in clips if clip.split == "train"}
    known = all((clip.source, clip.speaker) in voices for clip in fair)
    return Chosen(split, tuple(fair), left_out, known)


def reference_model(base: BaseModel, language: str, name: str | None) -> WhisperBase | None:
    """Whose decoder is the universal path; None where there is none for the language.

    Args:
        base: what the adapter runs on; its own decoder is meant where `name` is None.
        language: BCP-47 tag.
        name: of a Whisper model, or `none`.

    Raises:
        ModelNotFound: there is no such Whisper model.
        InvalidRequest: it was asked for, and does not know the language.
    """
    if name == NO_REFERENCE:
        return None
    if name is None:
        return base if isinstance(base, WhisperBase) and told_language(base, language) else None
    reference = load_whisper(name)
    if told_language(reference, language) is None:
        raise InvalidRequest(f"--reference {name}: its decoder was never taught {language!r}")
    return reference


def assess(
    subject: str,
    recogniser: Recogniser,
    chosen: Chosen,
    *,
    reference: WhisperBase | None,
    cache: Path,
    weights: LexiconSettings | None = None,
    n_timed: int = 0,
    bars: Bars = no_bars,
) -> Findings:
    """Judge an adapter.

    Args:
        subject: its name, for the report.
        recogniser: the adapter as it is served.
        chosen: the clips, all of one language.
        reference: has the universal path; None leaves that out.
        cache: file that keeps what the universal path hears.
        weights: of the lexicon, for the report.
        n_timed: clips that both paths are timed on; 0 takes no times.
        bars: shows progress.
    """
    clips = chosen.clips
    written = None
    if reference is not None:
        advance = bars("universal model listens", len(clips))
        found = universal_hypotheses(reference, clips, cache, advance)
        written = [each.text for each in found]
    verdicts = evaluate(recogniser, clips, written, bars("adapter listens", len(clips)))
    return Findings(
        subject=subject,
        language=clips[0].language,
        base_model=recogniser.base.name,
        reference=reference.name if reference is not None else None,
        split=chosen.split,
        left_out=chosen.left_out,
        known_voices=chosen.known_voices,
        lexicon=weights,
        whole=judge_part("all", "all clips", verdicts),
        parts=judge_parts(verdicts),
        confusions=confusions_by_path(verdicts),
        times=_times(recogniser, reference, chosen, n_timed, bars),
        verdicts=tuple(verdicts),
    )


@dataclass(frozen=True)
class JudgedRun:
    """A finished run, what the development split made of it, and what came of judging it."""

    record: RunRecord
    tuned: Tuned
    findings: Findings


def assess_run(
    base: BaseModel,
    run: Path,
    clips: Sequence[Clip],
    chosen: Chosen,
    *,
    reference: WhisperBase | None,
    cache: Path,
    n_timed: int = 0,
    bars: Bars = no_bars,
    more: MoreWords = NO_MORE_WORDS,
) -> JudgedRun:
    """Tune a finished run's lexicon and judge it; the arguments are those of `tune` and `assess`.

    `clips` are of all splits: those taught with make the lexicon, the development ones tune it.

    Raises:
        InvalidRequest: there is no finished run.
    """
    record = RunRecord.read(run)
    training, development = (
        [clip for clip in clips if clip.split == split] for split in ("train", "development")
    )
    tuned = tune(base, record, run, training, development, bars, more)
    findings = assess(
        str(run),
        tuned.recogniser,
        chosen,
        reference=reference,
        cache=cache,
        weights=tuned.weights,
        n_timed=n_timed,
        bars=bars,
    )
    return JudgedRun(record, tuned, findings)


def _times(
    recogniser: Recogniser, reference: WhisperBase | None, chosen: Chosen, n_timed: int, bars: Bars
) -> PathTimes | None:
    timed = some(chosen.clips, chosen.split, n_timed)
    if not timed:
        return None
    advance = bars("both paths against the clock", len(timed))
    return time_paths(recogniser, reference, timed, advance=advance)
