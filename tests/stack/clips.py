"""The shipped recordings as samples, with what is said in them."""

from __future__ import annotations

import functools
import io
import json
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from client.scoring import word_errors

AUDIO = Path(__file__).parents[1] / "audio"
LANGUAGES = ("en", "es", "fr", "it", "ru")
SILENCE = bytes(2 * 16_000)
"""One second."""

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    """A recording of one sentence."""

    path: Path
    language: str
    text: str

    @functools.cached_property
    def samples(self) -> Samples:
        """float32 `[n]`, 16 kHz mono."""
        return resampled(self.path, 16_000)

    @property
    def pcm(self) -> bytes:
        """The same as 16-bit samples."""
        return to_pcm(self.samples)


def clip(name: str) -> Clip:
    """The clip of that name, without `.flac`."""
    known = json.loads((AUDIO / "clips.json").read_text(encoding="utf-8"))
    entry = next(entry for entry in known if entry["file"] == f"{name}.flac")
    return Clip(AUDIO / entry["file"], entry["language"], entry["text"])


def resampled(path: Path, rate: int) -> Samples:
    """A file's audio, float32 `[n]` mono at `rate`."""
    resampler = av.AudioResampler("flt", "mono", rate)
    with av.open(str(path)) as file:
        frames = [out for frame in file.decode(audio=0) for out in resampler.resample(frame)]
    frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def to_pcm(samples: Samples) -> bytes:
    """float32 in [-1, 1] to 16-bit samples."""
    return (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


def encoded(source: Clip, container: str, codec: str, rate: int, options: str = "") -> bytes:
    """A clip as the bytes of another kind of file."""
    data = io.BytesIO()
    flags = {"movflags": options} if options else {}
    with av.open(data, "w", format=container, container_options=flags) as file:
        stream = file.add_stream(codec, rate=rate, layout="mono")
        assert isinstance(stream, av.AudioStream)
        samples = resampled(source.path, rate)
        frame = av.AudioFrame.from_ndarray(samples[None], "flt", "mono")
        frame.sample_rate = rate
        frame.pts = 0
        fitting = av.AudioResampler(
            stream.format, "mono", rate, stream.codec_context.frame_size or 1024
        )
        for piece in [*fitting.resample(frame), *fitting.resample(None)]:
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return data.getvalue()


def word_error_rate(reference: str, heard: str) -> float:
    """Words wrong per word of the reference."""
    wrong, of = word_errors(reference, heard)
    return wrong / of
