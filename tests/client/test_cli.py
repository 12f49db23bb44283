"""The command line against a fake gateway: what reaches stdout, stderr and the shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from client import cli
from client.commands import handover
from tests.client.fake_gateway import FakeGateway, fake_gateway, transcribe_walloon
from transfer import __main__ as teaching

AWAY = "127.0.0.1:1"
NOTICE = "Walloon is served zero-shot by French (fr@1), its nearest relative: expect many errors"


def run(*arguments: str) -> Result:
    """The command line without its last line of defence, `main`."""
    return CliRunner().invoke(cli.app, list(arguments))


def run_main(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    """The exit code of `panglot ARGUMENTS…`."""
    monkeypatch.setattr(sys, "argv", ["panglot", *arguments])
    with pytest.raises(SystemExit) as raised:
        cli.main()
    return raised.value.code


def test_text_of_one_file(gateway: FakeGateway, wav: Path) -> None:
    result = run("transcribe", str(wav), "--server", gateway.address)
    assert (result.exit_code, result.stdout, result.stderr) == (
        0,
        "hello world\nhola a todos\n",
        "",
    )
    assert not gateway.config.partial_results


def test_json_is_one_line_per_file_and_a_bad_file_does_not_stop_the_others(
    gateway: FakeGateway, wav: Path, tmp_path: Path
) -> None:
    bad = str(tmp_path / "gone.wav")
    result = run(
        *("transcribe", str(wav), bad, str(wav), "--format", "json", "--server", gateway.address)
    )
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["file"] for line in lines] == [str(wav), str(wav)]
    assert result.exit_code == 1
    assert result.stderr == f"panglot: {bad}: no such file or directory\n"


def test_several_texts_are_told_apart(gateway: FakeGateway, wav: Path) -> None:
    result = run("transcribe", str(wav), str(wav), "--server", gateway.address)
    part = f"==> {wav} <==\nhello world\nhola a todos\n"
    assert result.stdout == 2 * part


def test_subtitles_go_to_a_folder(gateway: FakeGateway, wav: Path, tmp_path: Path) -> None:
    arguments = ("transcribe", str(wav), "--format", "srt", "--server", gateway.address)
    assert run(*arguments).stdout.startswith("1\n00:00:00,000 --> 00:00:00,900\nhello world\n")
    result = run(*arguments, "--output-dir", str(tmp_path / "out"))
    assert (result.exit_code, result.stdout) == (0, "")
    assert (tmp_path / "out" / "tone.srt").read_text().startswith("1\n00:00:00,000")


@pytest.mark.parametrize(
    ("options", "fixed", "candidates"),
    [
        ((), "", []),
        (("--language", "es"), "es", []),
        (("--candidates", "en, es,"), "", ["en", "es"]),
    ],
)
def test_languages_asked_for(
    options: tuple[str, ...],
    fixed: str,
    candidates: list[str],
    gateway: FakeGateway,
    wav: Path,
) -> None:
    assert run("transcribe", str(wav), "--server", gateway.address, *options).exit_code == 0
    assert gateway.config.language.fixed == fixed
    assert list(gateway.config.language.candidates.languages) == candidates


def test_hints(gateway: FakeGateway, wav: Path) -> None:
    hints = ("--hint", "es=4", "--hint", "pt-BR=0.25")
    assert run("transcribe", str(wav), *hints, "--server", gateway.address).exit_code == 0
    told = [(hint.language, hint.weight) for hint in gateway.config.language.hints]
    assert told == [("es", 4), ("pt-BR", 0.25)]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--hint", "es"), "TAG=WEIGHT, as in es=4"),
        (("--hint", "es="), "TAG=WEIGHT, as in es=4"),
        (("--hint", "es=much"), "--hint is 'es=much'"),
        (("--hint", "es=0"), "the hint for 'es' weighs 0: give 0.001 to 1000"),
        (("--hint", "es=-1"), "weighs -1"),
        (("--hint", "es=nan"), "weighs nan"),
        (("--hint", "es=2", "--hint", "es=3"), "--hint names es twice"),
        (("--hint", "es=2", "--language", "es"), "either --language or --hint, not both"),
    ],
)
def test_hints_that_cannot_be(options: tuple[str, ...], says: str) -> None:
    result = run("transcribe", "a.wav", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in " ".join(result.stderr.replace("│", " ").split())


def test_phrases_to_boost(gateway: FakeGateway, wav: Path) -> None:
    boost = ("--boost", "Ahmed Hassan", "--boost", "sertraline")
    assert run("transcribe", str(wav), *boost, "--server", gateway.address).exit_code == 0
    assert list(gateway.config.boosted_phrases) == ["Ahmed Hassan", "sertraline"]
    assert run("transcribe", str(wav), "--server", gateway.address).exit_code == 0
    assert list(gateway.config.boosted_phrases) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("transcribe", "a.wav", "--language", "en", "--candidates", "es"),
        ("transcribe", "a.wav", "--candidates", ","),
        ("transcribe", "a.wav", "b.wav", "--format", "vtt"),
        ("transcribe", "x/a.wav", "y/a.wav", "--format", "vtt", "--output-dir", "out"),
        ("transcribe", "a.wav", "--format", "docx"),
        ("serve", "--workers", "0"),
        ("translate",),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Error" in result.stderr
    assert result.stdout == ""


def test_raw_stdin(gateway: FakeGateway) -> None:
    arguments = ["transcribe", "-", "--sample-rate", "8000", "--server", gateway.address]
    result = CliRunner().invoke(cli.app, arguments, input=bytes(8000))
    assert result.stdout == "hello world\nhola a todos\n"
    assert gateway.config.audio.sample_rate_hz == 8000
    assert len(gateway.audio) == 8000


def test_realtime_takes_as_long_as_the_audio(
    gateway: FakeGateway, wav: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("client.blocking.time.sleep", waits.append)
    assert run("transcribe", str(wav), "--realtime", "--server", gateway.address).exit_code == 0
    assert len(waits) == 13
    assert waits[-1] == pytest.approx(1.25, abs=0.2)


def test_errors_are_one_line(
    wav: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_main(["transcribe", str(wav), "--server", AWAY], monkeypatch) == 1
    assert run_main(["languages", "--server", AWAY], monkeypatch) == 1
    line = f"panglot: no Panglot server answers at {AWAY}; start one with `panglot serve`\n"
    assert capfd.readouterr() == ("", 2 * line)


def test_unexpected_errors_are_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(cli, "app", broken)
    assert run_main([], monkeypatch) == 1
    assert capfd.readouterr().err == (
        "panglot: unexpected ZeroDivisionError: by zero (PANGLOT_DEBUG=1 shows where)\n"
    )


def test_languages(gateway: FakeGateway) -> None:
    table = run("languages", "--server", gateway.address).stdout.splitlines()
    assert table[1].split() == ["en", "English", "en-asterisk@1", "12.5%"]
    assert table[2].split() == ["cy", "Welsh", "universal"]
    as_json = json.loads(run("languages", "--server", gateway.address, "--json").stdout)
    assert as_json[1]["held_out_wer"] is None


def test_languages_that_are_asked_for(gateway: FakeGateway) -> None:
    result = run("languages", "wa", "cy", "--server", gateway.address)
    walloon, welsh = result.stdout.splitlines()[1:]
    assert " ".join(walloon.split()) == "wa Walloon fr@1 (zero-shot: French, similarity 0.75)"
    assert welsh.split() == ["cy", "Welsh", "universal"]
    assert result.stderr == f"panglot: {NOTICE}\n"
    as_json = json.loads(run("languages", "wa", "--server", gateway.address, "--json").stdout)
    assert as_json[0]["zero_shot"] == {"language": "fr", "name": "French", "similarity": 0.75}


def test_a_language_by_its_relative_is_announced_once(wav: Path) -> None:
    with fake_gateway(transcribe_walloon) as gateway:
        arguments = ("transcribe", str(wav), "--language", "wa", "--server", gateway.address)
        result = run(*arguments, str(wav))
        assert result.stdout.splitlines()[1] == "bondjoû"
        assert result.stderr == f"panglot: {NOTICE}\n"
        result = run(*arguments, "--format", "json")
        assert json.loads(result.stdout)["segments"][0]["zero_shot"]["language"] == "fr"
        assert result.stderr == f"panglot: {NOTICE}\n"


def test_status(gateway: FakeGateway) -> None:
    result = run("status", "--server", gateway.address)
    row = result.stdout.splitlines()[1].split()
    base = ["whisper-base", "01234567"]
    counts = ["1/8", "2/20", "75%", "512"]
    assert row[:9] == ["worker-1", "127.0.0.1:7001", *base, "serving", *counts]
    assert row[10:] == ["es-asterisk@1,", "en-asterisk@1"]
    assert "registry does not answer" in result.stderr
    as_json = json.loads(run("status", "--server", gateway.address, "--json").stdout)
    assert as_json["workers"][0]["adapter_hits"] == 3
    assert as_json["workers"][0]["base_fingerprint"] == "sha256:0123456789abcdef"
    assert as_json["workers"][0]["universal"] is True


def test_teaching_is_handed_over_with_all_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, arguments: became.append(arguments))
    monkeypatch.setattr(handover, "find_spec", lambda name: name)
    run("train", "--language", "cy", "--help")
    assert became[0][2:] == ["-m", "transfer", "train", "--language", "cy", "--help"]


def _commands(app: typer.Typer) -> set[str | None]:
    commands = {command.name for command in app.registered_commands}
    return commands | {group.name for group in app.registered_groups}


def test_every_command_that_teaches_is_handed_over() -> None:
    assert _commands(teaching.app) <= _commands(cli.app)


def test_help_shows_examples_and_starts_without_anything_heavy() -> None:
    assert "call.srt" in run("transcribe", "--help").stdout
    heavy = "{'av', 'grpc', 'jiwer', 'numpy', 'torch', 'common', 'gateway', 'speech'}"
    code = f"import sys, client.cli; print(sorted({heavy} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"
