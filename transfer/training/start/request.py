"""`--from es@2,it@2=0.4`: what was asked for, before anything is looked up."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from common.errors import InvalidRequest

AUTO_COUNT = 3
_AUTO = re.compile(r"auto(?::(\d{1,3}))?")


@dataclass(frozen=True)
class Request:
    """Sources that were asked for.

    Attributes:
        keys: of adapters; empty for `auto`.
        weights: of each, as given; None where none was.
        count: of sources at most that `auto` takes.
    """

    keys: tuple[str, ...]
    weights: tuple[float, ...] | None = None
    count: int = 0


def parse_request(text: str) -> Request:
    """`es@2`, `es@2,it@2`, `es@2=0.6,it@2=0.4`, `auto` or `auto:2`.

    Raises:
        InvalidRequest: it names nothing, one adapter twice, or weights that cannot be.
    """
    if match := _AUTO.fullmatch(text):
        count = int(match[1] or AUTO_COUNT)
        if not count:
            raise InvalidRequest(f"--from {text}: give auto, or auto:1 and more")
        return Request((), count=count)
    parts = [part.strip() for part in text.split(",")]
    pairs = [part.partition("=") for part in parts]
    keys = tuple(key.strip() for key, _, _ in pairs)
    if not all(keys):
        raise InvalidRequest(
            f"--from {text!r:.80}: give adapters such as es@2 or es@2,it@2, or auto"
        )
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise InvalidRequest(f"--from names {', '.join(twice)} twice: give each adapter once")
    weighted = [bool(equals) for _, equals, _ in pairs]
    if not any(weighted):
        return Request(keys)
    if not all(weighted):
        raise InvalidRequest(
            f"--from {text!r:.80}: give all adapters a weight, such as es@2=0.6,it@2=0.4, or none"
        )
    return Request(keys, tuple(_weight(key, value) for key, _, value in pairs))


def _weight(key: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    # A source of weight 0 is none, and attention takes its logarithm.
    if not 0 < value < math.inf:
        raise InvalidRequest(
            f"--from gives {key} the weight {text!r:.20}: give a number above 0, or leave it out"
        )
    return value
