"""Step 1: which languages a client asks for, at the start of a stream or in the middle of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from panglot.v1 import transcription_pb2

from common.catalogue import Catalogue, ServedLanguage
from common.errors import InvalidRequest
from gateway.options import Options

MAX_TAGS = 200
_WEIGHT = (0.001, 1000.0)


def with_languages(
    options: Options,
    selection: transcription_pb2.LanguageSelection,
    catalogue: Catalogue,
    field: str,
) -> Options:
    """`options` with the languages of `selection` in place of those they had.

    One candidate alone is a fixed language.

    Args:
        field: where the client gave `selection`, for messages.

    Raises:
        InvalidRequest, UnknownLanguage: names the field, the value, the limit.
    """
    fixed, candidates = None, None
    match selection.WhichOneof("selection"):
        case "fixed":
            fixed = catalogue.find(selection.fixed, f"{field}.fixed")
            if selection.hints:
                raise InvalidRequest(
                    f"{field}.hints contradicts {field}.fixed, which leaves nothing to weigh: "
                    "give only one of them"
                )
        case "candidates":
            candidates = _told_apart(selection.candidates.languages, catalogue, field)
    weights = _weights(selection.hints, candidates, catalogue, field)
    if candidates is not None and len(candidates) == 1:
        fixed, candidates, weights = catalogue.find(candidates[0], field), None, {}
    return replace(options, fixed=fixed, candidates=candidates, weights=weights)


def _told_apart(tags: Sequence[str], catalogue: Catalogue, field: str) -> tuple[str, ...]:
    """The languages among which to choose."""
    name = f"{field}.candidates"
    if not 1 <= len(tags) <= MAX_TAGS:
        raise InvalidRequest(f"{name} has {len(tags)} tags: give 1 to {MAX_TAGS}")
    found = []
    for tag in tags:
        language = catalogue.find(tag, name)
        if len(tags) > 1:
            _check_identified(language, catalogue, name, field)
        found.append(language.tag)
    _check_none_twice(found, name)
    return tuple(found)


def _weights(
    hints: Sequence[transcription_pb2.LanguageHint],
    candidates: Sequence[str] | None,
    catalogue: Catalogue,
    field: str,
) -> Mapping[str, float]:
    """Prior weights by tag; 1 for every language that is not in it."""
    name = f"{field}.hints"
    if len(hints) > MAX_TAGS:
        raise InvalidRequest(f"{name} has {len(hints)} languages: give at most {MAX_TAGS}")
    low, high = _WEIGHT
    tags = []
    for hint in hints:
        language = catalogue.find(hint.language, name)
        if not low <= hint.weight <= high:  # and not if it is no number
            raise InvalidRequest(
                f"{name} gives {language.tag!r} a weight of {hint.weight:g}: "
                f"give {low:g} to {high:g}"
            )
        if candidates is None:
            _check_identified(language, catalogue, name, field)
        elif language.tag not in candidates:
            raise InvalidRequest(
                f"{name} names {language.tag!r}, which is not among {field}.candidates: add it "
                "there, or leave the hint out"
            )
        tags.append(language.tag)
    _check_none_twice(tags, name)
    return {tag: hint.weight for tag, hint in zip(tags, hints, strict=True)}


def _check_none_twice(tags: Sequence[str], name: str) -> None:
    if len(set(tags)) < len(tags):
        twice = next(tag for tag in tags if tags.count(tag) > 1)
        raise InvalidRequest(f"{name} names {twice!r} twice")


def _check_identified(
    language: ServedLanguage, catalogue: Catalogue, name: str, field: str
) -> None:
    if not catalogue.is_identified(language):
        raise InvalidRequest(
            f"{name} names {language.tag!r}, which language identification does not know: name it "
            f"alone, in {field}.fixed"
        )
