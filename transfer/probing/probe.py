"""From clips to what a probe of them found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from common.errors import InvalidRequest
from speech.base_model import BaseModel
from transfer.data.manifest import Clip
from transfer.phonemes.g2p import open_g2p
from transfer.probing.probes import ProbeSettings, judge_probes, learn_probes
from transfer.probing.proposal import ProbeRecord, Target
from transfer.probing.states import hear
from transfer.progress import Bars
from transfer.training.left_out import told
from transfer.training.settings import default_device
from transfer.training.strategy import FEWEST_MINUTES
from transfer.training.subset import minutes_of
from transfer.training.vocabulary import vocabulary_of

_FIRST_PRIVATE = 0xE000
"""A phoneme may take several letters, and CTC classes are characters: each gets one of its own."""


def probe(
    base: BaseModel,
    clips: Sequence[Clip],
    language: str,
    target: Target,
    settings: ProbeSettings,
    bars: Bars,
    half: bool = True,
) -> tuple[ProbeRecord, tuple[str, ...]]:
    """Probe every layer of `base`: learn from split `train`, judge by `development`.

    Args:
        base: its encoder stays as it is.
        clips: audio paths absolute; other splits are ignored.
        language: BCP-47 tag.
        target: what the probes write.
        settings: how they learn.
        bars: shows progress.
        half: run the encoder in bfloat16.

    Returns:
        What was found, and lines about clips that were left out.

    Raises:
        InvalidRequest: there is too little speech, or it does not fit in memory.
    """
    training, development = (
        [clip for clip in clips if clip.split == split] for split in ("train", "development")
    )
    if minutes_of(training) < FEWEST_MINUTES or not development:
        raise InvalidRequest(
            f"{language} has {minutes_of(training):.1f} minutes of training clips and "
            f"{len(development)} development clips: a probe needs at least {FEWEST_MINUTES:g} "
            "minute to learn from, and clips to be judged by (panglot data prepare)"
        )
    if target == "phonemes":
        training, development = _as_phonemes(training, development, language)
    vocabulary = vocabulary_of(clip.text for clip in training)
    device = default_device()
    encoder = base.encoder.to(device).eval()
    heard, judged = hear(encoder, training, development, vocabulary, half, bars)
    left_out = tuple(told(training=heard, development=judged))
    probes = learn_probes(heard, len(vocabulary), settings, device, bars)
    record = ProbeRecord(
        language=language,
        base=base.name,
        fingerprint=base.fingerprint,
        target=target,
        minutes=round(minutes_of(example.clip for example in heard.examples), 2),
        judged_minutes=round(minutes_of(example.clip for example in judged.examples), 2),
        errors=judge_probes(probes, judged, vocabulary),
    )
    return record, left_out


def _as_phonemes(
    training: Sequence[Clip], development: Sequence[Clip], language: str
) -> tuple[list[Clip], list[Clip]]:
    """The clips with a character for each phoneme in the place of their text."""
    g2p = open_g2p(language)
    symbols: dict[str, str] = {}

    def written(text: str) -> str:
        return " ".join(
            "".join(symbols.setdefault(sound, chr(_FIRST_PRIVATE + len(symbols))) for sound in word)
            for word in g2p.phonemes(text)
        )

    return (
        [replace(clip, text=written(clip.text)) for clip in training],
        [replace(clip, text=written(clip.text)) for clip in development],
    )
