"""Any audio file to what the encoder hears: 16 kHz mono float32."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from common.audio import SAMPLE_RATE_HZ
from common.errors import CorruptAudio

Samples = npt.NDArray[np.float32]

_FULL_SCALE = 0.999
_FRAME_SAMPLES = SAMPLE_RATE_HZ // 40


@dataclass(frozen=True)
class Heard:
    """What validation asks of a recording.

    Attributes:
        duration_s: seconds; where decoding stopped early, at least this much.
        at_full_scale: share of the samples as recorded that reach the format's limit.
        loudest: RMS of the loudest 25 ms, full scale 1.
        digest: 16 bytes that equal recordings share.
    """

    duration_s: float
    at_full_scale: float
    loudest: float
    digest: bytes


def read_audio(path: Path | str) -> Samples:
    """Decode a whole file with FFmpeg's libraries: float32 `[n_samples]` at 16 kHz in [-1, 1].

    Raises:
        CorruptAudio: the file holds no audio stream that can be decoded.
    """
    return _resampled(_decoded(Path(path)), Path(path))


def hear(path: Path | str, longest_s: float) -> Heard:
    """Listen to a recording, to no more than `longest_s` of it and the block that goes past.

    Raises:
        CorruptAudio: the file holds no audio stream that can be decoded.
    """
    counts = np.zeros(2, np.int64)

    def counted() -> Iterator[av.AudioFrame]:
        heard_s = 0.0
        for frame in _decoded(Path(path)):
            counts[:] += _at_full_scale(frame), frame.samples * frame.layout.nb_channels
            yield frame
            heard_s += frame.samples / frame.sample_rate
            if heard_s > longest_s:
                return

    samples = _resampled(counted(), Path(path))
    frames = samples[: len(samples) // _FRAME_SAMPLES * _FRAME_SAMPLES].reshape(-1, _FRAME_SAMPLES)
    return Heard(
        duration_s=len(samples) / SAMPLE_RATE_HZ,
        at_full_scale=float(counts[0] / max(counts[1], 1)),
        loudest=float(np.sqrt((frames**2).mean(axis=1).max(initial=0.0))),
        digest=hashlib.blake2b(samples.tobytes(), digest_size=16).digest(),
    )


def _decoded(path: Path) -> Iterator[av.AudioFrame]:
    # A bare G.722 file has no header to recognise it by.
    form = "g722" if path.suffix == ".g722" else None
    try:
        # A playlist among the recordings reaches for nothing but files.
        with av.open(str(path), format=form, options={"protocol_whitelist": "file"}) as container:
            yield from container.decode(audio=0)
    except (av.FFmpegError, IndexError) as error:
        raise CorruptAudio(f"{path.name} holds no audio that can be decoded") from error


def _resampled(frames: Iterator[av.AudioFrame], path: Path) -> Samples:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)
    try:
        blocks = [part.to_ndarray()[0] for frame in frames for part in resampler.resample(frame)]
        if blocks:
            blocks += [part.to_ndarray()[0] for part in resampler.resample(None)]
    except ValueError as error:  # raised for a frame unlike the first
        raise CorruptAudio(f"{path.name} changes its sample rate or channels midway") from error
    return np.concatenate(blocks).astype(np.float32) if blocks else np.zeros(0, np.float32)


def _at_full_scale(frame: av.AudioFrame) -> int:
    """How many samples of a frame, of any format, are at or beyond its limit."""
    samples = frame.to_ndarray()
    if np.issubdtype(samples.dtype, np.unsignedinteger):
        samples = samples.astype(np.int16) - 128
        return int(np.count_nonzero(np.abs(samples) >= _FULL_SCALE * 127))
    whole = np.issubdtype(samples.dtype, np.integer)
    limit = 2.0 ** (8 * samples.dtype.itemsize - 1) - 1.0 if whole else 1.0
    return int(np.count_nonzero(np.abs(samples.astype(np.float64)) >= _FULL_SCALE * limit))


def write_flac(path: Path, samples: Samples) -> None:
    """Write float32 `[n_samples]` at 16 kHz as 16-bit FLAC."""
    pcm = (np.clip(samples, -1.0, 1.0) * 32767).round().astype(np.int16)
    with av.open(str(path), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE_HZ, layout="mono", format="s16")
        frame = av.AudioFrame.from_ndarray(pcm[None, :], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
