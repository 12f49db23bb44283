"""Who is judged by: a source's own splits, new speakers, or new sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.transfer.speech_on_disk import sentence
from transfer.data.assign import UNSAID, Assignment, Corpus, assign
from transfer.data.manifest import SPLITS, Split

Clips = Sequence[tuple[str, str, Split | None]]
"""Sentence, speaker (empty: unknown) and given split."""


def corpus(clips: Clips) -> Corpus:
    texts = list(dict.fromkeys(text for text, _, _ in clips))
    speakers = list(dict.fromkeys(speaker for _, speaker, _ in clips if speaker))
    columns = [
        [texts.index(text) for text, _, _ in clips],
        [speakers.index(speaker) if speaker else UNSAID for _, speaker, _ in clips],
        [UNSAID if split is None else SPLITS.index(split) for _, _, split in clips],
    ]
    return Corpus(texts, speakers, *(np.array(column, np.int32) for column in columns))


def read_by(n_speakers: int, n_each: int) -> Clips:
    """Every speaker reads sentences of their own."""
    return [
        (sentence(speaker * n_each + n), f"speaker {speaker}", None)
        for speaker in range(n_speakers)
        for n in range(n_each)
    ]


def groups(clips: Clips, found: Assignment, column: int) -> dict[str, set[str]]:
    """Per split, the sentences (0) or speakers (1) in it."""
    held: dict[str, set[str]] = {}
    for clip, split in zip(clips, found.split, strict=True):
        if split is not None:
            held.setdefault(split, set()).add(str(clip[column]))
    return held


def apart(held: dict[str, set[str]]) -> bool:
    return sum(map(len, held.values())) == len(set().union(*held.values()))


def test_many_speakers_are_held_out_whole() -> None:
    clips = read_by(40, 10)
    found = assign(corpus(clips))
    assert found.how.startswith("by speaker: 7 of 40 are held out, 4 are for development")
    assert apart(groups(clips, found, 0))
    assert apart(groups(clips, found, 1))
    assert None not in found.split
    assert found.split.count("held_out") == 70


def test_a_shared_sentence_goes_where_most_read_it_and_the_rest_is_set_aside() -> None:
    clips = [*read_by(40, 10), *((sentence(999), f"speaker {n}", None) for n in range(40))]
    found = assign(corpus(clips))
    assert apart(groups(clips, found, 0))
    assert apart(groups(clips, found, 1))
    assert 0 < found.split.count(None) < 0.1 * len(clips)
    assert found.aside


def test_order_changes_nothing() -> None:
    clips = read_by(20, 8)
    forwards = dict(zip(clips, assign(corpus(clips)).split, strict=True))
    backwards = dict(zip(clips[::-1], assign(corpus(clips[::-1])).split, strict=True))
    assert forwards == backwards
    assert set(forwards.values()) == set(SPLITS)


def test_speakers_who_all_read_the_same_judge_by_sentence() -> None:
    clips = [(sentence(n), f"speaker {s}", None) for s in range(12) for n in range(40)]
    found = assign(corpus(clips))
    assert found.how.startswith("by sentence")
    assert apart(groups(clips, found, 0))
    assert None not in found.split


def test_few_or_unknown_speakers_judge_by_sentence() -> None:
    assert assign(corpus(read_by(9, 10))).how.startswith("by sentence")
    unknown = [(text, "", None) for text, _, _ in read_by(20, 5)]
    assert assign(corpus(unknown)).how.startswith("by sentence")


def test_one_voice_that_is_most_of_the_corpus_trains() -> None:
    clips = [*read_by(20, 6), *((sentence(500 + n), "the one", None) for n in range(200))]
    found = assign(corpus(clips))
    assert found.how.startswith("by speaker")
    assert "the one" in groups(clips, found, 1)["train"]


def test_unknown_speakers_train_where_others_judge() -> None:
    clips = [*read_by(40, 10), *((sentence(800 + n), "", None) for n in range(20))]
    found = assign(corpus(clips))
    assert found.how.startswith("by speaker")
    assert set(found.split[-20:]) == {"train"}


def test_given_splits_stay_and_a_sentence_in_two_judges() -> None:
    given: Clips = [
        ("one", "", "train"),
        ("two", "", "train"),
        ("three", "", "development"),
        ("four", "", "held_out"),
        ("two", "", "held_out"),
        ("two", "", "development"),
    ]
    found = assign(corpus(given))
    assert found.split == ["train", "held_out", "development", "held_out", "held_out", "held_out"]
    assert "1 moved from train to held_out" in found.how
    assert "1 moved from development to held_out" in found.how


def test_clips_without_a_split_train_beside_those_with_one() -> None:
    given: Clips = [
        ("one", "", "train"),
        ("two", "", "development"),
        ("three", "", "held_out"),
        ("four", "", None),
        ("three", "", None),
    ]
    found = assign(corpus(given))
    assert found.split == ["train", "development", "held_out", "train", None]
    assert "judged on" in found.aside


def test_a_split_the_source_lacks_is_taken_from_its_training() -> None:
    given: Clips = [(sentence(n), "", "train") for n in range(80)]
    given = [*given, *((sentence(n), "", "held_out") for n in range(100, 110))]
    found = assign(corpus(given))
    assert found.split.count("development") == 10
    assert set(found.split[80:]) == {"held_out"}
    assert "development taken from" in found.how
