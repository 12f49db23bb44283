"""Decoding of files, their faults, and pacing."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from client.audio import open_audio
from client.errors import AudioFileError
from client.latency import SendLog, speech_end_ms
from client.pacing import Pacer
from tests.client.conftest import tone, write_wav

CODECS = {
    "wav": ("pcm_s16le", 44_100),
    "flac": ("flac", 22_050),
    "mp3": ("libmp3lame", 44_100),
    "ogg": ("libopus", 48_000),
    "opus": ("libopus", 48_000),
    "m4a": ("aac", 32_000),
    "webm": ("libopus", 48_000),
}


def encode(path: Path, codec: str, sample_rate_hz: int, duration_ms: int = 1000) -> Path:
    """A stereo tone, encoded by FFmpeg."""
    samples = np.frombuffer(tone(sample_rate_hz, duration_ms), "<i2")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=sample_rate_hz, layout="stereo")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(np.repeat(samples, 2)[None], "s16", "stereo")
        frame.sample_rate = sample_rate_hz
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decoded(path: Path | str, raw_sample_rate_hz: int | None = None) -> tuple[int, list[bytes]]:
    """Sample rate and pieces of a file."""
    with open_audio(path, raw_sample_rate_hz=raw_sample_rate_hz) as source:
        return source.format.sample_rate_hz, list(source)


@pytest.mark.parametrize("extension", CODECS)
def test_every_format_keeps_rate_length_and_level(extension: str, tmp_path: Path) -> None:
    codec, rate = CODECS[extension]
    found_rate, pieces = decoded(encode(tmp_path / f"tone.{extension}", codec, rate))
    samples = np.frombuffer(b"".join(pieces), "<i2")
    assert found_rate == rate
    assert len(samples) == pytest.approx(rate, rel=0.08)
    middle = samples[rate // 4 : rate // 2].astype(float)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(8000 / np.sqrt(2), rel=0.1)
    assert {len(piece) for piece in pieces[:-1]} == {2 * (rate // 10)}


def test_wav_is_exact(wav: Path) -> None:
    assert b"".join(decoded(wav)[1]) == tone(16_000, 1250)


def test_raw_files_have_the_rate_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.PCM"
    path.write_bytes(tone(8000, 250) + b"\0")
    assert decoded(path) == (16_000, [tone(8000, 250)[:3200], tone(8000, 250)[3200:]])
    rate, pieces = decoded(path, 8000)
    assert (rate, [len(piece) for piece in pieces]) == (8000, [1600, 1600, 800])


@pytest.mark.parametrize("raw_rate", [None, 16_000])
def test_stdin(raw_rate: int | None, wav: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pcm = tone(16_000, 1250)

    class Stdin:
        buffer = io.BufferedReader(io.BytesIO(pcm if raw_rate else wav.read_bytes()))

    monkeypatch.setattr(sys, "stdin", Stdin)
    rate, pieces = decoded("-", raw_rate)
    assert (rate, b"".join(pieces)) == (16_000, pcm)


def test_duration_comes_from_the_file(wav: Path) -> None:
    with open_audio(wav) as source:
        assert source.duration_ms == 1250


def test_damage_in_the_middle_is_left_out_with_a_warning(tmp_path: Path) -> None:
    path = encode(tmp_path / "tone.m4a", "aac", 32_000, 4000)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = np.random.default_rng(0).bytes(3000)
    path.write_bytes(data)
    with open_audio(path) as source:
        assert 3000 < source.duration_of(b"".join(source)) < 4000
        assert source.warnings == [f"{path}: damaged at 2.0 s; that part is left out"]


@pytest.mark.parametrize(("extension", "says"), [("webm", "ends at 2."), ("flac", "damaged at 2.")])
def test_file_cut_short_gives_what_there_is_and_a_warning(
    extension: str, says: str, tmp_path: Path
) -> None:
    path = encode(tmp_path / f"tone.{extension}", *CODECS[extension], 4000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with open_audio(path) as source:
        assert 2000 < source.duration_of(b"".join(source)) < 3000
    assert [warning.startswith(f"{path}: {says}") for warning in source.warnings] == [True]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.wav", None, "no such file"),
        ("empty.wav", b"", "is empty"),
        ("text.wav", b"To be or not to be. " * 100, "is not audio that can be read"),
        ("noise.mp3", np.random.default_rng(1).bytes(20_000), "could be decoded|can be read"),
        ("cut.m4a", b"\0\0\0\x18ftypM4A \0\0\0\0M4A isom", "is not audio that can be read"),
    ],
)
def test_faulty_files(name: str, content: bytes | None, says: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(AudioFileError, match=says) as raised:
        decoded(tmp_path / name)
    assert str(raised.value).startswith(str(tmp_path / name))


def test_folder_and_soundless_file(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match="is a folder"):
        decoded(tmp_path)
    with pytest.raises(AudioFileError, match="holds no audio"):
        decoded(write_wav(tmp_path / "nothing.wav", b""))


def test_pacer_waits_for_the_microphone_and_never_catches_up_twice() -> None:
    now = 100.0
    pacer = Pacer(lambda: now)
    assert pacer.delay_s(100) == pytest.approx(0.1)
    now = 100.1
    assert pacer.delay_s(200) == pytest.approx(0.1)
    now = 100.75
    assert pacer.delay_s(300) == 0
    assert pacer.delay_s(800) == pytest.approx(0.05)


def test_speech_ends_where_it_is_forty_decibels_down() -> None:
    rate = 8000
    speech = np.frombuffer(tone(rate, 500), "<i2")
    hum = (speech[: rate // 4] // 400).astype("<i2")
    silence = np.zeros(rate // 4, "<i2")
    assert speech_end_ms(np.concatenate([silence, speech, hum]), rate) == 750
    assert speech_end_ms(silence, rate) == 0
    assert speech_end_ms(silence[:0], rate) == 0


def test_send_log_finds_the_piece_that_held_a_sample() -> None:
    log = SendLog()
    log.sent(100, 5.0)
    log.sent(200, 5.1)
    assert [log.sent_at_s(ms) for ms in (0, 100, 101, 200)] == [5.0, 5.0, 5.1, 5.1]
    with pytest.raises(ValueError, match="201"):
        log.sent_at_s(201)
