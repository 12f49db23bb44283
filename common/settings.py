"""Settings: a frozen dataclass per process, read once from the environment, failing loudly."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from typing import Any, TypeVar, get_type_hints

from common.errors import SettingsError

_T = TypeVar("_T")


def setting(
    variable: str,
    default: Any,
    meaning: str,
    *,
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """A field read from environment variable `variable`, within `low` and `high` inclusive."""
    metadata = {"variable": variable, "meaning": meaning, "low": low, "high": high}
    return dataclasses.field(default=default, metadata=metadata)


def load_settings(kind: type[_T], environment: Mapping[str, str] = os.environ) -> _T:
    """Fill `kind`'s fields from the environment; unset variables keep their defaults.

    Raises:
        SettingsError: a value that is not of its field's type or outside its bounds.
    """
    hints = get_type_hints(kind)
    values = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        text = environment.get(field.metadata["variable"])
        if text is not None:
            values[field.name] = _parse(hints[field.name], text, field.metadata)
    return kind(**values)


def _parse(hint: Any, text: str, metadata: Mapping[str, Any]) -> Any:
    name = metadata["variable"]
    if hint is bool:
        if text.lower() not in ("0", "1", "false", "true"):
            raise SettingsError(f"{name} is {text!r}: give 0 or 1")
        return text.lower() in ("1", "true")
    if hint not in (int, float):
        return text
    try:
        value = hint(text)
        if not math.isfinite(value):  # no bound would catch NaN
            raise ValueError
    except ValueError as error:
        kind = "a whole number" if hint is int else "a number"
        raise SettingsError(f"{name} is {text!r}: give {kind} ({metadata['meaning']})") from error
    low, high = metadata["low"], metadata["high"]
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"{low} to {high}"
        bounds = f"at most {high}" if low is None else bounds
        raise SettingsError(f"{name} is {text}: give {bounds} ({metadata['meaning']})")
    return value
