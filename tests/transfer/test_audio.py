"""What is heard of a recording."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from common.errors import CorruptAudio
from tests.transfer.speech_on_disk import noise, record
from transfer.data.audio import hear, read_audio


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3"])
def test_what_is_heard_is_what_is_read(tmp_path: Path, ending: str) -> None:
    path = record(tmp_path / f"a.{ending}", noise(1, 2.0))
    heard = hear(path, longest_s=28.0)
    assert heard.duration_s == len(read_audio(path)) / 16_000
    assert heard.duration_s == pytest.approx(2.0, abs=0.1)
    assert heard.loudest == pytest.approx(0.1, rel=0.3)
    assert heard.digest == hear(path, longest_s=28.0).digest
    assert heard.digest != hear(record(path, noise(2, 2.0)), longest_s=28.0).digest


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_samples_at_full_scale_are_counted_as_recorded(tmp_path: Path, ending: str) -> None:
    samples = np.sin(np.arange(32_000) * 2 * np.pi * 200 / 16_000).astype(np.float32)
    fine = hear(record(tmp_path / f"fine.{ending}", 0.5 * samples), 28.0)
    assert fine.at_full_scale == 0.0
    clipped = hear(record(tmp_path / f"clipped.{ending}", 2.0 * samples), 28.0)
    # A sine of twice the height is beyond it for two thirds of the time.
    assert clipped.at_full_scale == pytest.approx(2 / 3, abs=0.01)


def test_eight_bits_have_a_full_scale_too(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_u8", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.full((1, 16_000), 128, np.uint8), format="u8", layout="mono"
        )
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
    heard = hear(path, 28.0)
    assert (heard.at_full_scale, heard.loudest) == (0.0, 0.0)


def test_it_stops_soon_after_it_has_heard_enough(tmp_path: Path) -> None:
    path = record(tmp_path / "a.flac", np.tile(noise(1, 5.0), 12))
    assert 28.0 < hear(path, longest_s=28.0).duration_s < 30.0


def test_no_audio_is_none(tmp_path: Path) -> None:
    heard = hear(record(tmp_path / "empty.wav", noise(1, 0.0)), 28.0)
    assert (heard.duration_s, heard.loudest) == (0.0, 0.0)
    (tmp_path / "text.wav").write_text("none")
    with pytest.raises(CorruptAudio, match=r"text\.wav holds no audio"):
        hear(tmp_path / "text.wav", 28.0)
