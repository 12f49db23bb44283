"""Writes the tables of the documents from results and cards, so that no figure is typed by hand.

python -m benchmarks.documents            write them
python -m benchmarks.documents --check    fail if they are not what the results say
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.language_tables import (
    corpora_table,
    identification_table,
    languages_claims_table,
    switching_table,
)
from benchmarks.source_tables import (
    ablations_table,
    agreement_table,
    pretraining_table,
    probe_table,
    source_bars_table,
    starts_table,
)
from benchmarks.transfer_tables import bars_table, curves_table, languages_table, speakers_table

ROOT = Path(__file__).parent.parent
DOCUMENTS = tuple(
    ROOT / name
    for name in ("README.md", "docs/transfer.md", "docs/sources.md", "docs/language-id.md")
)
_MANY = (4, 8, 16, 32)
_ENGINE = {"adapter_batch", "adapter_swap", "engine_overhead", "precision", "calibration"}


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


def engine_table(claims: dict[str, dict[str, Any]]) -> str:
    """What each benchmark of the worker claims, beside what was aimed at; empty until all ran."""
    if not claims.keys() >= _ENGINE:
        return ""
    batch, swap = claims["adapter_batch"], claims["adapter_swap"]
    others = ("grouped", "load_adapter", "load_adapter_grouped", "peft")
    least, most = (
        choose((batch[f"{rows}over_{other}_at_{n}"], other, n) for other in others for n in _MANY)
        for rows, choose in (("", min), ("short_", max))
    )
    overhead, calibration = claims["engine_overhead"], claims["calibration"]
    precision = claims["precision"]
    rows = [
        (
            "16 languages in a batch, over one: throughput",
            batch["mixed_16_over_single"],
            "≥ 0.97",
        ),
        (f"over the best other way, rows of 5 s ({least[1]}, {least[2]})", least[0], "> 1"),
        (f"over the worst other way, rows of 1 s ({most[1]}, {most[2]})", most[0], "> 1"),
        ("adapter of 10 MB, host memory to serving", f"{swap['host_to_serving_ms']} ms", "< 5 ms"),
        ("the same from disk", f"{swap['disk_to_serving_ms']} ms", "< 50 ms"),
        (
            "p99 of others while 20 adapters a second come",
            f"{swap['others_p99_change']:+.1%}",
            "< +5%",
        ),
        ("worker over bare encoder, throughput", overhead["worker_over_bare_encoder"], "≥ 0.85"),
        (
            "the same with the lexicon's search",
            overhead["worker_with_lexicon_over_bare_encoder"],
            "",
        ),
        (f"{precision['precision']} over float32, throughput", precision["speed_over_float32"], ""),
        (
            "words wrong, the same two, with the lexicon",
            f"{precision['wer_change_lexicon']:+.1%}",
            "",
        ),
        ("calibration error of words, adapters", f"{calibration['ece_adapter']:.1%}", ""),
        ("calibration error of words, universal", f"{calibration['ece_universal']:.1%}", ""),
    ]
    return "\n".join(
        ["| | measured | aim |", "|---|---|---|"]
        + [f"| {name} | {value} | {aim} |" for name, value, aim in rows]
    )


def streams_table(claims: dict[str, Any] | None) -> str:
    """Live streams held, ours and faster-whisper's, from `results/streams.json`, if it is there."""
    if claims is None:
        return ""
    bound, relaxed = f"{claims['bound_ms']:.0f} ms", f"{claims['relaxed_bound_ms']:.0f} ms"
    lines = [
        f"| streams held, p95 within | Panglot, {bound} | faster-whisper, {bound} "
        f"| Panglot, {relaxed} | faster-whisper, {relaxed} | words wrong |",
        "|---|---|---|---|---|---|",
    ]
    passes = {"": "language identified", "told_": "language told"}
    for prefix, name in passes.items():
        if f"{prefix}streams_ours" not in claims:
            continue
        held = [
            str(claims[f"{prefix}streams_{side}{at}"])
            for at in ("", "_relaxed")
            for side in ("ours", "faster_whisper")
        ]
        wrong = (claims[f"{prefix}wer_{side}"] for side in ("ours", "faster_whisper"))
        told = " / ".join("–" if each is None else f"{each:.1%}" for each in wrong)
        lines.append(f"| {name} | {' | '.join(held)} | {told} |")
    return "\n".join(lines)


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
        hours = card["training"]["hours"]
        speech = "not known" if hours is None else f"{hours * 60:.0f} min"
        row = [card["language"], speech, *figures, card["served_by"]]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def _rate(rate: dict[str, float]) -> str:
    return f"{rate['value']:.1%} ({rate['low']:.1%}–{rate['high']:.1%})"


def rendered(text: str) -> str:
    """`text` with the tables between its markers as the results have them."""
    results = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in (ROOT / "benchmarks/results").glob("*.json")
    }
    claims = {name: result["claims"] for name, result in results.items()}
    cards = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / "models").glob("*/card.json"))
    ]
    benefit = json.loads((ROOT / "transfer/sources/benefit.json").read_text(encoding="utf-8"))
    for name, table in (
        ("end_to_end", end_to_end_table(results["end_to_end"])),
        ("streams", streams_table(claims.get("streams"))),
        ("engine", engine_table(claims)),
        ("languages", languages_claims_table(results.get("lid"), results.get("code_switch"))),
        ("identification", identification_table(results.get("lid"))),
        ("switching", switching_table(results.get("code_switch"))),
        ("corpora", corpora_table(results.get("lid"))),
        ("adapters", adapters_table(cards)),
        ("transfer", languages_table(results.get("transfer"))),
        ("transfer bars", bars_table(results.get("transfer"))),
        ("speakers", speakers_table(results.get("transfer_speakers"))),
        ("curves", curves_table(results.get("transfer_curves"))),
        ("sources bars", source_bars_table(results.get("transfer_sources"))),
        ("agreement", agreement_table(benefit)),
        ("starts", starts_table(results.get("transfer_sources"))),
        ("ablations", ablations_table(results.get("transfer_ablations"))),
        ("probe", probe_table(results.get("transfer_probe"))),
        ("pretraining", pretraining_table(results.get("transfer_pretraining"))),
    ):
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        if begin not in text:
            continue
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        lines = [table] if table else []
        text = before + begin + "".join(f"{line}\n" for line in lines) + end + after
    return text


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if out of date")
    check: bool = parser.parse_args().check
    out_of_date = False
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        if not check:
            document.write_text(rendered(text), encoding="utf-8")
        elif rendered(text) != text:
            print(f"{document.name}: run python -m benchmarks.documents", file=sys.stderr)
            out_of_date = True
    return int(out_of_date)


if __name__ == "__main__":
    sys.exit(main())
