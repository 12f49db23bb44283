"""The same sentence in every format, as a file and as bytes on the wire, is the same text."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
from panglot.v1 import transcription_pb2 as pb

from tests.stack.clips import clip, encoded, resampled, to_pcm, word_error_rate
from tests.stack.running import PANGLOT, RunningStack
from tests.stack.talking import END, Request, configuration, pieces, talk

SAID = clip("en-2")
CONTAINERS = {
    "wav": ("wav", "pcm_s16le", 16_000),
    "flac": ("flac", "flac", 44_100),
    "mp3": ("mp3", "libmp3lame", 44_100),
    "ogg": ("ogg", "libopus", 16_000),
    "opus": ("ogg", "libopus", 48_000),
    "m4a": ("ipod", "aac", 44_100),
    "webm": ("webm", "libopus", 48_000),
}


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """The clip by the suffix of its file."""
    return {name: encoded(SAID, *how) for name, how in CONTAINERS.items()}


def _raw() -> dict[str, tuple[Request, bytes]]:
    """Configuration and bytes of each raw encoding."""
    float32 = SAID.samples.astype("<f4").tobytes()
    stereo = np.stack([SAID.samples, SAID.samples], axis=1)
    streams = {
        f"s16le {rate}": (configuration(rate=rate, fixed="en"), to_pcm(resampled(SAID.path, rate)))
        for rate in (8_000, 16_000, 48_000)
    }
    streams["s16le stereo"] = (configuration(channels=2, fixed="en"), to_pcm(stereo))
    streams["f32le"] = (configuration(pb.AUDIO_ENCODING_PCM_F32LE, fixed="en"), float32)
    for name, encoding in (("mulaw", pb.AUDIO_ENCODING_MULAW), ("alaw", pb.AUDIO_ENCODING_ALAW)):
        wav = encoded(SAID, "wav", f"pcm_{name}", 8_000)
        data = wav[wav.index(b"data") + 8 :]
        streams[name] = (configuration(encoding, 8_000, fixed="en"), data)
    return streams


async def test_on_the_wire(stack: RunningStack, files: dict[str, bytes]) -> None:
    container = configuration(pb.AUDIO_ENCODING_CONTAINER, 0, fixed="en")
    streams = {**_raw(), **{name: (container, data) for name, data in files.items()}}
    # Of a length that cuts samples, frames and packets anywhere.
    talks = [
        talk(stack.address, [first, *pieces(data, 4001), END]) for first, data in streams.values()
    ]
    outcomes = dict(zip(streams, await asyncio.gather(*talks), strict=True))
    failed = {name: one.details for name, one in outcomes.items() if one.details}
    assert not failed
    rates = {name: word_error_rate(SAID.text, one.text) for name, one in outcomes.items()}
    assert max(rates.values()) <= 0.35, rates
    duration_ms = len(SAID.samples) // 16
    for name, outcome in outcomes.items():
        # Encoders add up to a frame at either end.
        assert abs(outcome.events[-1].ended.audio_ms - duration_ms) <= 120, name


async def test_by_the_command(stack: RunningStack, files: dict[str, bytes], tmp_path: Path) -> None:
    paths = []
    for name, data in {**files, "raw": SAID.pcm}.items():
        paths.append(tmp_path / f"sentence.{name}")
        paths[-1].write_bytes(data)
    command = (PANGLOT, "transcribe", "--server", stack.address, "--language", "en")
    running = await asyncio.create_subprocess_exec(
        *command, "--format", "json", *map(str, paths), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await running.communicate()
    assert running.returncode == 0
    documents = [json.loads(line) for line in output.decode().splitlines()]
    assert [document["file"] for document in documents] == [str(path) for path in paths]
    for document in documents:
        assert abs(document["duration_ms"] - len(SAID.samples) // 16) <= 120
        text = " ".join(segment["text"] for segment in document["segments"])
        assert word_error_rate(SAID.text, text) <= 0.35, document
        for segment in document["segments"]:
            assert segment["language"] == "en"
            assert segment["adapter"]
            words = segment["words"]
            assert words[0].keys() == {"text", "start_ms", "end_ms", "confidence", "language"}
            assert all(segment["start_ms"] <= w["start_ms"] <= w["end_ms"] for w in words)
            assert all(w["end_ms"] <= segment["end_ms"] for w in words)
