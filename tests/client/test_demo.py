"""The demonstration against a fake gateway: what it sends, measures and concludes."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import grpc
import pytest
from panglot.v1 import transcription_pb2 as pb
from rich.text import Text

from client import AsyncClient, demo
from client.display import LanguageColours
from client.errors import AudioFileError, TranscriptionError
from client.pacing import Pacer
from client.scoring import word_errors, words_only
from client.stack import StackOptions
from client.types import Segment, Word
from tests.client.conftest import tone, write_wav
from tests.client.fake_gateway import FakeGateway, Requests, Responses, fake_gateway


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list of one clip that switches language, and no waiting for the microphone."""
    write_wav(tmp_path / "switch.wav", tone(16_000, 400) + bytes(3200))
    parts = [
        {"language": "en", "text": "Hello, world!", "start_ms": 0, "end_ms": 200},
        {"language": "es", "text": "Hola a todas.", "start_ms": 200, "end_ms": 400},
    ]
    entry = {"file": "switch.wav", "duration_ms": 500, "source": "x", "licence": "y"}
    (tmp_path / "clips.json").write_text(json.dumps([{**entry, "segments": parts}]))
    monkeypatch.setattr(Pacer, "delay_s", lambda *_: 0)
    return tmp_path / "clips.json"


async def test_verdict(
    clips: Path, gateway: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    right = await demo.run(demo.read_clips(clips), StackOptions(), gateway.address)
    shown = capsys.readouterr().out
    assert right
    assert list(gateway.config.language.candidates.languages) == ["en", "es"]
    assert len(gateway.audio) == 2 * (16_000 * 1500 // 1000)
    assert "en+es" in shown
    assert "worker-1" in shown
    assert "1 clips, 20.0% of words wrong, latency p50" in shown
    assert "1 of 1 in the right language" in shown


async def test_latency_counts_from_the_true_end_of_speech(
    clips: Path, gateway: FakeGateway
) -> None:
    (clip,) = demo.read_clips(clips)
    async with AsyncClient(gateway.address) as client:
        heard = await demo.stream(client, clip, ("en", "es"), lambda event: None)
    assert heard.latency_ms is not None
    assert 0 < heard.latency_ms < 5000
    assert heard.text == "hello world hola a todos"


async def test_server_that_never_ends_a_stream_is_given_up(
    clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def stall(_: FakeGateway, __: Requests, ___: grpc.ServicerContext) -> Responses:
        yield pb.TranscribeResponse(started=pb.StreamStarted(stream_id="s"))
        release.wait(5)

    monkeypatch.setattr(demo, "PATIENCE_S", -0.3)
    (clip,) = demo.read_clips(clips)
    with fake_gateway(stall) as gateway:
        async with AsyncClient(gateway.address) as client:
            with pytest.raises(TranscriptionError, match="DEADLINE_EXCEEDED"):
                await demo.stream(client, clip, ("en",), lambda event: None)
        release.set()


def test_wrong_language_is_marked() -> None:
    clip = demo.Clip(Path("a.flac"), ("en",), "hello")
    words = (Word("hallo", 0, 1, None, "de"),)
    segment = Segment(0, 0, 1, "de", "hallo", 0.5, "universal", words)
    heard = [demo.Heard(clip, (segment,), 300.0), demo.Heard(clip, (), None)]
    table = demo.results_table(heard, LanguageColours())
    columns = {str(column.header): list(column.cells) for column in table.columns}
    assert columns["heard"] == [Text("de", "bold red"), Text("nothing", "bold red")]
    assert columns["WER"] == ["100%", "100%"]
    assert columns["latency"] == ["300 ms", "–"]


def test_missing_clips() -> None:
    with pytest.raises(AudioFileError, match="come with the source code"):
        demo.read_clips(Path("nowhere/clips.json"))


def test_scoring_ignores_case_and_punctuation() -> None:
    assert words_only("¿Qué? L’heure — C'est-à-dire: 5€") == "qué lheure cest à dire 5"
    assert word_errors("Hello, world!", "hello word") == (1, 2)
    assert word_errors("One two", "") == (2, 2)
    assert word_errors("…", "uh huh") == (2, 0)
