"""What a store holds, and which of it serves: the cards of all versions, and the routings.

There is no torch here: of a card only what routing needs is read.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import structlog

from common.adapter_files import AdapterFiles
from common.errors import StoreUnavailable
from common.fleet import UNIVERSAL
from common.routing import Routing, parse_routing
from common.tags import standard_tag

ROUTING_FOLDER = "routing"
_ROUTING_FILE = re.compile(r"(?P<tag>[A-Za-z0-9-]+)\.(?P<number>[0-9]+)\.json")
_ATTEMPTS = 100
_log = structlog.get_logger()


@dataclass(frozen=True)
class Version:
    """One version of an adapter, as its card describes it.

    Attributes:
        id, number: together its key.
        tag: BCP-47, of the language it hears.
        folder: where it lies.
        served_by: `adapter`, or `universal` where that hears the language better.
        base_fingerprint: of the encoder it needs.
        held_out_wer: of the path that serves, 0 upward; None where not measured.
    """

    id: str
    number: int
    tag: str
    folder: str
    served_by: str
    base_fingerprint: str
    held_out_wer: float | None

    @property
    def key(self) -> str:
        """`<id>@<version>`."""
        return f"{self.id}@{self.number}"


@dataclass(frozen=True)
class RoutingDocument:
    """A language's latest routing that can be read, and the highest number of its documents."""

    number: int
    routing: Routing | None


@dataclass(frozen=True)
class Holdings:
    """A store at one moment.

    Attributes:
        versions: by key.
        documents: by tag; none for a language whose versions nobody has routed.
        unfinished: folders of versions that have no card: being published, or left by a crash.
    """

    versions: Mapping[str, Version]
    documents: Mapping[str, RoutingDocument]
    unfinished: tuple[str, ...] = ()

    def of_language(self, tag: str) -> list[Version]:
        """Its versions, by id and number."""
        found = (version for version in self.versions.values() if version.tag == tag)
        return sorted(found, key=lambda version: (version.id, version.number))

    def routing(self, tag: str) -> Routing | None:
        """Which versions serve a language; None where none does.

        Without a document: of each adapter the highest version, and of several adapters the one
        with the lowest held-out word error rate, one that was measured before one that was not,
        then the first by id.
        """
        document = self.documents.get(tag)
        routing = document.routing if document else None
        if routing is not None and routing.stable in (UNIVERSAL, *self.versions):
            lost = routing.canary is not None and routing.canary not in self.versions
            return Routing(routing.stable, previous=routing.previous) if lost else routing
        if routing is not None:
            _log.error("routed version is missing", language=tag, adapter=routing.stable)
        latest = {version.id: version for version in self.of_language(tag)}
        best = min(latest.values(), key=_by_error_rate, default=None)
        return None if best is None else Routing(best.key)


class StoreReader:
    """Reads what a store holds, again and again; what it has read once it does not read again."""

    def __init__(self, files: AdapterFiles) -> None:
        """Read `files`."""
        self._files = files
        self._versions: dict[str, Version] = {}
        self._documents: dict[str, RoutingDocument] = {}
        self._told: set[tuple[str, str]] = set()

    def read(self) -> Holdings:
        """The store now: two listings, and the files that are new. Blocks.

        A card or a routing that cannot be read is logged once and left out: the rest is served.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        folders = self._files.names()
        cards = self._files.cards(name for name in folders if name not in self._versions)
        known = {name: self._versions[name] for name in folders if name in self._versions}
        for folder, content in cards.items():
            try:
                known[folder] = _version(folder, json.loads(content))
            except (ValueError, KeyError, TypeError) as error:
                self._tell("card ignored", folder, error)
        self._versions = known
        self._read_documents()
        return Holdings(
            # `it@2` comes after `it`, and wins where both say that they are `it@2`.
            versions={known[folder].key: known[folder] for folder in sorted(known)},
            documents=dict(self._documents),
            unfinished=tuple(
                name for name in folders if "@" in name and name not in {*cards, *known}
            ),
        )

    def _read_documents(self) -> None:
        numbers: dict[str, list[tuple[int, str]]] = {}
        for name in self._files.names(ROUTING_FOLDER):
            if match := _ROUTING_FILE.fullmatch(name):
                numbers.setdefault(match["tag"], []).append((int(match["number"]), name))
        self._documents = {
            tag: self._latest(tag, sorted(found, reverse=True)) for tag, found in numbers.items()
        }

    def _latest(self, tag: str, found: list[tuple[int, str]]) -> RoutingDocument:
        number = found[0][0]
        known = self._documents.get(tag)
        if known is not None and known.number == number:
            return known
        for _, name in found:
            try:
                content = self._files.read(ROUTING_FOLDER, name)
                return RoutingDocument(number, parse_routing(content))
            except (ValueError, FileNotFoundError) as error:
                self._tell("routing ignored", name, error)
        return RoutingDocument(number, None)

    def _tell(self, event: str, name: str, error: Exception) -> None:
        told = (name, repr(error))
        if told not in self._told:
            self._told.add(told)
            _log.error(event, name=name, error=repr(error))


def reroute(files: AdapterFiles, tag: str, change: Callable[[Routing | None], Routing]) -> Routing:
    """Change what serves a language: the next document, or none where nothing changes.

    `change` gets what serves now. Of two that change it at once, the slower one's is applied to
    what the quicker one left, so `change` may be called more than once; it may raise.

    Raises:
        StoreUnavailable: the store does not answer, or cannot be written.
    """
    reader = StoreReader(files)
    for _ in range(_ATTEMPTS):
        holdings = reader.read()
        before = holdings.routing(tag)
        after = change(before)
        document = holdings.documents.get(tag)
        if document is not None and document.routing == after:
            return after
        number = 1 + (document.number if document else 0)
        with suppress(FileExistsError):
            files.create(ROUTING_FOLDER, f"{tag}.{number:06}.json", after.to_json())
            return after
    raise StoreUnavailable(f"the routing of {tag} changes faster than it can be read: try again")


def _by_error_rate(version: Version) -> tuple[bool, float, str]:
    return version.held_out_wer is None, version.held_out_wer or 0.0, version.id


def _version(folder: str, card: dict[str, object]) -> Version:
    served_by = str(card["served_by"])
    wer = None
    if isinstance(evaluation := card["evaluation"], dict):
        wer = float(evaluation[served_by]["wer"]["value"])
        if math.isnan(wer) or wer < 0:
            raise ValueError(f"a word error rate of {wer}")
    version = Version(
        id=str(card["id"]),
        number=int(str(card["version"])),
        tag=standard_tag(str(card["language"])),
        folder=folder,
        served_by=served_by,
        base_fingerprint=str(card["base_fingerprint"]),
        held_out_wer=wer,
    )
    if folder not in (version.id, version.key):
        raise ValueError(f"folder {folder} holds {version.key}: name it so, or {version.id}")
    return version
