"""Step 3: the segmenter as tables, and what must hold for any speech."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.segmenter import (
    FRAME_SAMPLES,
    SAMPLES_PER_MS,
    Segmenter,
    SegmenterSettings,
    SegmentEvent,
    SpeechEnded,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
)

F = FRAME_SAMPLES
# In whole frames: open after 3, 10 of start padding, pause 5, end 15, end padding 5.
DEFAULTS = SegmenterSettings(start_padding_ms=320, pause_ms=160)


def run(
    probabilities: list[float], settings: SegmenterSettings = DEFAULTS, tail: int = 0
) -> list[tuple[int, SegmentEvent]]:
    """Events with the number of frames heard when they came."""
    segmenter = Segmenter(settings)
    events: list[tuple[int, SegmentEvent]] = []
    for count, probability in enumerate(probabilities, start=1):
        events += [(count, event) for event in segmenter.feed(probability)]
    events += [(len(probabilities), event) for event in segmenter.flush(tail)]
    return events


def frames(*runs: tuple[float, int]) -> list[float]:
    return [probability for probability, count in runs for _ in range(count)]


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        pytest.param(frames((0, 50)), [], id="silence"),
        pytest.param(frames((0, 9), (0.9, 2), (0, 20)), [], id="click"),
        pytest.param(frames((0, 9), (0.45, 30)), [], id="never-above-the-start-threshold"),
        pytest.param(
            frames((0, 20), (0.9, 30), (0, 20)),
            [
                (23, SpeechStarted(0, 10 * F)),
                (55, SpeechPaused(0, 55 * F)),
                (65, SpeechEnded(0, 55 * F, 50 * F, "silence")),
            ],
            id="one-segment",
        ),
        pytest.param(
            frames((0.9, 30), (0, 15)),
            [
                (3, SpeechStarted(0, 0)),
                (35, SpeechPaused(0, 35 * F)),
                (45, SpeechEnded(0, 35 * F, 30 * F, "silence")),
            ],
            id="padding-stops-at-the-streams-start",
        ),
        pytest.param(
            frames((0.6, 3), (0.4, 20), (0, 1), (0.4, 14)),
            [
                (3, SpeechStarted(0, 0)),
                (28, SpeechPaused(0, 28 * F)),
                (38, SpeechEnded(0, 28 * F, 23 * F, "silence")),
            ],
            id="between-thresholds-goes-on-but-does-not-start",
        ),
        pytest.param(
            frames((0.9, 10), (0, 7), (0.9, 10), (0, 15)),
            [
                (3, SpeechStarted(0, 0)),
                (15, SpeechPaused(0, 15 * F)),
                (18, SpeechResumed(0)),
                (32, SpeechPaused(0, 32 * F)),
                (42, SpeechEnded(0, 32 * F, 27 * F, "silence")),
            ],
            id="pause-that-was-none",
        ),
        pytest.param(
            frames((0.9, 10), (0, 4), (0.9, 10), (0, 2)),
            [(3, SpeechStarted(0, 0)), (26, SpeechEnded(0, 26 * F, 24 * F, "stream_end"))],
            id="short-silence-and-stream-end",
        ),
        pytest.param(
            frames((0.9, 10), (0, 15), (0.9, 3)),
            [
                (3, SpeechStarted(0, 0)),
                (15, SpeechPaused(0, 15 * F)),
                (25, SpeechEnded(0, 15 * F, 10 * F, "silence")),
                (28, SpeechStarted(1, 15 * F)),
                (28, SpeechEnded(1, 28 * F, 28 * F, "stream_end")),
            ],
            id="padding-stops-at-the-segment-before",
        ),
    ],
)
def test_table(probabilities: list[float], expected: list[tuple[int, SegmentEvent]]) -> None:
    assert run(probabilities) == expected


def test_speech_up_to_the_last_sample() -> None:
    assert run(frames((0.9, 10)), tail=100)[-1][1] == SpeechEnded(
        0, 10 * F + 100, 10 * F + 100, "stream_end"
    )


def test_an_end_sooner_than_the_pause_needs_no_pause() -> None:
    settings = replace(DEFAULTS, end_silence_ms=100)
    assert run(frames((0.9, 10), (0, 5)), settings)[1:] == [
        (14, SpeechEnded(0, 14 * F, 10 * F, "silence"))
    ]


# 2048 ms are 64 frames; the last third begins at frame 43.
SHORT = SegmenterSettings(start_padding_ms=320, pause_ms=160, max_segment_ms=2048)


def test_long_speech_is_cut_at_its_weakest_frame() -> None:
    speech = frames((0.9, 64 + 40), (0, 15))
    speech[10] = 0.36  # weakest of all, but early
    speech[50] = 0.5
    events = [event for _, event in run(speech, SHORT)]
    cut = 50 * F + F // 2
    assert events[:3] == [
        SpeechStarted(0, 0),
        SpeechEnded(0, cut, cut, "max_length"),
        SpeechStarted(1, cut),
    ]
    assert events[-1] == SpeechEnded(1, 109 * F, 104 * F, "silence")


def test_cut_in_a_breath_tells_where_speech_had_ended() -> None:
    speech = frames((0.9, 48), (0.1, 1), (0.0, 1), (0.1, 1), (0.9, 60))
    ended = next(event for _, event in run(speech, SHORT) if isinstance(event, SpeechEnded))
    assert ended == SpeechEnded(0, 49 * F + F // 2, 48 * F, "max_length")


def test_too_long_in_silence_closes_and_opens_nothing() -> None:
    settings = replace(SHORT, end_silence_ms=5000)
    events = run(frames((0.9, 40), (0, 100), (0.9, 5)), settings)
    assert events[1:4] == [
        (45, SpeechPaused(0, 45 * F)),
        (64, SpeechEnded(0, 45 * F, 40 * F, "silence")),
        (143, SpeechStarted(1, 130 * F)),
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("end_threshold", 0.6),
        ("end_threshold", 0.0),
        ("start_threshold", 1.1),
        ("min_speech_ms", 0),
        ("pause_ms", 0),
        ("end_silence_ms", 0),
        ("start_padding_ms", -1),
        ("end_padding_ms", -1),
        ("max_segment_ms", 1000),
    ],
)
def test_settings_that_make_no_sense_are_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        SegmenterSettings(**{field: value})  # type: ignore[arg-type]


probabilities_of_speech = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.34, 0.4, 0.49, 0.5, 0.8, 1.0]), st.integers(1, 70)),
    max_size=30,
).map(lambda runs: frames(*runs))
some_settings = st.builds(
    SegmenterSettings,
    min_speech_ms=st.sampled_from([1, 96, 200]),
    start_padding_ms=st.sampled_from([0, 33, 300]),
    pause_ms=st.sampled_from([32, 160, 700]),
    end_silence_ms=st.sampled_from([100, 480, 5000]),
    end_padding_ms=st.sampled_from([0, 50, 160, 1000]),
    max_segment_ms=st.sampled_from([2000, 3001, 15_000]),
)


def voiced_runs(probabilities: list[float], settings: SegmenterSettings) -> list[range]:
    """Each unbroken stretch of speech long enough to count, in frames. Not the code's own way."""
    runs, start = [], None
    for index, probability in enumerate([*probabilities, 0.0]):
        if start is None and probability >= settings.start_threshold:
            start = index
        elif start is not None and probability < settings.end_threshold:
            runs.append(range(start, index))
            start = None
    least = settings.min_speech_ms / 32
    return [frames for frames in runs if len(frames) >= least]


@given(probabilities_of_speech, some_settings, st.integers(0, F - 1))
def test_segments_are_ordered_bounded_and_cover_all_speech(
    probabilities: list[float], settings: SegmenterSettings, tail: int
) -> None:
    events = run(probabilities, settings, tail)
    segments: list[tuple[int, int]] = []
    start, paused_at = -1, None
    cut: int | None = None
    for count, event in events:
        heard = count * F + tail * (count == len(probabilities))
        match event:
            case SpeechStarted(segment, start):
                assert segment == len(segments)
                assert start >= (segments[-1][1] if segments else 0)
                assert cut is None or start == cut
                cut = None
            case SpeechPaused(segment, end):
                assert segment == len(segments)
                assert paused_at is None
                assert start < end <= heard
                paused_at = end
            case SpeechResumed(segment):
                assert segment == len(segments)
                assert paused_at is not None
                paused_at = None
            case SpeechEnded(segment, end, speech_end, reason):
                assert segment == len(segments)
                assert start < end <= heard
                assert start < speech_end <= end
                assert end - start <= settings.max_segment_ms * SAMPLES_PER_MS
                # The final decoded ahead, during the pause, is the final.
                assert paused_at in (None, end) or reason == "stream_end"
                segments.append((start, end))
                paused_at = None
                cut = end if reason == "max_length" else None
    assert cut is None
    assert sum(isinstance(event, SpeechStarted) for _, event in events) == len(segments)
    for run_ in voiced_runs(probabilities, settings):
        at = run_.start * F
        for start, end in segments:
            if start <= at < end:
                at = end
        assert at >= run_.stop * F
