"""What an adapter is worth: every path over the same clips, in the form that is scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from transfer.data.audio import read_audio
from transfer.data.manifest import Clip
from transfer.evaluation.recogniser import Recogniser
from transfer.evaluation.scoring import Judged, judged

PathName = Literal["adapter", "greedy", "universal"]
"""The adapter with its lexicon, the adapter alone, and the base model's own decoder."""


@dataclass(frozen=True)
class Verdict:
    """What each path heard in one clip.

    Attributes:
        clip: what was said.
        adapter: as served: with the lexicon where there is one.
        greedy: the adapter's best symbols alone, which partials show.
        universal: what the base model's own decoder wrote; None where that path was not taken.
    """

    clip: Clip
    adapter: Judged
    greedy: Judged
    universal: Judged | None


def evaluate(
    recogniser: Recogniser,
    clips: Sequence[Clip],
    universal: Sequence[str] | None,
    advance: Callable[[], None] = lambda: None,
) -> list[Verdict]:
    """Hear every clip.

    Args:
        recogniser: what is judged.
        clips: audio and what is said in it.
        universal: what the universal path wrote for each; None leaves that path out.
        advance: called after each clip.
    """
    verdicts = []
    for number, clip in enumerate(clips):
        log_probs = recogniser.log_probs(read_audio(clip.audio))
        texts = (recogniser.final_text(log_probs), recogniser.partial_text(log_probs))
        final, partial = (judged(clip.text, text, clip.language) for text in texts)
        written = None
        if universal is not None:
            written = judged(clip.text, universal[number], clip.language)
        verdicts.append(Verdict(clip, final, partial, written))
        advance()
    return verdicts
