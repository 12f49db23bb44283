"""The split of every clip: its source's, else one by speaker where that is possible, else by text.

A source's own splits stay, so that figures can be compared with other people's. Else whoever judges
should be heard for the first time: whole speakers are held out. That needs many speakers who read
different sentences; where there are few, or all read the same ones, sentences alone are held out.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from transfer.data.manifest import SPLITS, Split
from transfer.data.split import families_of, sizes, split_texts

FEWEST_SPEAKERS = 10
MOST_SET_ASIDE = 0.10
"""A larger share of clips is too much to give up for judging on new speakers."""
UNSAID = -1
_TRAIN, _DEVELOPMENT, _HELD_OUT = (SPLITS.index(s) for s in ("train", "development", "held_out"))

Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Corpus:
    """All usable clips of a language, as columns; int32 `[n_clip]` each.

    Attributes:
        texts: the distinct sentences, in the form that is scored.
        speakers: the distinct speakers.
        text_of: number of each clip's sentence.
        speaker_of: number of each clip's speaker, or `UNSAID`.
        given: number in `SPLITS` of the split its source gives it, or `UNSAID`.
    """

    texts: Sequence[str]
    speakers: Sequence[str]
    text_of: Numbers
    speaker_of: Numbers
    given: Numbers


@dataclass(frozen=True)
class Assignment:
    """What became of the clips.

    Attributes:
        split: of each clip; None where it is set aside.
        how: in words.
        aside: why clips are set aside, where some are.
    """

    split: list[Split | None]
    how: str
    aside: str = ""


def assign(corpus: Corpus) -> Assignment:
    """Decide the split of every clip; the same corpus in another order is split the same way."""
    if (corpus.given != UNSAID).any():
        return _as_given(corpus)
    return _by_speaker(corpus) or _by_text(corpus)


def _as_given(corpus: Corpus) -> Assignment:
    """The source's splits; a sentence in several goes where it judges most severely."""
    group = np.full(len(corpus.texts), UNSAID, np.int32)
    np.maximum.at(group, corpus.text_of, corpus.given)
    judged = group > _TRAIN
    how = "as the source splits it"
    changes = zip(corpus.given.tolist(), group[corpus.text_of].tolist(), strict=True)
    for (old, new), count in sorted(Counter(changes).items()):
        if old not in (new, UNSAID):
            how += f"; {count} moved from {SPLITS[old]} to {SPLITS[new]}, where their sentence is"
    lacking = [s for s in SPLITS[1:] if not (group == SPLITS.index(s)).any()]
    if lacking:
        group = _taken_from_training(corpus.texts, group, lacking)
        how += f"; {' and '.join(lacking)} taken from its training sentences"
    found = np.maximum(group[corpus.text_of], _TRAIN)
    # Whoever says nothing of splits must not enlarge a set that others publish figures on.
    aside = (corpus.given == UNSAID) & judged[corpus.text_of]
    return _assignment(found, ~aside, how, "the sentence is judged on by a source that has splits")


def _taken_from_training(texts: Sequence[str], group: Numbers, lacking: list[Split]) -> Numbers:
    trained = [text for text, number in zip(texts, group, strict=True) if number <= _TRAIN]
    wanted = {split: count for split, count in sizes(len(trained)).items() if split in lacking}
    split_of = split_texts(trained, wanted)
    taken = [
        SPLITS.index(split_of[text]) if text in split_of else number
        for text, number in zip(texts, group.tolist(), strict=True)
    ]
    return np.array(taken, np.int32)


def _by_text(corpus: Corpus) -> Assignment:
    split_of = split_texts(corpus.texts, sizes(len(corpus.texts)))
    split: list[Split | None] = [split_of[corpus.texts[text]] for text in corpus.text_of]
    return Assignment(split, "by sentence: the same speakers train and judge")


def _by_speaker(corpus: Corpus) -> Assignment | None:
    """Hold out speakers, or None where too few clips or sentences would be left to do so."""
    if len(corpus.speakers) < FEWEST_SPEAKERS:
        return None
    wanted = sizes(len(corpus.texts))
    group_of_speaker = _choose_speakers(corpus, wanted)
    # An unknown speaker might be any of them, so nobody judges by one: the last row trains.
    speaker_group = np.append(group_of_speaker, _TRAIN)[corpus.speaker_of]
    text_group = _text_groups(corpus, speaker_group)[corpus.text_of]
    kept = speaker_group == text_group
    enough = all(
        2 * len(np.unique(corpus.text_of[kept & (text_group == SPLITS.index(split))])) >= count
        for split, count in wanted.items()
    )
    if not enough or kept.mean() < 1 - MOST_SET_ASIDE:
        return None
    n_held_out = int((group_of_speaker == _HELD_OUT).sum())
    n_development = int((group_of_speaker == _DEVELOPMENT).sum())
    how = (
        f"by speaker: {n_held_out} of {len(corpus.speakers)} are held out, {n_development} are for "
        "development, nobody hears either in training"
    )
    return _assignment(text_group, kept, how, "speaker and sentence belong to different splits")


def _choose_speakers(corpus: Corpus, wanted: dict[Split, int]) -> Numbers:
    """By a hash of the name, until there are sentences enough; int32 `[n_speaker]`."""
    known = corpus.speaker_of != UNSAID
    pairs = np.unique(np.stack([corpus.speaker_of[known], corpus.text_of[known]]), axis=1)
    bounds = np.searchsorted(pairs[0], np.arange(len(corpus.speakers) + 1))
    group = np.full(len(corpus.speakers), _TRAIN, np.int32)
    ranked = sorted(
        range(len(corpus.speakers)),
        key=lambda s: hashlib.sha256(corpus.speakers[s].encode()).digest(),
    )
    for split, count in wanted.items():
        texts: set[int] = set()
        for speaker in ranked:
            own = pairs[1, bounds[speaker] : bounds[speaker + 1]].tolist()
            # A voice with more than that is most of what there is to learn from.
            if group[speaker] == _TRAIN and len(own) <= 2 * count and len(texts) < count:
                group[speaker] = SPLITS.index(split)
                texts.update(own)
    return group


def _text_groups(corpus: Corpus, speaker_group: Numbers) -> Numbers:
    """Each family of near copies goes where most of its clips are; int32 `[n_text]`."""
    number_of = {text: number for number, text in enumerate(corpus.texts)}
    family_of = np.zeros(len(corpus.texts), np.int64)
    families = families_of(sorted(corpus.texts))
    for number, family in enumerate(families):
        family_of[[number_of[text] for text in family]] = number
    votes = np.zeros((len(families), len(SPLITS)), np.int64)
    np.add.at(votes, (family_of[corpus.text_of], speaker_group), 1)
    group: Numbers = votes.argmax(axis=1)[family_of].astype(np.int32)
    return group


def _assignment(group: Numbers, kept: npt.NDArray[np.bool_], how: str, aside: str) -> Assignment:
    split = [SPLITS[g] if keep else None for g, keep in zip(group, kept, strict=True)]
    return Assignment(split, how, aside)
