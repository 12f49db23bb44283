"""Audio between our services."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.audio import from_wire, milliseconds, to_wire
from common.errors import InvalidRequest


@given(st.binary(max_size=64).filter(lambda data: len(data) % 2 == 0))
def test_sixteen_bits_come_back_unchanged(data: bytes) -> None:
    samples = from_wire(data)
    assert samples.dtype == np.float32
    assert (np.abs(samples) <= 1).all()
    assert to_wire(samples) == data


@given(st.lists(st.floats(-1, 1, width=32), max_size=32))
def test_a_round_trip_loses_at_most_one_step(values: list[float]) -> None:
    samples = np.array(values, dtype=np.float32)
    assert np.allclose(from_wire(to_wire(samples)), samples, atol=1 / 32768)


def test_bytes_are_little_endian_and_clipped() -> None:
    samples = np.array([0.0, 1 / 32768, -1.0, 1.0, 7.0, -7.0], dtype=np.float32)
    assert to_wire(samples).hex() == "000001000080ff7fff7f0080"


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="pcm_s16le holds 3 bytes"):
        from_wire(b"abc")


def test_what_is_decoded_may_be_changed() -> None:
    samples = from_wire(b"\1\0")
    samples += 1  # torch warns of arrays that may not


def test_milliseconds() -> None:
    assert [milliseconds(count) for count in (0, 15, 16, 16_000)] == [0, 0, 1, 1000]
