"""Tables of `docs/sources.md`, from results and from the calibration of the ranking."""

from __future__ import annotations

from typing import Any

_AIMS = {
    "multi_source_steps_over_scratch": (
        "steps from three languages side by side until as good as from nothing, over its steps",
        "≤ 0.333",
    ),
    "multi_source_languages_reached": ("languages in which that was reached, of six", "6"),
    "source_ranking_spearman": (
        "order of sources foreseen, all pairs (Spearman), the pair left out",
        "≥ 0.6",
    ),
    "source_ranking_spearman_source_left_out": ("the same, the source left out", "≥ 0.6"),
    "source_ranking_spearman_target_left_out": ("the same, the target left out", "≥ 0.6"),
    "source_ranking_within_target_target_left_out": (
        "order among a target's own sources, that target left out",
        "",
    ),
}
_AGREEMENT = {
    "target_mean": "the target's mean alone",
    "published_table": "published table alone",
    "in_sample": "in sample",
    "pair_left_out": "pair left out",
    "source_left_out": "source left out",
    "target_left_out": "target left out",
}


def source_bars_table(result: dict[str, Any] | None) -> str:
    """What was aimed at, and what was reached."""
    if result is None:
        return ""
    claims = result["claims"]
    lines = ["| | measured | aim |", "|---|---|---|"]
    for name, (told, aim) in _AIMS.items():
        if name in claims:
            lines.append(_line([told, str(claims[name]), aim]))
    return "\n".join(lines)


def agreement_table(benefit: dict[str, Any]) -> str:
    """How well the ranking foresees what was measured."""
    lines = [
        f"| foreseen ({benefit['fit']['n_pair']} pairs) | Spearman, all pairs | within a target |",
        "|---|---|---|",
    ]
    for name, told in _AGREEMENT.items():
        found = benefit["agreement"][name]
        rates = (found["spearman"], found["spearman_within_target"])
        lines.append(_line([told, *(f"{rate:.2f}" for rate in rates)]))
    return "\n".join(lines)


def starts_table(result: dict[str, Any] | None) -> str:
    """Each language from nothing and from other languages."""
    if result is None:
        return ""
    lines = [
        "| language | start | sources | steps | words wrong | less than from nothing "
        "| steps until as good | of those from nothing |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        if row["language"] == "all":
            cells = ["all", row["start"], "", "", _rate(row["wer"])]
            reached = f"{row['reached']} of {row['languages']} reached"
        else:
            cells = [row["language"], row["start"], row["source"] or "–", str(row["steps"])]
            cells.append(_rate(row["wer"]))
            reached = str(row.get("steps_to_scratch") or "–")
        less = row.get("wer_less_scratch")
        share = row.get("steps_over_scratch")
        cells += [
            _points(less) if less else "–",
            reached,
            "–" if share is None else f"{share:.2f}",
        ]
        lines.append(_line(cells))
    return "\n".join(lines)


def ablations_table(result: dict[str, Any] | None) -> str:
    """What each aid changes, all languages and seeds together."""
    if result is None:
        return ""
    lines = [
        "| aid | beside | languages, seeds | letters wrong, change in points "
        "| words wrong, change | by language, letters |",
        "|---|---|---|---|---|---|",
    ]
    rows = result["rows"]
    for row in rows:
        if "cer_less" not in row:
            continue
        arms = [
            each
            for each in rows
            if each["ablation"] == row["ablation"] and each["arm"] == row["arm"] and "seed" in each
        ]
        seeds = len({each["seed"] for each in arms})
        by_language = "; ".join(
            f"{language} {_points(less)}" for language, less in row["by_language"].items()
        )
        cells = [
            f"{row['ablation']}: {row['arm']}",
            row["base"],
            f"{', '.join(row['by_language'])}; {seeds}",
            _points(row["cer_less"]),
            _points(row["wer_less"]),
            by_language,
        ]
        lines.append(_line(cells))
    return "\n".join(lines)


def probe_table(result: dict[str, Any] | None) -> str:
    """Letters wrong by layer."""
    if result is None:
        return ""
    n_layers = len(result["rows"][0]["cer_by_height"]) - 1
    heights = ["input", *map(str, range(1, n_layers + 1))]
    lines = [
        f"| language | {' | '.join(heights)} | frozen: proposed | default |",
        "|---" * (n_layers + 4) + "|",
    ]
    for row in result["rows"]:
        errors = [f"{error[0]:.1%}" for error in row["cer_by_height"]]
        frozen = (row["proposed_frozen"], row["default_frozen"])
        lines.append(_line([row["language"], *errors, *(f"1–{layer}" for layer in frozen)]))
    return "\n".join(lines)


def pretraining_table(result: dict[str, Any] | None) -> str:
    """Letters wrong by the best layer's probe, before and after."""
    if result is None:
        return ""
    lines = ["| encoder | seed | input | layers | best |", "|---|---|---|---|---|"]
    for row in result["rows"]:
        first, *layers = (f"{error:.1%}" for error in row["cer_by_height"])
        cells = [row["encoder"], str(row["seed"]), first, ", ".join(layers)]
        lines.append(_line([*cells, f"{row['best_cer']:.1%}"]))
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rate(interval: list[float]) -> str:
    value, low, high = interval
    return f"{value:.1%} ({low:.1%}–{high:.1%})"


def _points(interval: list[float]) -> str:
    value, low, high = (100 * each for each in interval)
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"
