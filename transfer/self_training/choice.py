"""Which hypotheses are sure enough to learn from. Pure."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from transfer.data.checks import pace_defect, text_defect
from transfer.data.manifest import Clip
from transfer.data.text import scoring_form
from transfer.self_training.hypotheses import Hypothesis

PSEUDO = "pseudo"
"""What a clip carries as `source` whose text an adapter wrote."""
KEPT = "kept"


@dataclass(frozen=True)
class Chosen:
    """What was kept of all hypotheses.

    Attributes:
        kept: the surest first.
        verdicts: beside each hypothesis, in their order: `kept`, or why it was not.
    """

    kept: tuple[Hypothesis, ...]
    verdicts: tuple[tuple[Hypothesis, str], ...]

    @property
    def mean_confidence(self) -> float:
        """Of those kept, each clip counting alike."""
        return sum(each.confidence for each in self.kept) / max(1, len(self.kept))

    def clips(self) -> list[Clip]:
        """As a manifest has them: to learn from, never to judge by."""
        return [
            Clip(
                audio=os.path.abspath(each.recording.path),
                text=each.text,
                language=each.recording.language,
                duration_s=each.duration_s,
                source=PSEUDO,
                speaker=each.recording.speaker,
                split="train",
                confidence=round(each.confidence, 4),
            )
            for each in self.kept
        ]


def choose(
    heard: Sequence[Hypothesis], confidence: float, keep: float, judged: Collection[str]
) -> Chosen:
    """Keep what is at least so sure, and of that no more than a share of all: the surest.

    Noisy student training filters by confidence too (Xie et al., 2020; Park et al., 2020).

    Args:
        heard: all hypotheses.
        confidence: least confidence, 0 to 1.
        keep: largest share of `heard`, above 0 and up to 1.
        judged: texts that are judged by, in the form that is scored: no text stands in two splits.
    """
    verdicts = {id(each): _verdict(each, confidence, judged) for each in heard}
    good = [each for each in heard if verdicts[id(each)] == KEPT]
    good.sort(key=lambda each: -each.confidence)
    most = max(1, int(keep * len(heard)))
    for each in good[most:]:
        verdicts[id(each)] = f"beyond the surest {keep:.0%}"
    return Chosen(tuple(good[:most]), tuple((each, verdicts[id(each)]) for each in heard))


def texts_judged(clips: Iterable[Clip]) -> set[str]:
    """Texts of the clips that are not learned from, in the form that is scored."""
    return {scoring_form(clip.text, clip.language) for clip in clips if clip.split != "train"}


def _verdict(each: Hypothesis, confidence: float, judged: Collection[str]) -> str:
    language = each.recording.language
    if not each.text:
        return "nothing was heard"
    defect = text_defect(each.text, language) or pace_defect(each.text, each.duration_s)
    if defect is not None:
        return defect.reason
    if scoring_form(each.text, language) in judged:
        return "says what is judged by"
    return KEPT if each.confidence >= confidence else "not sure enough"
