"""Tables of `docs/transfer.md`, from the results of the `transfer*` benchmarks."""

from __future__ import annotations

from typing import Any

Rows = list[dict[str, Any]]


def languages_table(result: dict[str, Any] | None) -> str:
    """Every shipped adapter beside the universal path."""
    if result is None:
        return ""
    lines = [
        "| language | taught with | clips judged | adapter alone | with lexicon | universal "
        "| of the universal's | time of the universal's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        time = row["time_over_universal"]
        cells = [
            row["language"],
            f"{row['training_minutes']:.0f} min",
            str(row["clips"]),
            f"{row['wer_greedy'][0]:.1%}",
            _rate(row["wer"]),
            _rate(row["wer_universal"]),
            f"{row['wer_over_universal']:.2f}{'' if row['difference_is_real'] else ' (*)'}",
            "–" if time is None else f"{time:.2f}",
        ]
        lines.append(_line(cells))
    return "\n".join(lines)


def bars_table(result: dict[str, Any] | None) -> str:
    """What was aimed at, and what was reached."""
    if result is None:
        return ""
    claims = result["claims"]
    worst = f"words wrong over the universal path's, worst language ({claims['worst_language']})"
    rows = [
        (worst, claims["worst_language_wer_over_universal"], "≤ 0.7"),
        (
            "the same, mean of be bg ca da el ro",
            claims["low_resource_mean_wer_over_universal"],
            "≤ 0.4",
        ),
        (
            "languages within 0.7",
            f"{len(claims['languages_within_0.7'])} of {claims['languages']}",
            "all",
        ),
        ("time of a clip over the universal path's", claims["served_time_over_universal"], "≤ 0.1"),
    ]
    return "\n".join(
        ["| | measured | aim |", "|---|---|---|"]
        + [_line([name, str(value), aim]) for name, value, aim in rows]
    )


def speakers_table(result: dict[str, Any] | None) -> str:
    """Taught by one speaker, judged on both."""
    if result is None:
        return ""
    lines = [
        "| language | taught by | judged on | with lexicon | universal | of the universal's |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        judged = f"**{row['judged_on']}**" if row["another_speaker"] else row["judged_on"]
        share = f"{row['wer_over_universal']:.2f}{'' if row['difference_is_real'] else ' (*)'}"
        rates = [_rate(row["wer"]), _rate(row["wer_universal"])]
        lines.append(_line([row["language"], row["taught_by"], judged, *rates, share]))
    return "\n".join(lines)


def curves_table(result: dict[str, Any] | None) -> str:
    """Words wrong by minutes of training speech."""
    if result is None:
        return ""
    lines = [
        "| language | minutes | adapter alone | with lexicon | universal |",
        "|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        universal = row["wer_universal"]
        cells = [
            row["language"],
            f"{row['minutes']:.0f}",
            f"{row['wer_greedy'][0]:.1%}",
            _rate(row["wer"]),
            "–" if universal is None else f"{universal[0]:.1%}",
        ]
        lines.append(_line(cells))
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rate(interval: list[float]) -> str:
    value, low, high = interval
    return f"{value:.1%} ({low:.1%}–{high:.1%})"
