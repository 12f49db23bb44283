"""From what was asked for to sources with their weights: those named, or those that rank best."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.adapter_files import AdapterFiles
from common.errors import InvalidRequest, UnknownLanguage
from common.relatives import Relatives
from common.tags import fallbacks
from speech.adapters.card import AdapterCard
from speech.adapters.kinds import AdapterShape
from speech.adapters.store import AdapterStore, LoadedAdapter
from speech.base_model import BaseModel
from transfer.sources.adapters import read_adapters
from transfer.sources.benefit import Benefit
from transfer.sources.knowledge import SourceAdapter
from transfer.sources.ranking import Ranked, rank_adapters, weights
from transfer.training.run import span
from transfer.training.source import Fusion, Source, Start
from transfer.training.start.request import Request, parse_request


def choose_start(
    language: str, text: str, fusion: Fusion | None, base: BaseModel, models: Path
) -> tuple[Start, AdapterShape]:
    """The sources that `--from` asks for, and the shape of what starts from them.

    With `best`, the default, the source of which the ranking expects most is taken alone. With the
    others, weights that are not given are those of the ranking: the more alike the language, the
    more its adapter counts.

    Args:
        language: BCP-47 tag of the target.
        text: see `parse_request`.
        fusion: None where none was asked for.
        base: the model to teach.
        models: an adapter store.

    Raises:
        InvalidRequest: the request contradicts itself, or nothing in the store fits it.
        AdapterNotFound, AdapterRefused: there is no such adapter, or it is of another base.
    """
    request = parse_request(text)
    files = AdapterFiles(str(models))
    keys = request.keys or _best_keys(language, request.count, files, base)
    store = AdapterStore(files, base.fingerprint, base.encoder.d_model)
    found = [_load(key, store, base) for key in keys]
    if len(found) == 1:
        if fusion not in (None, "best"):
            raise InvalidRequest(
                f"--fusion {fusion} is of several adapters, and there is {keys[0]} alone: give "
                "more with --from, such as es@2,it@2, or leave --fusion out"
            )
        return Start((_source(found[0]),)), found[0].shape
    _check_others(language, found)
    if fusion in (None, "best"):
        return _best(language, found, request)
    _check_together(found, any_rank=fusion == "concatenation")
    shares, why = _weights(language, [each.card for each in found], request)
    sources = tuple(_source(each) for each in found)
    return Start(sources, shares, fusion, why=why), found[0].shape


def _load(key: str, store: AdapterStore, base: BaseModel) -> LoadedAdapter:
    loaded = store.load(key)
    last, n_layers = max(loaded.shape.layers, default=-1), base.encoder.n_layers
    if last >= n_layers:
        raise InvalidRequest(
            f"{key} has a block after layer {last + 1}: {base.name} has {n_layers} layers; give an "
            "adapter of this base model"
        )
    return loaded


def _source(loaded: LoadedAdapter) -> Source:
    card = loaded.card
    return Source(card.key, loaded.tensors, card.vocabulary, card.language)


def _check_others(language: str, found: Sequence[LoadedAdapter]) -> None:
    for card in (each.card for each in found):
        if _same_language(card.language, language):
            raise InvalidRequest(
                f"{card.key} hears {language} itself: give it alone to go on from it, or leave it "
                "out"
            )


def _check_together(found: Sequence[LoadedAdapter], *, any_rank: bool) -> None:
    first = found[0]
    for other in found[1:]:
        for name, ours, theirs in (
            ("kind", first.card.kind, other.card.kind),
            ("layers", span(first.card.layers), span(other.card.layers)),
            ("rank", first.card.rank, other.card.rank),
        ):
            if ours != theirs and not (any_rank and name == "rank"):
                side = "; of different ranks with --fusion concatenation" if name == "rank" else ""
                raise InvalidRequest(
                    f"{other.card.key} has {name} {theirs}, {first.card.key} has {ours}: only "
                    f"adapters of one shape are put together{side}"
                )


def _best(
    language: str, found: Sequence[LoadedAdapter], request: Request
) -> tuple[Start, AdapterShape]:
    """The heaviest as asked, else that which ranks first, else that which was named first."""
    keys = [each.card.key for each in found]
    first, why = keys[0], "the first named"
    if request.weights is not None:
        first = keys[request.weights.index(max(request.weights))]
        why = "the heaviest"
    elif ranked := _ranked(language, [SourceAdapter.of(each.card) for each in found]):
        first, why = _key(ranked[0]), f"{ranked[0].benefit:.0%} of errors less expected"
        why += f" ({'; '.join(ranked[0].reasons)})"
    chosen = found[keys.index(first)]
    others = ", ".join(key for key in keys if key != first)
    return Start((_source(chosen),), why=(f"before {others}: {why}",)), chosen.shape


def _weights(
    language: str, cards: Sequence[AdapterCard], request: Request
) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Of each source its share of the whole, and why so."""
    if request.weights is not None:
        total = sum(request.weights)
        return tuple(weight / total for weight in request.weights), ("as asked",) * len(cards)
    ranked = _ranked(language, [SourceAdapter.of(card) for card in cards])
    if not ranked:
        why = "equal weights: how alike the languages are is not known"
        return (1 / len(cards),) * len(cards), (why,) * len(cards)
    reasons = {_key(one): "; ".join(one.reasons) for one in ranked}
    shares = weights(language, [card.language for card in cards])
    return shares, tuple(reasons[card.key] for card in cards)


def _best_keys(language: str, count: int, files: AdapterFiles, base: BaseModel) -> tuple[str, ...]:
    """Keys of the adapters of other languages that rank best, at most one of each language."""
    relatives = Relatives.read()
    fitting = [
        adapter
        for adapter in read_adapters(files, base.fingerprint)
        if not _same_language(adapter.tag, language) and relatives.table.knows(adapter.tag)
    ]
    if not fitting:
        raise InvalidRequest(
            f"--from auto finds no adapter of another language that fits {base.name} in the "
            "store: give another with --models, or leave --from out to start from nothing"
        )
    best: dict[str, str] = {}
    for one in rank_adapters(relatives, Benefit.read(), language, fitting):
        best.setdefault(one.pair.source, _key(one))
    return tuple(best.values())[:count]


def _ranked(language: str, adapters: Sequence[SourceAdapter]) -> list[Ranked]:
    """The best first; [] where nothing is known of one of the languages."""
    try:
        return rank_adapters(Relatives.read(), Benefit.read(), language, adapters)
    except UnknownLanguage:
        return []


def _key(ranked: Ranked) -> str:
    assert ranked.adapter is not None
    return ranked.adapter.key


def _same_language(tag: str, other: str) -> bool:
    return bool(({*fallbacks(tag)} & {*fallbacks(other)}) - {""})
