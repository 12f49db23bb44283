"""The one form in which every corpus reaches the trainer: a JSONL manifest, one clip per line."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from common.errors import InvalidRequest
from transfer.text import normalise, scoring_form, unreadable

Split = Literal["train", "development", "held_out"]

FASTEST_LETTERS_PER_S = 28.0
"""Nobody speaks faster; CTC at 50 frames/s could not write it down either."""
SLOWEST_LETTERS_PER_S = 1.0
_LARGEST_JUDGED_FAMILY = 12
"""A larger family of near copies would be most of a held-out set: it is trained on."""
LONGEST_S = 28.0
"""What the encoder's positions reach (30 s), less the slowest speed perturbation."""


@dataclass(frozen=True)
class Clip:
    """One utterance.

    Attributes:
        audio: path relative to the manifest's folder, or absolute.
        text: the transcript as `transfer.text.normalise` writes it.
        language: BCP-47 tag.
        duration_s: seconds of audio.
        source: corpus it comes from.
        speaker: a name unique within the source.
        split: which use it is for; no text stands in two.
    """

    audio: str
    text: str
    language: str
    duration_s: float
    source: str
    speaker: str
    split: Split = "train"


@dataclass(frozen=True)
class Rejected:
    """A clip that cannot be used, and why."""

    clip: Clip
    reason: str


def read_manifest(path: Path) -> list[Clip]:
    """All clips of a manifest, audio paths made absolute.

    Raises:
        InvalidRequest: the file is missing, or a line is not a clip; the message names the line.
    """
    if not path.is_file():
        raise InvalidRequest(
            f"no manifest at {path}: run `panglot data prepare` first, or name another file"
        )
    clips = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            clip = Clip(**json.loads(line))
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"{path.name} line {number} is not a clip: {error}") from error
        clips.append(replace(clip, audio=str(path.parent / clip.audio)))
    return clips


def write_manifest(path: Path, clips: Iterable[Clip]) -> None:
    """Write clips as JSONL, in their order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(asdict(clip), ensure_ascii=False) for clip in clips)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def validate(clips: Sequence[Clip], folder: Path) -> tuple[list[Clip], list[Rejected]]:
    """Separate usable clips from the others.

    Args:
        clips: any clips, audio relative to `folder` or absolute.
        folder: where the manifest will lie.
    """
    good, bad = [], []
    for clip in clips:
        reason = _defect(clip, folder)
        if reason is None:
            good.append(clip)
        else:
            bad.append(Rejected(clip, reason))
    return good, bad


def _defect(clip: Clip, folder: Path) -> str | None:
    if not (folder / clip.audio).is_file():
        return "missing audio"
    if clip.text != normalise(clip.text, clip.language):
        return "text is not normalised"
    if (reason := unreadable(clip.text, clip.language)) is not None:
        return reason
    if not 0.1 <= clip.duration_s <= LONGEST_S:
        return "too short or too long"
    return _impossible_rate(len(clip.text) / clip.duration_s)


def _impossible_rate(letters_per_s: float) -> str | None:
    if letters_per_s > FASTEST_LETTERS_PER_S:
        return "impossibly fast"
    return "impossibly slow" if letters_per_s < SLOWEST_LETTERS_PER_S else None


def split_by_text(
    clips: Sequence[Clip],
    *,
    held_out: float = 0.10,
    development: float = 0.08,
    fewest_held_out: int = 66,
) -> list[Clip]:
    """Assign every clip a split so that no sentence, nor a near copy of it, is in two.

    Families of similar texts are ranked by a hash of their first member: the first are held out,
    the next are for development. The result depends on the texts alone, not on their order.
    """
    texts = sorted({scoring_form(clip.text, clip.language) for clip in clips})
    families = sorted(_families(texts), key=lambda family: _hash(family[0]))
    n_held_out = min(max(math.ceil(held_out * len(texts)), fewest_held_out), len(texts) // 4)
    n_development = math.ceil(development * len(texts))
    wanted: dict[Split, int] = {"held_out": n_held_out, "development": n_development}
    split_of: dict[str, Split] = {}
    for family in families:
        split: Split = "train"
        if len(family) <= _LARGEST_JUDGED_FAMILY:
            split = next((name for name, left in wanted.items() if left > 0), "train")
        if split != "train":
            wanted[split] -= len(family)
        split_of |= dict.fromkeys(family, split)
    return [replace(clip, split=split_of[scoring_form(clip.text, clip.language)]) for clip in clips]


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _families(texts: Sequence[str]) -> list[list[str]]:
    """Groups of texts linked by sharing half of the shorter one's word trigrams."""
    trigrams = {text: _trigrams(text) for text in texts}
    holders: dict[tuple[str, ...], list[str]] = {}
    for text in texts:
        for trigram in trigrams[text]:
            holders.setdefault(trigram, []).append(text)
    family_of = {text: [text] for text in texts}
    for text in texts:
        shared = Counter(other for trigram in trigrams[text] for other in holders[trigram])
        for other, count in shared.items():
            fewer = min(len(trigrams[text]), len(trigrams[other]))
            if 2 * count >= fewer and family_of[other] is not family_of[text]:
                merged = sorted(family_of[text] + family_of[other])
                family_of |= dict.fromkeys(merged, merged)
    return list({id(family): family for family in family_of.values()}.values())


def _trigrams(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return set(zip(words, words[1:], words[2:], strict=False))
