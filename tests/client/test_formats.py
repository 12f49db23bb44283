"""Exact output of all four formats."""

from __future__ import annotations

import json

from client.formats import Format, cues, render, zero_shot_notices
from client.types import FileTranscript, Language, LanguageSpan, Segment, Word, ZeroShot


def segment(start_ms: int, text: str, *, word_ms: int = 400, language: str = "en") -> Segment:
    """A segment whose words follow one another."""
    words = tuple(
        Word(word, start_ms + place * word_ms, start_ms + (place + 1) * word_ms, 0.5, language)
        for place, word in enumerate(text.split())
    )
    end_ms = start_ms + len(words) * word_ms + 50
    adapter = f"{language}-x@1"
    spans = (LanguageSpan(start_ms, end_ms, language, adapter, 0.98765),)
    return Segment(*(0, start_ms, end_ms, language, text, 0.87654321, adapter, words), spans=spans)


TRANSCRIPT = FileTranscript(
    "talk.mp3",
    5000,
    (
        segment(1250, "Ben & Jerry"),
        segment(2700, ""),
        Segment(
            *(2, 3_661_002, 3_662_003, "el", "καλημέρα", None, "universal", ()),
            zero_shot=ZeroShot("it", "Italian", 0.77777),
        ),
    ),
)


def test_text() -> None:
    assert render(TRANSCRIPT, Format.TEXT) == "Ben & Jerry\nκαλημέρα\n"


def test_json_is_one_line_with_exactly_these_keys() -> None:
    line = render(TRANSCRIPT, Format.JSON)
    assert line.index("\n") == len(line) - 1
    assert "καλημέρα" in line
    assert json.loads(line) == {
        "file": "talk.mp3",
        "duration_ms": 5000,
        "segments": [
            {
                "start_ms": 1250,
                "end_ms": 2500,
                "language": "en",
                "text": "Ben & Jerry",
                "confidence": 0.8765,
                "adapter": "en-x@1",
                "zero_shot": None,
                "spans": [
                    {
                        "start_ms": 1250,
                        "end_ms": 2500,
                        "language": "en",
                        "adapter": "en-x@1",
                        "language_probability": 0.9877,
                        "zero_shot": None,
                    }
                ],
                "words": [
                    {
                        "text": text,
                        "start_ms": 1250 + 400 * place,
                        "end_ms": 1650 + 400 * place,
                        "confidence": 0.5,
                        "language": "en",
                    }
                    for place, text in enumerate(["Ben", "&", "Jerry"])
                ],
            },
            {
                "start_ms": 2700,
                "end_ms": 2750,
                "language": "en",
                "text": "",
                "confidence": 0.8765,
                "adapter": "en-x@1",
                "zero_shot": None,
                "spans": [
                    {
                        "start_ms": 2700,
                        "end_ms": 2750,
                        "language": "en",
                        "adapter": "en-x@1",
                        "language_probability": 0.9877,
                        "zero_shot": None,
                    }
                ],
                "words": [],
            },
            {
                "start_ms": 3_661_002,
                "end_ms": 3_662_003,
                "language": "el",
                "text": "καλημέρα",
                "confidence": None,
                "adapter": "universal",
                "zero_shot": {"language": "it", "name": "Italian", "similarity": 0.7778},
                "spans": [],
                "words": [],
            },
        ],
    }


def test_a_notice_for_each_language_by_a_relative() -> None:
    languages = (
        Language("wa", "Walloon", "fr@1", None, ZeroShot("fr", "French", 0.7)),
        Language("en", "English", "universal", None),
        Language("csb", "Kashubian", "universal", None, ZeroShot("pl", "Polish", None)),
    )
    assert zero_shot_notices(languages) == [
        "Walloon is served zero-shot by French (fr@1), its nearest relative: expect many errors",
        "Kashubian is served zero-shot by Polish (universal), chosen for it: expect many errors",
    ]


def test_srt() -> None:
    assert render(TRANSCRIPT, Format.SRT) == (
        "1\n00:00:01,250 --> 00:00:02,500\nBen & Jerry\n"
        "\n"
        "2\n01:01:01,002 --> 01:01:02,003\nκαλημέρα\n"
    )


def test_vtt() -> None:
    assert render(TRANSCRIPT, Format.VTT) == (
        "WEBVTT\n"
        "\n"
        "00:00:01.250 --> 00:00:02.500\nBen &amp; Jerry\n"
        "\n"
        "01:01:01.002 --> 01:01:02.003\nκαλημέρα\n"
    )


def test_silence_is_an_empty_document() -> None:
    silence = FileTranscript("silence.wav", 1000, ())
    rendered = [render(silence, output) for output in (Format.TEXT, Format.SRT, Format.VTT)]
    assert rendered == ["", "", "WEBVTT\n"]


def test_long_segments_are_cut_between_words() -> None:
    by_length = list(cues(segment(0, " ".join(["abcdefghi"] * 12), word_ms=100)))
    assert by_length == [
        (0, 800, " ".join(["abcdefghi"] * 8)),
        (800, 1250, " ".join(["abcdefghi"] * 4)),
    ]
    by_time = list(cues(segment(0, "one two three four", word_ms=3000)))
    assert by_time == [(0, 6000, "one two"), (6000, 12_050, "three four")]
    shown = render(FileTranscript("x", 1, (segment(0, "abcdefghi " * 7 + "end"),)), Format.SRT)
    assert shown.splitlines()[2:] == ["abcdefghi " * 3 + "abcdefghi", "abcdefghi " * 3 + "end"]


def test_scripts_without_spaces_stay_whole() -> None:
    words = tuple(Word(char, 0, 9000, 0.5, "ja") for char in "日本語")
    whole = Segment(0, 0, 9000, "ja", "日本語", 0.5, "universal", words)
    assert list(cues(whole)) == [(0, 9000, "日本語")]
