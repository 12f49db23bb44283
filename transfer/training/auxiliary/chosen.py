"""From settings to the tasks that they ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from common.errors import InvalidRequest
from transfer.phonemes.espeak import PhonemesUnavailable
from transfer.phonemes.tones import open_tones
from transfer.training.auxiliary.prototypes import Prototypes
from transfer.training.auxiliary.sounds import phonemes_for
from transfer.training.auxiliary.task import Auxiliary
from transfer.training.auxiliary.tone import ToneHead
from transfer.training.settings import TrainSettings
from transfer.training.source import Start

TONE_WEIGHT = 0.3
"""Where a tonal language has none given."""


def auxiliaries_for(
    settings: TrainSettings,
    language: str,
    vocabulary: Sequence[str],
    texts: Sequence[str],
    start: Start | None,
    d_model: int,
) -> list[Auxiliary]:
    """The tasks of a run; none unless its settings ask for them.

    Args:
        settings: of the run.
        language: BCP-47 tag.
        vocabulary: symbol of each CTC class.
        texts: of the training clips.
        start: the sources, whose phonemes are known already.
        d_model: width of the encoder.

    Raises:
        InvalidRequest: the language has no tones, or there is no source to lack phonemes.
        UnknownLanguage, PhonemesUnavailable: its texts cannot be read aloud here.
    """
    found: list[Auxiliary] = []
    if settings.prototypes:
        if start is None:
            raise InvalidRequest(
                "--prototypes is of the phonemes that sources lack: give adapters to start from "
                "with --from"
            )
        tags = [source.language for source in start.sources]
        phonemes = phonemes_for(language, texts, vocabulary, tags)
        found.append(Prototypes(phonemes, d_model, settings.prototypes))
    if settings.tone:
        reader = open_tones(language)
        if reader is None:
            raise InvalidRequest(
                f"--tone {settings.tone:g}: {language} has no tones that can be read here; leave "
                "it out, or give --tone auto"
            )
        found.append(ToneHead(reader, texts, d_model, settings.tone))
    return found


def tone_weight(text: str, language: str) -> float:
    """The weight that `--tone` stands for: a number, or for `auto` that of a tonal language.

    Raises:
        InvalidRequest: it is neither.
    """
    if text == "auto":
        try:
            return TONE_WEIGHT if open_tones(language) is not None else 0.0
        except PhonemesUnavailable:
            return 0.0
    try:
        return float(text)
    except ValueError as error:
        raise InvalidRequest(f"--tone {text!r:.40}: give auto, or a number") from error


def told(auxiliaries: Sequence[Auxiliary]) -> Iterator[str]:
    """What is learned beside the letters, in lines."""
    for task in auxiliaries:
        yield f"learned beside the letters, with weight {task.weight:g}: {task.told}"
