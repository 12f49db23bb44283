"""Writes the tables of README.md from results and cards, so that no figure is typed by hand.

python -m benchmarks.readme            write them
python -m benchmarks.readme --check    fail if they are not what the results say
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def end_to_end_table(result: dict[str, Any]) -> str:
    """The claims of `results/end_to_end.json`, one row each."""
    claims, machine = result["claims"], result["machine"]
    rows = [
        (
            "end of speech to final, one live stream",
            f"p50 {claims['latency_p50_ms']:.0f} ms, p95 {claims['latency_p95_ms']:.0f} ms",
        ),
        ("words wrong, language not told", f"{claims['wer']:.1%}"),
        ("streams in the right language throughout", f"{claims['right_language']:.1%}"),
        ("files, one sender", f"{claims['times_real_time_one_sender']} × real time"),
        ("files, four senders", f"{claims['times_real_time_four_senders']} × real time"),
        ("memory of a worker", f"{claims['worker_memory_mib']} MiB"),
    ]
    where = f"{machine['cores']} cores of {machine['cpu']}, {machine['date']}"
    return "\n".join(
        [f"| on {where} | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    )


def adapters_table(cards: list[dict[str, Any]]) -> str:
    """Held-out error rates of each shipped adapter beside the universal path."""
    lines = [
        "| language | speech | adapter WER | CER | universal WER | CER | served by |",
        "|---|---|---|---|---|---|---|",
    ]
    for card in cards:
        judged = card["evaluation"]
        figures = [
            _rate(judged[path][rate])
            for path in ("adapter", "universal")
            for rate in ("wer", "cer")
        ]
        minutes = f"{card['training']['hours'] * 60:.0f} min"
        row = [card["language"], minutes, *figures, card["served_by"]]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def _rate(rate: dict[str, float]) -> str:
    return f"{rate['value']:.1%} ({rate['low']:.1%}–{rate['high']:.1%})"


def rendered(text: str) -> str:
    """`text` with the tables between its markers as the results have them."""
    result = json.loads((ROOT / "benchmarks/results/end_to_end.json").read_text(encoding="utf-8"))
    cards = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / "models").glob("*/card.json"))
    ]
    for name, table in (
        ("end_to_end", end_to_end_table(result)),
        ("adapters", adapters_table(cards)),
    ):
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}{table}\n{end}{after}"
    return text


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if out of date")
    check: bool = parser.parse_args().check
    text = README.read_text(encoding="utf-8")
    if check:
        if rendered(text) != text:
            print("README.md is out of date: python -m benchmarks.readme", file=sys.stderr)
            return 1
        return 0
    README.write_text(rendered(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
