"""What the phoneme part of an evaluation needs from elsewhere, and why it is left out without."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from wordfreq import available_languages, top_n_list

from common.errors import AdapterNotFound, AdapterRefused, InvalidRequest, UnknownLanguage
from speech.adapters.card import read_card
from transfer.data.manifest import read_manifest
from transfer.data.prepare import manifest_path
from transfer.evaluation.findings import Findings, heard_by_path
from transfer.evaluation.phonemes import judge_phonemes
from transfer.phonemes.espeak import PhonemesUnavailable
from transfer.phonemes.g2p import open_g2p
from transfer.phonemes.inventory import phonemes_of

_KEY = re.compile(r"([\w-]+)@\d+")
_LISTED_WORDS = 2_000


def with_phonemes(
    findings: Findings, started_from: str, data: Path, models: Path
) -> tuple[Findings, list[str]]:
    """The same findings with their phoneme part, and what is to be said of it.

    Args:
        findings: of any language.
        started_from: holds the keys of the adapters that it started from, if any: `es@2,it@2`, or
            a card's line on the strategy.
        data: folder of manifests, whose training texts show what phonemes a source has.
        models: the store, where a source's card says its language.

    Returns:
        The findings as they were, and one line that says why, where the language has no phonemes
        here. Where only a source's are not known, all phonemes are judged and none are told apart.
    """
    try:
        g2p = open_g2p(findings.language)
    except (PhonemesUnavailable, UnknownLanguage) as error:
        return findings, [f"phonemes are left out: {error}"]
    sources: dict[str, frozenset[str]] = {}
    told = []
    for language in _languages(started_from, models):
        try:
            sources[language] = phonemes_of(_texts(language, data), open_g2p(language))
        except (UnknownLanguage, InvalidRequest) as error:
            told.append(f"phonemes that {language} has too are not told apart: {error}")
    found = judge_phonemes(heard_by_path(findings.verdicts), g2p, {} if told else sources)
    if found is None:
        told.append(f"phonemes are left out: the texts of {findings.language} have none")
    return replace(findings, phonemes=found), told


def _languages(started_from: str, models: Path) -> list[str]:
    """Languages of the adapters that are named, each once."""
    return list(dict.fromkeys(_language(name, models) for name in _KEY.findall(started_from)))


def _language(adapter: str, models: Path) -> str:
    try:
        return read_card(models / adapter).language
    except (AdapterNotFound, AdapterRefused):
        return adapter  # most are called as their language is


def _texts(language: str, data: Path) -> Sequence[str]:
    """What a source was taught, where that is at hand, else the commonest words."""
    manifest = manifest_path(language, data)
    if manifest.is_file():
        return [clip.text for clip in read_manifest(manifest) if clip.split == "train"]
    if language in available_languages():  # for others it would offer a related language's
        return top_n_list(language, _LISTED_WORDS)
    raise InvalidRequest(f"no texts of it: {manifest} is not there, and no list has its words")
