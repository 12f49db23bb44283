"""Settings are parsed once and fail loudly."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, fields

import pytest

from asr_service.settings import WorkerSettings
from common.errors import SettingsError
from common.settings import load_settings, setting
from gateway.settings import GatewaySettings
from lid_service.settings import LidSettings


@dataclass(frozen=True)
class Example:
    name: str = setting("X_NAME", "n", "a name")
    rows: int = setting("X_ROWS", 4, "rows of it", low=1, high=16)
    wait_s: float = setting("X_WAIT", 0.5, "time it may take", low=0)
    share: float = setting("X_SHARE", 0.5, "share", high=1)
    on: bool = setting("X_ON", False, "whether")


def test_unset_keeps_the_defaults() -> None:
    assert load_settings(Example, {"OTHER": "1"}) == Example("n", 4, 0.5, 0.5, False)


def test_each_type_is_parsed() -> None:
    environment = {"X_NAME": "7", "X_ROWS": "16", "X_WAIT": "2", "X_SHARE": "-1e-3", "X_ON": "True"}
    found = load_settings(Example, environment)
    assert found == Example("7", 16, 2.0, -0.001, True)
    assert [type(getattr(found, field.name)) for field in fields(found)] == [
        str,
        int,
        float,
        float,
        bool,
    ]
    with pytest.raises(FrozenInstanceError):
        found.rows = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "expected"), [("0", False), ("1", True), ("false", False), ("TRUE", True)]
)
def test_booleans(text: str, expected: bool) -> None:
    assert load_settings(Example, {"X_ON": text}).on is expected


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("X_ROWS", "many", "X_ROWS is 'many': give a whole number (rows of it)"),
        ("X_ROWS", "3.5", "X_ROWS is '3.5': give a whole number (rows of it)"),
        ("X_ROWS", "", "X_ROWS is '': give a whole number (rows of it)"),
        ("X_ROWS", "0", "X_ROWS is 0: give 1 to 16 (rows of it)"),
        ("X_ROWS", "17", "X_ROWS is 17: give 1 to 16 (rows of it)"),
        ("X_WAIT", "-0.1", "X_WAIT is -0.1: give at least 0 (time it may take)"),
        ("X_WAIT", "soon", "X_WAIT is 'soon': give a number (time it may take)"),
        ("X_WAIT", "nan", "X_WAIT is 'nan': give a number (time it may take)"),
        ("X_WAIT", "inf", "X_WAIT is 'inf': give a number (time it may take)"),
        ("X_SHARE", "1.5", "X_SHARE is 1.5: give at most 1 (share)"),
        ("X_ON", "yes", "X_ON is 'yes': give 0 or 1"),
        ("X_ON", "", "X_ON is '': give 0 or 1"),
    ],
)
def test_what_cannot_be_used_is_named(variable: str, text: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(Example, {variable: text})
    assert str(caught.value) == says


@pytest.mark.parametrize("kind", [WorkerSettings, LidSettings, GatewaySettings])
def test_the_services_own(kind: type[WorkerSettings | LidSettings | GatewaySettings]) -> None:
    found = load_settings(kind, {})
    for field in fields(kind):
        variable = field.metadata["variable"]
        assert variable.startswith("PANGLOT_")
        assert field.metadata["meaning"]
        text = str(getattr(found, field.name))
        assert load_settings(kind, {variable: text}) == found, "the default is outside its bounds"
