"""Which version hears which stream: shares, trials, and the way back."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest
from common.routing import Routing, parse_routing

PERCENT = st.floats(0.01, 99.99)
STREAMS = st.text(max_size=20)


@pytest.mark.parametrize("percent", [0.5, 1, 10, 33.3, 50, 90])
def test_a_canary_hears_its_share_of_the_streams(percent: float) -> None:
    routing = Routing("it@1", "it@2", percent)
    n_stream, share = 20_000, percent / 100
    heard = sum(routing.is_canary(secrets.token_hex(6)) for _ in range(n_stream))
    spread = math.sqrt(n_stream * share * (1 - share))
    assert abs(heard - n_stream * share) < 6 * spread


@given(STREAMS, PERCENT, PERCENT)
def test_a_larger_share_only_adds_streams(stream: str, one: float, other: float) -> None:
    small, large = (Routing("it@1", "it@2", each) for each in sorted((one, other)))
    assert large.is_canary(stream) or not small.is_canary(stream)


@given(STREAMS, PERCENT)
def test_a_stream_stays_with_its_version(stream: str, percent: float) -> None:
    routing = Routing("it@1", "it@2", percent, ("it@0",))
    again = parse_routing(routing.to_json())
    assert again == routing
    assert again.is_canary(stream) == routing.is_canary(stream)


def test_where_a_stream_goes_is_the_same_in_every_release() -> None:
    routing = Routing("it@1", "it@2", 10)
    assert [n for n in range(60) if routing.is_canary(str(n))] == [18, 29, 47, 55]


@given(STREAMS)
def test_without_a_canary_nobody_hears_it(stream: str) -> None:
    assert not Routing("it@1").is_canary(stream)


CHANGES: dict[str, Callable[[Routing], Routing]] = {
    "stable": lambda now: now.with_stable(f"it@{len(now.previous) + 2}"),
    "canary": lambda now: now.with_canary("it@99", 10),
    "promote": lambda now: now.promoted(),
    "rollback": lambda now: now.rolled_back(),
}


@given(st.lists(st.sampled_from(sorted(CHANGES)), max_size=40))
def test_all_streams_are_heard_by_somebody_whatever_is_done(changes: list[str]) -> None:
    routing = Routing("it@1")
    for change in changes:
        try:
            routing = CHANGES[change](routing)
        except InvalidRequest:
            continue
        keys = {routing.stable, routing.canary} - {None}
        assert sum(routing.percent_of(key) for key in keys if key) == pytest.approx(100)
        assert len(routing.previous) <= 20


def test_a_canary_and_what_becomes_of_it() -> None:
    trial = Routing("it@1").with_canary("it@2", 10)
    assert (trial.percent_of("it@1"), trial.percent_of("it@2"), trial.percent_of("it@3")) == (
        90,
        10,
        0,
    )
    assert trial.with_canary("it@2", 50) == Routing("it@1", "it@2", 50)
    assert trial.promoted() == Routing("it@2", previous=("it@1",))
    assert trial.rolled_back() == Routing("it@1")
    assert trial.with_stable("it@1") == Routing("it@1")


def test_each_way_back_is_the_one_before() -> None:
    routing = Routing("universal").with_stable("it@1").with_stable("it@2")
    assert routing.rolled_back() == Routing("it@1", previous=("universal",))
    # What was taken back is not what the next one falls back to.
    assert routing.rolled_back().with_stable("it@3").rolled_back().stable == "it@1"
    assert routing.rolled_back().rolled_back() == Routing("universal")
    with pytest.raises(InvalidRequest, match="nothing was stable before universal"):
        Routing("universal").rolled_back()


def test_back_to_a_version_of_ones_choice() -> None:
    routing = Routing("it@4", "it@5", 10, ("it@1", "it@2", "it@3"))
    assert routing.rolled_back_to("it@2") == Routing("it@2", previous=("it@1",))
    assert routing.rolled_back_to("it@0") == Routing("it@0", previous=routing.previous)


def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(InvalidRequest, match="no canary to promote: it@1 hears all"):
        Routing("it@1").promoted()
    with pytest.raises(InvalidRequest, match="it@1 hears all streams already"):
        Routing("it@1").with_canary("it@1", 10)


@pytest.mark.parametrize(
    "fields",
    [
        {"canary": "it@2"},
        {"percent": 10},
        {"canary": "it@2", "percent": 100},
        {"canary": "it@2", "percent": -1},
        {"canary": "it@2", "percent": math.nan},
        {"canary": "it@2", "percent": "many"},
        {"previous": 3},
        {"stable": None, "missing": True},
    ],
)
def test_a_document_that_is_no_routing(fields: dict[str, object]) -> None:
    document = json.loads(Routing("it@1").to_json()) | fields
    if "missing" in document:
        del document["stable"]
    with pytest.raises(ValueError):  # noqa: PT011 json has words of its own
        parse_routing(json.dumps(document).encode())


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"null", b"\xff"])
def test_a_document_that_is_nothing(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 json has words of its own
        parse_routing(content)
