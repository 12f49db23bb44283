"""Step 1: the languages that a client asks for: what is made of them, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest
from panglot.v1 import transcription_pb2 as pb

from common.catalogue import Catalogue, ServedLanguage
from common.errors import InvalidRequest
from gateway.options import Options
from gateway.selection import with_languages
from tests.common.fake_relatives import stand_ins

TAGS = ("en", "fr", "it", "kpv", *(f"x{number:03}" for number in range(200)))
SERVED = {tag: ServedLanguage(tag, tag, f"{tag}@1", "sha256:", None) for tag in TAGS}
# Piedmontese and Ligurian are Italian's relatives, of whom identification knows one.
NEAR = stand_ins({"pms": {"it": 0.9}, "lij": {"it": 0.8, "fr": 0.7}, "gn": {"it": 0.2}})
CATALOGUE = Catalogue(SERVED, (SERVED.keys() | {"pms"}) - {"kpv"}, stand_ins=NEAR)
BEFORE = Options(
    fixed=SERVED["fr"],
    candidates=("en", "fr"),
    partials=False,
    boosted_phrases=("x",),
    weights={"en": 2.0},
)
Hints = Sequence[tuple[str, float]]


def asked(
    fixed: str | None = None, candidates: Sequence[str] | None = None, hints: Hints = ()
) -> Options:
    """What becomes of `BEFORE` when this is asked for."""
    selection = pb.LanguageSelection()
    if fixed is not None:
        selection.fixed = fixed
    if candidates is not None:
        selection.candidates.CopyFrom(pb.LanguageCandidates(languages=candidates))
    for tag, weight in hints:
        selection.hints.add(language=tag, weight=weight)
    return with_languages(BEFORE, selection, CATALOGUE, "there")


@pytest.mark.parametrize(
    ("options", "fixed", "candidates", "weights"),
    [
        (asked(), None, None, {}),
        (asked("it"), "it", None, {}),
        (asked(candidates=("it", "en")), None, ("it", "en"), {}),
        (asked(candidates=("it",)), "it", None, {}),
        (asked(candidates=("it",), hints=[("it", 3)]), "it", None, {}),
        (asked(candidates=("kpv",)), "kpv", None, {}),
        (asked(hints=[("it", 4), ("en-US", 0.25)]), None, None, {"it": 4, "en": 0.25}),
        (asked(candidates=("en", "it"), hints=[("en", 2)]), None, ("en", "it"), {"en": 2}),
        (asked(hints=[("it", 1000), ("en", 0.001)]), None, None, {"it": 1000, "en": 0.001}),
        (asked(candidates=TAGS[4:]), None, TAGS[4:], {}),
        (asked(candidates=("pms", "en")), None, ("pms", "en"), {}),
        (asked(hints=[("pms", 2)]), None, None, {"pms": 2}),
        (asked(hints=[(tag, 2) for tag in TAGS[4:]]), None, None, dict.fromkeys(TAGS[4:], 2)),
    ],
)
def test_a_selection_replaces_the_languages_and_nothing_else(
    options: Options,
    fixed: str | None,
    candidates: tuple[str, ...] | None,
    weights: Mapping[str, float],
) -> None:
    assert options.fixed == (fixed and SERVED[fixed])
    assert set(options.named) == {*([fixed] if fixed else ()), *(candidates or ()), *weights}
    assert options.candidates == candidates
    assert options.weights == pytest.approx(weights)
    assert (options.partials, options.boosted_phrases) == (False, ("x",))


@pytest.mark.parametrize("options", [asked("lij"), asked(candidates=("lij",)), asked("lij-IT")])
def test_a_language_by_its_relative_is_one_like_others(options: Options) -> None:
    assert options.fixed is not None
    assert (options.fixed.tag, options.fixed.adapter) == ("lij", "it@1")
    assert options.fixed.stand_in is not None
    assert (options.candidates, options.named) == (None, ("lij",))


REFUSED: dict[str, tuple[str | None, Sequence[str] | None, Hints, str]] = {
    "no tag": ("", None, (), "there.fixed is '', which is not served"),
    "an unknown language": ("qqq", None, (), "there.fixed is 'qqq', which is not served"),
    "no candidates": (None, (), (), "there.candidates has 0 tags: give 1 to 200"),
    "too many": (None, TAGS[:201], (), "there.candidates has 201 tags: give 1 to 200"),
    "an unknown candidate": (None, ("en", "qqq"), (), "there.candidates is 'qqq'"),
    "a candidate twice": (None, ("en", "en-GB"), (), "there.candidates names 'en' twice"),
    "a candidate that is not identified": (
        None,
        ("en", "kpv"),
        (),
        "there.candidates names 'kpv', which language identification does not know",
    ),
    "a language whose relatives are far": (
        "gn",
        None,
        (),
        "there.fixed is 'gn', which is not served",
    ),
    "a candidate by its relative that is not identified": (
        None,
        ("en", "lij"),
        (),
        "there.candidates names 'lij', which language identification does not know: name it alone",
    ),
    "a hint by its relative that is not identified": (
        None,
        None,
        [("lij", 2)],
        "there.hints names 'lij', which language identification does not know",
    ),
    "an unknown hint": (None, None, [("qqq", 2)], "there.hints is 'qqq', which is not served"),
    "a hint that has no language": (None, None, [("", 2)], "there.hints is ''"),
    "a hint that is not identified": (
        None,
        None,
        [("kpv", 2)],
        "there.hints names 'kpv', which language identification does not know",
    ),
    "a hint twice": (None, None, [("en", 2), ("en", 2)], "there.hints names 'en' twice"),
    "a hint twice under two names": (
        None,
        None,
        [("en-US", 2), ("en-GB", 3)],
        "there.hints names 'en' twice",
    ),
    "a hint outside the candidates": (
        None,
        ("en", "it"),
        [("fr", 2)],
        "there.hints names 'fr', which is not among there.candidates: add it there",
    ),
    "a hint outside the one candidate": (None, ("en",), [("fr", 2)], "not among there.candidates"),
    "a hint with a fixed language": (
        "en",
        None,
        [("en", 2)],
        "there.hints contradicts there.fixed, which leaves nothing to weigh",
    ),
    "too many hints": (
        None,
        None,
        [(tag, 2) for tag in TAGS[:201]],
        "there.hints has 201 languages: give at most 200",
    ),
    "no weight": (None, None, [("en", 0)], "'en' a weight of 0: give 0.001 to 1000"),
    "a negative weight": (None, None, [("en", -1)], "there.hints gives 'en' a weight of -1"),
    "a weight too small": (None, None, [("en", 0.0009)], "a weight of 0.0009: give 0.001"),
    "a weight too large": (None, None, [("en", 1001)], "a weight of 1001: give 0.001 to 1000"),
    "a weight that is no number": (None, None, [("en", math.nan)], "a weight of nan"),
    "a weight without bounds": (None, None, [("en", math.inf)], "a weight of inf"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_named(case: str) -> None:
    fixed, candidates, hints, says = REFUSED[case]
    with pytest.raises(InvalidRequest) as refused:
        asked(fixed, candidates, hints)
    assert says in str(refused.value)
    assert len(str(refused.value)) < 200  # it travels in a header
