"""The last step of teaching a language: a candidate into the store, and streams to it.

A version is written whole before anything is routed to it, and never changed after. What serves is
decided by the routing alone, one small document that is there or is not. So whatever breaks off in
the middle, and whoever publishes at the same time, what is served stays whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from common.adapter_files import CARD_FILE, AdapterFiles
from common.errors import AdapterRefused, InvalidRequest
from common.fleet import UNIVERSAL
from common.routing import Routing
from common.store import Holdings, StoreReader, reroute
from common.tags import standard_tag
from speech.adapters.card import (
    LEXICON_FILE,
    WEIGHTS_FILE,
    AdapterCard,
    ErrorRate,
    card_bytes,
    parse_card,
)
from speech.adapters.store import AdapterStore, open_weights
from transfer.publishing.candidate import UNPUBLISHED, Candidate
from transfer.publishing.rollout import serving


@dataclass(frozen=True)
class Publication:
    """What came of publishing.

    Attributes:
        card: of the version, as the store holds it.
        fresh: False where the store held the same already.
        routing: what serves the language now.
        warnings: what the publisher should know.
    """

    card: AdapterCard
    fresh: bool
    routing: Routing
    warnings: tuple[str, ...]


def publish(
    files: AdapterFiles,
    candidate: Candidate,
    *,
    canary: float | None = None,
    version: int | None = None,
    force: bool = False,
) -> Publication:
    """Add `candidate` to the store and route streams to it.

    Args:
        files: the store.
        candidate: verified, as `Candidate.read` gives it.
        canary: percent of the streams that hear it, above 0 and below 100; None for all of them.
        version: its number; None for the one after the last.
        force: publish it although it is worse than what serves.

    Raises:
        InvalidRequest: it is worse than what serves, or `version` holds something else.
        AdapterRefused: the store does not give back what was written.
        StoreUnavailable: the store cannot be read or written; what is served stays as it was.
    """
    tag = standard_tag(candidate.card.language)
    holdings = StoreReader(files).read()
    cards = cards_of(files, holdings, tag)
    before = serving(holdings.routing(tag), tag)
    if before is None and canary is not None:
        raise InvalidRequest(
            f"nothing serves {tag} that a canary could be tried against: publish without --canary"
        )
    if before is not None and not force:
        _check_better(candidate.card, cards.get(before.stable))
    same = next((card for card in cards.values() if _same(card, candidate.card)), None)
    if same is not None and version not in (None, same.version):
        raise InvalidRequest(f"{same.key} is the same adapter: leave --version {version} out")
    if before is not None:
        # Where nothing was routed the latest version serves: this one shall wait for its turn.
        reroute(files, tag, lambda now: serving(now, tag) or before)
    card = same or _placed(files, holdings, candidate, version)

    def routed(now: Routing | None) -> Routing:
        now = serving(now, tag)
        if now is None:
            return Routing(card.key)
        return now.with_stable(card.key) if canary is None else now.with_canary(card.key, canary)

    routing = reroute(files, tag, routed)
    files.sweep(holdings.unfinished)
    return Publication(card, same is None, routing, tuple(_warnings(card, cards.values())))


def cards_of(files: AdapterFiles, holdings: Holdings, tag: str) -> dict[str, AdapterCard]:
    """The cards of a language's versions, by key and in order of id and version.

    One that workers would refuse is left out.
    """
    cards = {}
    for version in holdings.of_language(tag):
        with suppress(AdapterRefused, FileNotFoundError):
            content = files.read(version.folder, CARD_FILE)
            cards[version.key] = parse_card(content, version.folder)
    return cards


def served_wer(card: AdapterCard) -> ErrorRate | None:
    """Held-out word error rate of the path that serves; None where it was not measured."""
    if card.evaluation is None:
        return None
    adapter = card.served_by == "adapter"
    measured = card.evaluation.adapter if adapter else card.evaluation.universal
    return measured.wer if measured else None


def told(rate: ErrorRate) -> str:
    """`20.6 % (14.0–26.9)`: an error rate with its 95% interval."""
    return f"{rate.value:.1%} ({100 * rate.low:.1f}–{100 * rate.high:.1f})"


def _check_better(candidate: AdapterCard, serves: AdapterCard | None) -> None:
    rate = None if serves is None else served_wer(serves)
    if serves is None or serves.evaluation is None or rate is None:
        return
    found = served_wer(candidate)
    if found is None or candidate.evaluation is None:
        raise InvalidRequest(
            f"the candidate was not measured, and {serves.key}, which serves, was: "
            f"evaluate it first, or publish it with --force"
        )
    if found.value > rate.value:
        raise InvalidRequest(
            f"the candidate has a held-out WER of {told(found)} on {candidate.evaluation.n_clip} "
            f"clips; {serves.key}, which serves, has {told(rate)} on {serves.evaluation.n_clip}: "
            "publish it all the same with --force"
        )


def _placed(
    files: AdapterFiles, holdings: Holdings, candidate: Candidate, version: int | None
) -> AdapterCard:
    """Write the version, and read it back as a worker will."""
    numbers = [held.number for held in holdings.versions.values() if held.id == candidate.card.id]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    number = version or max(numbers, default=0) + 1
    card = replace(candidate.card, version=number, published=now)
    while card.key in holdings.versions or not _written(files, card, candidate):
        if version is not None:
            raise InvalidRequest(
                f"{card.key} is there with other content, and a version never changes: "
                "leave --version out for the next number"
            )
        card = replace(card, version=card.version + 1)
    shape, _ = open_weights(card, candidate.weights)
    return AdapterStore(files, card.base_fingerprint, shape.d_model).load(card.key).card


def _written(files: AdapterFiles, card: AdapterCard, candidate: Candidate) -> bool:
    """Whether all of it is there now; False where somebody else has that number.

    The card comes last: without it there is no version.
    """
    contents = {WEIGHTS_FILE: candidate.weights, LEXICON_FILE: candidate.lexicon}
    for file, content in contents.items():
        if content is not None and not _created(files, card.key, file, content):
            return False
    try:
        files.create(card.key, CARD_FILE, card_bytes(card))
    except FileExistsError:
        return _same(parse_card(files.read(card.key, CARD_FILE), card.key), card)
    return True


def _created(files: AdapterFiles, folder: str, file: str, content: bytes) -> bool:
    """Whether the file is there with this content, also where it was there before."""
    try:
        files.create(folder, file, content)
    except FileExistsError:
        return files.read(folder, file) == content
    return True


def _same(card: AdapterCard, other: AdapterCard) -> bool:
    """Whether two cards describe the same adapter, whatever its version."""
    one, two = (replace(each, version=UNPUBLISHED, published=None) for each in (card, other))
    return one == two


def _warnings(card: AdapterCard, others: Iterable[AdapterCard]) -> Iterator[str]:
    bases = {other.base_fingerprint for other in others} - {card.base_fingerprint}
    if bases:
        yield (
            f"{card.key} needs workers of base {card.base_fingerprint:.19}…; the other versions of "
            f"{card.language} need {', '.join(f'{base:.19}…' for base in sorted(bases))}"
        )
    judged = card.evaluation
    if card.served_by == UNIVERSAL and judged is not None and judged.universal is not None:
        yield (
            f"the universal path serves in place of {card.key}, because it hears {card.language} "
            f"better: WER {told(judged.universal.wer)}, the adapter {told(judged.adapter.wer)}"
        )
