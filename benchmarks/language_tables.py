"""Tables of `docs/language-id.md` and the README, from `results/{lid,code_switch}.json`."""

from __future__ import annotations

from typing import Any


def identification_table(result: dict[str, Any] | None) -> str:
    """Accuracy by model and seconds of speech, among the taught languages and among all."""
    if result is None:
        return ""
    rows = [row for row in result["rows"] if "accuracy" in row]
    lengths = sorted({row["speech_s"] for row in rows})
    names = [f"{seconds:g} s" for seconds in lengths]
    lines = [
        f"| | {' | '.join(names)} | {' | '.join(f'{name}, of 99' for name in names)} |",
        "|---|" + "---|" * (2 * len(lengths)),
    ]
    for model in dict.fromkeys(row["model"] for row in rows):
        means = [
            _mean([row for row in rows if (row["model"], row["choice"], row["speech_s"]) == key])
            for choice in ("restricted", "open")
            for key in ((model, choice, seconds) for seconds in lengths)
        ]
        lines.append(f"| {model} | {' | '.join(means)} |")
    return "\n".join(lines)


def corpora_table(result: dict[str, Any] | None) -> str:
    """Accuracy on 1 and 2 s by corpus, for each model."""
    if result is None:
        return ""
    rows = [row for row in result["rows"] if row.get("choice") == "restricted"]
    models = list(dict.fromkeys(row["model"] for row in rows))
    lines = [
        "| speaker | " + " | ".join(f"{model}: 1 s, 2 s" for model in models) + " |",
        "|---|" + "---|" * len(models),
    ]
    for corpus in dict.fromkeys(row["corpus"] for row in rows):
        cells = []
        for model in models:
            found = {
                row["speech_s"]: f"{row['accuracy']:.0%}"
                for row in rows
                if (row["model"], row["corpus"]) == (model, corpus)
            }
            cells.append(", ".join(found.get(seconds, "–") for seconds in (1.0, 2.0)))
        lines.append(f"| {corpus.replace(':', ', ')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def switching_table(result: dict[str, Any] | None) -> str:
    """Each kind of stream of `results/code_switch.json` in which the language changes."""
    if result is None:
        return ""
    lines = [
        "| | spans | time in a wrong language | words wrong, true spans given | changes found |",
        "|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        if not row.get("changes"):
            continue
        found = f"{row['changes'] - row['changes_missed']} of {row['changes']}"
        wrong = f"{row['wer']:.1%}, {row['wer_told']:.1%}"
        error = f"{row['language_error'][0]:.1%}"
        name = f"{row['languages']}, {row['joint']}"
        lines.append(f"| {name} | {row['spans']} | {error} | {wrong} | {found} |")
    return "\n".join(lines)


def languages_claims_table(lid: dict[str, Any] | None, switch: dict[str, Any] | None) -> str:
    """What is aimed at, and what was reached."""
    rows: list[tuple[str, str, str]] = []
    if lid is not None:
        claims = lid["claims"]
        rows += [
            ("language right on 1 s of speech, of 11", f"{claims['accuracy_1s']:.1%}", "≥ 93%"),
            ("on 2 s", f"{claims['accuracy_2s']:.1%}", "≥ 98%"),
            ("a 2 s window over the wire, p50", f"{claims['latency_p50_ms']} ms", "≤ 50 ms"),
            ("p95", f"{claims['latency_p95_ms']} ms", "≤ 80 ms"),
            ("windows a second, 32 callers at once", f"{claims['windows_per_s']}", ""),
        ]
    if switch is not None:
        claims = switch["claims"]
        rows += [
            (
                "speakers who switch: time in a wrong language",
                _share(claims["language_error"]),
                "≤ 8%",
            ),
            (
                "their words wrong, over those with true spans",
                _ratio(claims["wer_over_oracle"]),
                "≤ 1.1",
            ),
            ("change told after, p50", _time(claims["change_found_p50_ms"]), "≤ 1000 ms"),
            (
                "later finals for one-language speakers, p50",
                _time(claims["extra_latency_p50_ms"]),
                "≤ 5 ms",
            ),
        ]
    if not rows:
        return ""
    return "\n".join(
        ["| | measured | aim |", "|---|---|---|"]
        + [f"| {name} | {value} | {aim} |" for name, value, aim in rows]
    )


def _mean(rows: list[dict[str, Any]]) -> str:
    by_language: dict[str, list[float]] = {}
    for row in rows:
        by_language.setdefault(row["corpus"].partition(":")[0], []).append(row["accuracy"])
    means = [sum(each) / len(each) for each in by_language.values()]
    return f"{sum(means) / len(means):.1%}" if means else "–"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _time(value: float | None) -> str:
    return "more than half are missed" if value is None else f"{value:.0f} ms"
