"""What a teacher hears in recordings that nobody has written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.audio import SAMPLE_RATE_HZ, Samples
from common.errors import CorruptAudio
from speech.calibration import calibrated, share_right
from transfer.data.audio import read_audio
from transfer.data.checks import LONGEST_S, SHORTEST_S
from transfer.data.manifest import Clip, Split
from transfer.data.text import normalise
from transfer.pretraining.recordings import LeftOut, Recording
from transfer.self_training.teacher import Teacher

_USES: dict[Split, str] = {
    "train": "has a transcript already",
    "development": "is in the development clips",
    "held_out": "is in the held-out clips",
}


@dataclass(frozen=True)
class Hypothesis:
    """What was heard in a recording.

    Attributes:
        recording: it was heard in.
        duration_s: seconds of audio.
        text: as a manifest has it; may be empty.
        confidence: the expected share of its words that are right, 0 to 1.
    """

    recording: Recording
    duration_s: float
    text: str
    confidence: float


class Labelled:
    """The clips of a manifest, found again by what is heard in them, whatever they are called."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        """Of all splits; audio is only read where the length is the same."""
        # Of a recording that stands in several splits, the one that judges counts.
        judging_first = sorted(clips, key=lambda clip: clip.split == "train")
        self._by_path = {Path(clip.audio).resolve(): clip for clip in reversed(judging_first)}
        self._by_length: dict[float, list[Clip]] = {}
        for clip in judging_first:
            self._by_length.setdefault(round(clip.duration_s, 3), []).append(clip)

    def use_of(self, path: Path, samples: Samples) -> Split | None:
        """The split that the recording stands in; None where it is new."""
        if same := self._by_path.get(path.resolve()):
            return same.split
        alike = self._by_length.get(round(len(samples) / SAMPLE_RATE_HZ, 3), ())
        for clip in alike:
            try:
                other = read_audio(clip.audio)
            except (CorruptAudio, OSError):
                continue
            if np.array_equal(other, samples):
                return clip.split
        return None


def hear(
    teacher: Teacher,
    recordings: Sequence[Recording],
    labelled: Labelled,
    advance: Callable[[], None] = lambda: None,
) -> tuple[list[Hypothesis], list[LeftOut]]:
    """Write down every recording that can be heard and that no transcript is known of."""
    heard, left_out = [], []
    for recording in recordings:
        samples, reason = _read(recording.path)
        if not reason and (use := labelled.use_of(recording.path, samples)):
            reason = f"the same audio {_USES[use]}"
        if reason:
            left_out.append(LeftOut(recording.path, reason))
        else:
            heard.append(_written(teacher, recording, samples))
        advance()
    return heard, left_out


def _written(teacher: Teacher, recording: Recording, samples: Samples) -> Hypothesis:
    found = teacher.recogniser.words(teacher.recogniser.log_probs(samples))
    words = calibrated(found, teacher.calibration)
    text = normalise(" ".join(word.text for word in words), recording.language)
    duration_s = round(len(samples) / SAMPLE_RATE_HZ, 3)
    return Hypothesis(recording, duration_s, text, share_right(words))


def _read(path: Path) -> tuple[Samples, str]:
    """A recording's samples, and why they are of no use; empty where they are."""
    nothing = np.zeros(0, np.float32)
    try:
        path.stat()  # FFmpeg says no more than that it cannot decode
        samples = read_audio(path)
    except CorruptAudio:
        return nothing, "audio cannot be decoded"
    except OSError as error:
        return nothing, f"it cannot be read ({error.strerror})"
    seconds = len(samples) / SAMPLE_RATE_HZ
    if not SHORTEST_S <= seconds <= LONGEST_S:
        return nothing, f"not within {SHORTEST_S:g} and {LONGEST_S:g} s: cut it up"
    if not np.isfinite(samples).all():
        return nothing, "audio holds values that are no numbers"
    return samples, ""
