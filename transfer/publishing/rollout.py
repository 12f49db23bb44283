"""Which of the published versions serves a language: the canary's end, and the way back."""

from __future__ import annotations

from common.adapter_files import AdapterFiles
from common.catalogue import universal_languages
from common.errors import InvalidRequest
from common.fleet import UNIVERSAL
from common.routing import Routing
from common.store import Holdings, StoreReader, reroute


def promote(files: AdapterFiles, tag: str) -> Routing:
    """The canary hears all streams from now on. Raises InvalidRequest where there is none."""
    return reroute(files, tag, lambda now: _served(now, tag).promoted())


def rollback(files: AdapterFiles, tag: str, to: str | None = None) -> Routing:
    """Take the canary away; without one, go back to what was stable before, or to version `to`.

    `to` is `<id>@<version>`, the version alone, or `universal`.

    Raises:
        InvalidRequest: there is nothing to go back to, or the store does not hold it.
    """
    holdings = StoreReader(files).read()
    target = None if to is None else _version_named(to, holdings, tag)

    def changed(now: Routing | None) -> Routing:
        served = _served(now, tag)
        routing = served.rolled_back() if target is None else served.rolled_back_to(target)
        if routing.stable not in (UNIVERSAL, *holdings.versions):
            raise InvalidRequest(
                f"{routing.stable} served {tag} before and is not in the store any more: "
                "name another with --to"
            )
        return routing

    return reroute(files, tag, changed)


def serving(routing: Routing | None, tag: str) -> Routing | None:
    """What serves a language: what is routed, else the base model where it knows the language."""
    if routing is None and tag in universal_languages():
        return Routing(UNIVERSAL)
    return routing


def _served(now: Routing | None, tag: str) -> Routing:
    served = serving(now, tag)
    if served is None:
        raise InvalidRequest(f"the store holds no version of {tag}: publish one first")
    return served


def _version_named(name: str, holdings: Holdings, tag: str) -> str:
    if name == UNIVERSAL and tag in universal_languages():
        return name
    keys = [version.key for version in holdings.of_language(tag)]
    found = [key for key in keys if name in (key, key.partition("@")[2])]
    if len(found) != 1:
        raise InvalidRequest(
            f"--to {name!r:.60} names {'several versions' if found else 'no version'} of {tag}: "
            f"give one of {', '.join(keys) or 'those that are published'}"
        )
    return found[0]
