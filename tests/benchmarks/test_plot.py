"""Plots, where the bench extra is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import report


def test_the_same_figures_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib", reason="needs the bench extra")
    from benchmarks import plot  # noqa: PLC0415 - not without the extra

    monkeypatch.setattr(plot, "RESULTS", tmp_path)
    assert tmp_path != report.RESULTS
    drawn = []
    for _ in range(2):
        with plot.plot("one", "A title", "streams", "latency [ms]") as axes:
            axes.plot([1, 2], [3, 4], label="ours")
        drawn.append((tmp_path / "one.svg").read_bytes())
    assert drawn[0] == drawn[1]
    assert b"latency [ms]" in drawn[0]
    assert len(drawn[0]) < 60_000
