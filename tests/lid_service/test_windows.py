"""Windows of a stream, whatever its messages are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.audio import from_wire
from common.errors import InvalidRequest
from lid_service.windows import MIN_SAMPLES, SlidingWindows, Window

N_WINDOW, N_HOP = 4 * MIN_SAMPLES, 2 * MIN_SAMPLES


def audio(n_samples: int) -> bytes:
    return (np.arange(n_samples) % 30_011).astype("<i2").tobytes()


def windows(
    pcm: bytes, cuts: list[int] | None = None, n_window: int = N_WINDOW, n_hop: int = N_HOP
) -> list[Window]:
    """All windows of `pcm`, sent in messages that end at `cuts`."""
    sliding = SlidingWindows(n_window, n_hop)
    ends = [*sorted(cuts or []), len(pcm)]
    messages = [pcm[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    found = [window for message in messages for window in sliding.feed(message)]
    return [*found, *sliding.flush()]


def spans(n_samples: int, n_hop: int = N_HOP) -> list[tuple[float, float]]:
    """Start and end of each window, in tenths of a second."""
    return [
        (window.start / MIN_SAMPLES, window.end / MIN_SAMPLES)
        for window in windows(audio(n_samples), n_hop=n_hop)
    ]


@pytest.mark.parametrize(
    ("tenths", "expected"),
    [
        (1, [(0, 1)]),
        (3.5, [(0, 3.5)]),
        (4, [(0, 4)]),
        (4.5, [(0, 4), (2, 4.5)]),
        (6, [(0, 4), (2, 6)]),
        (9, [(0, 4), (2, 6), (4, 8), (6, 9)]),
    ],
)
def test_the_end_has_a_shorter_one(tenths: float, expected: list[tuple[float, float]]) -> None:
    assert spans(int(tenths * MIN_SAMPLES)) == expected


@pytest.mark.parametrize(
    ("tenths", "expected"),
    [
        (4.99, [(0, 4)]),  # less than a tenth of a second is left: it would tell nothing
        (5, [(0, 4), (4, 5)]),
    ],
)
def test_side_by_side(tenths: float, expected: list[tuple[float, float]]) -> None:
    assert spans(int(tenths * MIN_SAMPLES), n_hop=N_WINDOW) == expected


@given(
    st.integers(MIN_SAMPLES, 20 * MIN_SAMPLES),
    st.lists(st.integers(0, 40 * MIN_SAMPLES), max_size=6),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_however_it_is_sent(n_samples: int, cuts: list[int], window: int, hop: int) -> None:
    n_window, n_hop = (max(window, hop) * MIN_SAMPLES, hop * MIN_SAMPLES)
    pcm = audio(n_samples)
    found = windows(pcm, [cut for cut in cuts if cut <= len(pcm)], n_window, n_hop)
    assert [each.start for each in found] == [n_hop * number for number in range(len(found))]
    for each in found:
        assert np.array_equal(each.samples, from_wire(pcm)[each.start : each.end])
        assert len(each.samples) == n_window or each is found[-1]
    assert n_samples - found[-1].end < MIN_SAMPLES


def test_what_is_told_is_forgotten() -> None:
    sliding = SlidingWindows(N_WINDOW, N_HOP)
    for _ in range(50):
        assert len(list(sliding.feed(audio(N_HOP)))) <= 1
        assert len(sliding._pcm) < 2 * N_WINDOW


@pytest.mark.parametrize("n_samples", [0, 1, MIN_SAMPLES - 1])
def test_too_short(n_samples: int) -> None:
    with pytest.raises(InvalidRequest, match=r"holds \d+ ms of audio: give 100 or more"):
        windows(audio(n_samples))


def test_half_a_sample() -> None:
    assert len(windows(audio(N_WINDOW), [3, 5])) == 1
    with pytest.raises(InvalidRequest, match="whole samples"):
        windows(audio(N_WINDOW) + b"\0")
