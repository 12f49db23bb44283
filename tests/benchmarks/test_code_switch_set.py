"""Streams that change language, of tones: their truth is what was put in."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from benchmarks.code_switch_audio import (
    JOINTS,
    SPEECH_DBFS,
    Kind,
    Recording,
    Samples,
    Stream,
    prepared,
)
from benchmarks.code_switch_set import CONTROL, ONE_VOICE, SAME_VOICE, build, digest
from common.errors import InvalidRequest

RATE = 16_000
FREQUENCY = {"en": 300, "es": 500, "fr": 700, "it": 1100, "ru": 1700}


def tone(hz: float, ms: int, amplitude: float = 0.1) -> Samples:
    wave = amplitude * np.sin(2 * np.pi * hz * np.arange(ms * RATE // 1000) / RATE)
    return wave.astype(np.float32)


def silence(ms: int) -> Samples:
    return np.zeros(ms * RATE // 1000, np.float32)


def recordings() -> list[Recording]:
    """Of 700 to 1500 ms; the louder, the later."""
    voices = [*ONE_VOICE, ("es", "another"), ("fr", "f"), ("it", "i"), ("ru", "r")]
    return [
        Recording(
            tag, voice, f"{tag}{n}", prepared(tone(FREQUENCY[tag], 700 + 200 * n, 0.1 + n / 9))
        )
        for tag, voice in voices
        for n in range(5)
    ]


@pytest.fixture(scope="module")
def streams() -> list[Stream]:
    return build(recordings(), 14, seed=3)


def samples(stream: Stream) -> Samples:
    return (np.frombuffer(stream.pcm, "<i2") / 32768).astype(np.float32)


def at(stream: Stream, start_ms: int, end_ms: int) -> Samples:
    return samples(stream)[start_ms * RATE // 1000 : end_ms * RATE // 1000]


def loudest_hz(part: Samples) -> float:
    return float(np.abs(np.fft.rfft(part)).argmax() * RATE / len(part))


def dbfs(part: Samples) -> float:
    return float(10 * np.log10(np.square(part).mean()))


def test_the_same_seed_gives_the_same_bytes(streams: list[Stream]) -> None:
    assert digest(streams) == digest(build(recordings(), 14, seed=3))
    assert digest(streams) != digest(build(recordings(), 14, seed=4))


def test_fewer_streams_are_the_first_of_more(streams: list[Stream]) -> None:
    assert build(recordings(), 4, seed=3)[:4] == streams[:4]


def test_kinds_take_turns_and_have_a_control(streams: list[Stream]) -> None:
    kinds = [stream.kind for stream in streams]
    assert len(set(kinds[:7])) == 7
    assert kinds[6] == Kind(SAME_VOICE, "cross-faded")
    assert kinds[13] == Kind(SAME_VOICE, "short pause")
    assert {kind.languages for kind in kinds[14:]} == {CONTROL}
    assert {kind.joint for kind in kinds[14:]} == set(JOINTS)
    assert len(kinds) == 28


def test_spans_are_4_to_8_of_1_to_6_s_and_always_change(streams: list[Stream]) -> None:
    many = {"two languages": 2, "three languages": 3, SAME_VOICE: 2, CONTROL: 1}
    for stream in streams:
        assert 4 <= len(stream.spans) <= 8
        assert len({span.language for span in stream.spans}) == many[stream.kind.languages]
        for span in stream.spans:
            assert 950 <= span.end_ms - span.start_ms <= 6000
        if stream.kind.languages != CONTROL:
            assert all(one.language != next_.language for one, next_ in pairwise(stream.spans))


def test_gaps_are_those_of_the_joint(streams: list[Stream]) -> None:
    for stream in streams:
        low, high = (max(0, ms) for ms in JOINTS[stream.kind.joint])
        for one, following in pairwise(stream.spans):
            assert low <= following.start_ms - one.end_ms <= high
        assert stream.spans[-1].end_ms + 1000 == stream.duration_ms


def test_each_span_holds_its_own_language_up_to_its_boundaries(streams: list[Stream]) -> None:
    for stream in streams:
        for span in stream.spans:
            expected = FREQUENCY[span.language]
            for start_ms in (span.start_ms + 40, span.end_ms - 340):
                assert loudest_hz(at(stream, start_ms, start_ms + 300)) == pytest.approx(
                    expected, rel=0.02
                )
            assert len(stream.cut(span)) == 2 * 16 * (span.end_ms - span.start_ms)


def test_speech_is_of_one_loudness_and_pauses_are_faint_but_not_empty(
    streams: list[Stream],
) -> None:
    for stream in streams:
        for span in stream.spans:
            assert dbfs(at(stream, span.start_ms + 50, span.start_ms + 550)) == pytest.approx(
                SPEECH_DBFS, abs=0.5
            )
        end_ms = stream.spans[-1].end_ms
        assert -70 < dbfs(at(stream, end_ms + 50, end_ms + 950)) < -60


def test_texts_are_those_of_what_was_put_in(streams: list[Stream]) -> None:
    for span in streams[0].spans:
        words = span.text.split()
        assert words
        assert all(word.startswith(span.language) for word in words)
    assert streams[0].text == " ".join(span.text for span in streams[0].spans)


def test_languages_are_asked_evenly_and_people_differ(streams: list[Stream]) -> None:
    controls = [stream.spans[0].language for stream in streams[14:]]
    counts = [controls.count(tag) for tag in FREQUENCY]
    assert max(counts) - min(counts) <= 1


def test_silence_is_trimmed_and_nothing_is_made_of_nothing() -> None:
    padded = np.concatenate([silence(500), tone(440, 1000), silence(700)])
    assert len(prepared(padded)) == pytest.approx(1040 * RATE / 1000, abs=160)
    assert len(prepared(silence(1000))) == 0
    assert len(prepared(silence(0))) == 0


def test_peaks_are_not_clipped() -> None:
    clicks = silence(1000)
    clicks[8000:8002] = 0.9
    assert np.abs(prepared(clicks)).max() <= 0.99


def test_too_little_speech_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="3 are needed"):
        build([each for each in recordings() if each.language in ("en", "fr")], 2)
    short = Recording("da", "d", "en frø", prepared(tone(400, 500)))
    with pytest.raises(InvalidRequest, match=r"d \(da\) has less than 1 s"):
        build([*recordings(), short], 2)
