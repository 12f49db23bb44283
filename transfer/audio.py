"""Any audio file to what the encoder hears: 16 kHz mono float32."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from common.errors import CorruptAudio
from speech.features import SAMPLE_RATE_HZ

Samples = npt.NDArray[np.float32]


def read_audio(path: Path | str) -> Samples:
    """Decode a whole file with FFmpeg's libraries: float32 `[n_samples]` at 16 kHz in [-1, 1].

    Raises:
        CorruptAudio: the file holds no audio stream that can be decoded.
    """
    path = Path(path)
    # A bare G.722 file has no header to recognise it by.
    form = "g722" if path.suffix == ".g722" else None
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)
    blocks = []
    try:
        with av.open(str(path), format=form) as container:
            for frame in container.decode(audio=0):
                blocks += [part.to_ndarray()[0] for part in resampler.resample(frame)]
            blocks += [part.to_ndarray()[0] for part in resampler.resample(None)]
    except (av.FFmpegError, IndexError) as error:
        raise CorruptAudio(f"{path.name} holds no audio that can be decoded") from error
    return np.concatenate(blocks).astype(np.float32) if blocks else np.zeros(0, np.float32)


def write_flac(path: Path, samples: Samples) -> None:
    """Write float32 `[n_samples]` at 16 kHz as 16-bit FLAC."""
    pcm = (np.clip(samples, -1.0, 1.0) * 32767).round().astype(np.int16)
    with av.open(str(path), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE_HZ, layout="mono", format="s16")
        frame = av.AudioFrame.from_ndarray(pcm[None, :], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
