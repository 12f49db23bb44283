"""Findings in words and figures, the same on the terminal and in the HTML report."""

from __future__ import annotations

from speech.adapters.card import AdapterCard, ErrorRate
from transfer.evaluation.findings import Findings, Part
from transfer.evaluation.scoring import Confusion, Difference
from transfer.evaluation.timing import PathTimes

FEW_CLIPS = 30
"""With fewer the intervals themselves are not to be relied on."""
NOTHING = "∅"
_SPACE = "␣"


def sentence(whole: Part) -> str:
    """The result for anybody: errors in 100 words, beside the universal model's."""
    said = f"In 100 words it makes {per_hundred(whole.scores['adapter'].wer.value)} errors"
    if whole.against_universal is None:
        return f"{said}. There is no universal model to compare with."
    other = per_hundred(whole.scores["universal"].wer.value)
    return f"{said}, the universal model {other}. {verdict(whole.against_universal, whole.n_clip)}"


def verdict(compared: Difference, n_clip: int) -> str:
    """Whether the difference to the universal path can be believed."""
    if n_clip == 1:
        return "One clip says nothing about others."
    low, high = compared.wer.low, compared.wer.high
    if not compared.real:
        return (
            "The difference may be chance: on other clips like these anything from "
            f"{per_hundred(-low)} fewer to {per_hundred(high)} more is likely (95% interval)."
        )
    fewer = high < 0
    nearer, farther = map(per_hundred, (-high, -low) if fewer else (low, high))
    better = "fewer" if fewer else "more"
    return f"The difference is real: {nearer} to {farther} {better} (95% interval)."


def warnings(findings: Findings) -> list[str]:
    """What a reader must know before believing the figures."""
    told = []
    if findings.split != "held_out":
        told.append(
            f"These are clips of split '{findings.split}', which training or tuning has seen: the "
            "figures flatter."
        )
    if findings.left_out:
        told.append(
            f"{findings.left_out} clips are left out: their text is also in training or "
            "development. Split the data by text."
        )
    if findings.known_voices:
        told.append(
            "All voices that are judged were also taught with: expect others to be heard worse."
        )
    if findings.whole.n_clip < FEW_CLIPS:
        told.append(
            f"{findings.whole.n_clip} clips are few: with fewer than {FEW_CLIPS} even the "
            "intervals are not to be relied on."
        )
    return told


def times(found: PathTimes) -> str:
    """What a clip costs."""
    said = f"A clip of {found.audio_s:.1f} s takes {found.adapter_s * 1000:.0f} ms"
    if found.universal_s is not None and found.ratio is not None:
        said += f", the universal model {found.universal_s * 1000:.0f} ms: {found.ratio:.3f} of it"
    return f"{said} (medians of {found.n_clip} clips, one core, {found.precision})."


def made_of(card: AdapterCard) -> list[tuple[str, str]]:
    """How an adapter was made, as names with values."""
    training, lexicon = card.training, card.lexicon
    hours = "not known" if training.hours is None else f"{60 * training.hours:.1f} min"
    weighed = "none"
    if lexicon is not None:
        weighed = (
            f"LM weight {lexicon.lm_weight:g}, word score {lexicon.word_score:g}, "
            f"beam {lexicon.beam_size}"
        )
    corpora = zip(training.sources, training.licences, strict=True)
    return [
        ("taught with", hours),
        ("speech", "; ".join(f"{source} ({licence})" for source, licence in corpora)),
        ("strategy", training.strategy),
        ("optimiser steps", str(training.steps)),
        ("seed", str(training.seed)),
        ("adapter", f"{card.kind}, rank {card.rank}, {len(card.vocabulary)} symbols"),
        ("layers", ", ".join(str(layer + 1) for layer in card.layers)),
        ("lexicon", weighed),
        ("base model", f"{card.base_model} ({card.base_fingerprint:.19}…)"),
    ]


def per_hundred(rate: float) -> str:
    """0.2053 → `21`; small numbers with a decimal."""
    hundred = 100 * rate
    return f"{hundred:.0f}" if abs(hundred) >= 9.95 else f"{hundred:.1f}"


def percent(value: float) -> str:
    """0.2053 → `20.5%`."""
    return f"{value:.1%}"


def interval(rate: ErrorRate, n_clip: int) -> str:
    """The bounds as `14.0–26.9%`; what stands there instead for a single clip."""
    if n_clip == 1:
        return "one clip: no interval"
    return f"{100 * rate.low:.1f}–{rate.high:.1%}"


def change(compared: Difference, n_clip: int) -> str:
    """The difference in points with its interval, and whether it is real."""
    wer = compared.wer
    said = f"{100 * wer.value:+.1f}"
    if n_clip == 1:
        return said
    real = ("better" if wer.high < 0 else "worse") if compared.real else "may be chance"
    return f"{said} ({100 * wer.low:+.1f} to {100 * wer.high:+.1f}), {real}".replace("-", "−")


def shown(text: str) -> str:
    """A word or character, with signs for a space and for nothing."""
    return text.replace(" ", _SPACE) or NOTHING


def confusion(found: Confusion) -> str:
    """`un → una 3×`."""
    return f"{shown(found.said)} → {shown(found.heard)} {found.count}×"
