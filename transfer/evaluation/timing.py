"""What a clip costs on each path: the same clips, one path after the other, on one core."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from speech.base_model import WhisperBase
from speech.precision import place
from speech.whisper.universal import UniversalRecognizer
from transfer.data.audio import Samples, read_audio
from transfer.data.manifest import Clip
from transfer.evaluation.recogniser import Recogniser
from transfer.evaluation.universal import BEAM, told_language


@dataclass(frozen=True)
class PathTimes:
    """Seconds of one core per clip, from samples to words; medians over the clips.

    Attributes:
        n_clip: clips that were timed.
        precision: of the weights, as a worker chooses it: `bfloat16` or `float32`.
        audio_s: duration of a clip.
        adapter_s: the adapter with its lexicon.
        universal_s: the universal path, beam 5; None where there is none.
        ratio: `adapter_s` over `universal_s`.
    """

    n_clip: int
    precision: str
    audio_s: float
    adapter_s: float
    universal_s: float | None
    ratio: float | None


def time_paths(
    recogniser: Recogniser,
    reference: WhisperBase | None,
    clips: Sequence[Clip],
    advance: Callable[[], None] = lambda: None,
) -> PathTimes:
    """Hear each clip on one path, then on the other, so that both meet the same machine.

    Both run in the precision that a worker serves in. Processor time with one thread is taken:
    alone on the machine it is the time that passes, and what else runs there adds little to it.

    Args:
        recogniser: the adapter's path.
        reference: has the universal path; None times the adapter's alone.
        clips: at least one; the first is heard once more beforehand, to warm up.
        advance: called after each clip.
    """
    dtype = place("cpu").dtype
    recogniser, reference = _in_precision(dtype, recogniser, reference)
    paths: list[Callable[[Samples, str], object]] = [
        lambda audio, _: recogniser.words(recogniser.log_probs(audio))
    ]
    if reference is not None:
        decoder, encoder = UniversalRecognizer(reference), reference.encoder
        told = {clip.language: told_language(reference, clip.language) for clip in clips}
        paths.append(
            lambda audio, language: decoder.recognize(
                encoder, torch.from_numpy(audio), told[language] or language, BEAM
            )
        )
    took: list[list[float]] = [[] for _ in paths]
    with _one_thread():
        for path in paths:
            path(read_audio(clips[0].audio), clips[0].language)
        for clip in clips:
            audio = read_audio(clip.audio)
            for path, times in zip(paths, took, strict=True):
                began = time.process_time()
                path(audio, clip.language)
                times.append(time.process_time() - began)
            advance()
    medians = [statistics.median(times) for times in took]
    universal_s = medians[1] if reference is not None else None
    return PathTimes(
        n_clip=len(clips),
        precision=str(dtype).removeprefix("torch."),
        audio_s=statistics.median(clip.duration_s for clip in clips),
        adapter_s=round(medians[0], 4),
        universal_s=None if universal_s is None else round(universal_s, 4),
        ratio=None if universal_s is None else round(medians[0] / universal_s, 4),
    )


def _in_precision(
    dtype: torch.dtype, recogniser: Recogniser, reference: WhisperBase | None
) -> tuple[Recogniser, WhisperBase | None]:
    """Copies with their weights in another type."""
    adapter, encoder = copy.deepcopy((recogniser.adapter, recogniser.base.encoder))
    base = replace(recogniser.base, encoder=encoder.to(dtype))
    served = replace(recogniser, adapter=adapter.to(dtype), base=base)
    if reference is None:
        return served, None
    whisper, its_encoder = copy.deepcopy((reference.whisper, reference.encoder))
    torch.nn.Module.to(whisper, dtype)  # its own `to` is not typed
    return served, replace(reference, whisper=whisper, encoder=its_encoder.to(dtype))


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
