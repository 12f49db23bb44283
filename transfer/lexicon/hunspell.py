"""Hunspell dictionaries spelt out: every form that the affix rules make of every stem.

A dictionary is two files (hunspell(5)): `.dic` lists stems with flags, `.aff` says which affixes a
flag stands for. Compounds are left out: there is no end to them. So are words that lean on another
(`l'home`, `donar-me`): they are two words to whoever counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import PanglotError

_MAX_BYTES = 64 * 2**20
_MOST_FORMS_OF_A_STEM = 5_000
"""A stem with more of them comes from a broken rule: Catalan verbs, the richest here, have 900."""
_MOST_SUFFIXES = 2


class BadDictionary(PanglotError):
    """A Hunspell dictionary cannot be read."""


@dataclass(frozen=True)
class Form:
    """One form of a word.

    Attributes:
        text: as the dictionary writes it.
        rule: the affixes that made it of its stem, such as `SFX H -а +у`; empty for the stem.
    """

    text: str
    rule: str


@dataclass(frozen=True)
class _Affix:
    """One line of a rule: strip some letters, add others, where `condition` fits the stem."""

    is_suffix: bool
    strip: str
    add: str
    condition: re.Pattern[str]
    flags: frozenset[str]
    crosses: bool
    name: str

    def apply(self, word: str) -> str | None:
        """The word with this affix, or None where it does not take it."""
        if self.condition.search(word) is None:
            return None
        if self.is_suffix:
            return word.removesuffix(self.strip) + self.add if word.endswith(self.strip) else None
        return self.add + word.removeprefix(self.strip) if word.startswith(self.strip) else None


@dataclass
class _Rules:
    """What an `.aff` file says, as far as forms depend on it."""

    encoding: str = "iso8859-1"
    flag_form: str = "short"
    aliases: list[frozenset[str]] | None = None
    suffixes: dict[str, list[_Affix]] = field(default_factory=dict)
    prefixes: dict[str, list[_Affix]] = field(default_factory=dict)
    need_affix: frozenset[str] = frozenset()
    never_alone: frozenset[str] = frozenset()

    @staticmethod
    def of(group: dict[str, list[_Affix]], flags: Iterable[str]) -> Iterator[_Affix]:
        """All lines of the rules that some flags stand for."""
        return (affix for flag in flags for affix in group.get(flag, ()))

    def flags(self, text: str) -> frozenset[str]:
        """The flags that stand behind a stem or an affix."""
        if self.aliases is not None and text.isdecimal():
            number = int(text)
            return self.aliases[number - 1] if 0 < number <= len(self.aliases) else frozenset()
        return self.spelt_flags(text)

    def spelt_flags(self, text: str) -> frozenset[str]:
        """Flags that are written out."""
        if self.flag_form == "num":
            return frozenset(text.split(","))
        if self.flag_form == "long":
            return frozenset(text[start : start + 2] for start in range(0, len(text), 2))
        return frozenset(text)


def forms(dictionary: Path) -> Iterator[Form]:
    """Every form of every stem of `<dictionary>.dic`, some of them several times.

    Args:
        dictionary: path of both files without `.aff` and `.dic`.

    Raises:
        BadDictionary: a file is missing, too large, or not as Hunspell writes it.
    """
    rules = _read_rules(dictionary.with_name(f"{dictionary.name}.aff"))
    stems = _lines(dictionary.with_name(f"{dictionary.name}.dic"), rules.encoding)
    if not stems or re.match(r"\s*\d", stems[0]) is None:
        raise BadDictionary(
            f"{dictionary.name}.dic must begin with the number of its words, "
            f"found {stems[0] if stems else ''!r:.40}"
        )
    for line in stems[1:]:
        stem, flags = _stem(line, rules)
        if stem and not flags & rules.never_alone:
            yield from _forms_of(stem, flags, rules)


def _forms_of(stem: str, flags: frozenset[str], rules: _Rules) -> Iterator[Form]:
    """Suffixes first, one or two of them; then a prefix where it may cross them all."""
    # A word, its rule, flags of its next suffix, flags of its prefix, how many suffixes it has.
    pending = [(stem, "", flags, flags, 0)]
    n_form = 0
    while pending:
        word, rule, suffixes, prefixes, n_suffix = pending.pop()
        n_form += 1
        if n_form > _MOST_FORMS_OF_A_STEM:
            raise BadDictionary(
                f"{stem!r:.40} has more than {_MOST_FORMS_OF_A_STEM} forms: its rules are broken"
            )
        if not suffixes & (rules.need_affix | rules.never_alone):
            yield Form(word, rule)
        for affix in rules.of(rules.prefixes, prefixes):
            if (affix.crosses or not n_suffix) and (made := affix.apply(word)) is not None:
                yield Form(made, f"{rule} {affix.name}".strip())
        for affix in rules.of(rules.suffixes, suffixes if n_suffix < _MOST_SUFFIXES else ()):
            if (made := affix.apply(word)) is not None:
                name = f"{rule} {affix.name}".strip()
                crossing = prefixes | affix.flags if affix.crosses else affix.flags
                pending.append((made, name, affix.flags, crossing, n_suffix + 1))


def _stem(line: str, rules: _Rules) -> tuple[str, frozenset[str]]:
    """`stem/flags description`; a slash of the stem's own is escaped."""
    entry = re.split(r"\t| +(?=\w\w:)", line.strip())[0].strip()
    stem, _, flags = re.sub(r"\\/", "\0", entry).partition("/")
    return stem.replace("\0", "/"), rules.flags(flags.split(" ")[0])


def _read_rules(path: Path) -> _Rules:
    rules = _Rules()
    text = _read(path)
    if (named := re.search(rb"^SET\s+(\S+)", text, re.MULTILINE)) is not None:
        rules.encoding = named[1].decode("ascii", "replace").lower().removeprefix("microsoft-")
    crossing: dict[tuple[str, str], bool] = {}
    for number, line in enumerate(_decoded(text, path, rules.encoding), start=1):
        match line.split():
            case ["FLAG", form, *_]:
                rules.flag_form = {"long": "long", "num": "num"}.get(form, "short")
            case ["AF", _, *_] if rules.aliases is None:  # the first says how many follow
                rules.aliases = []
            case ["AF", flags, *_] if rules.aliases is not None:
                rules.aliases.append(rules.spelt_flags(flags))
            case ["NEEDAFFIX", flag, *_]:
                rules.need_affix = frozenset([flag])
            case ["FORBIDDENWORD" | "ONLYINCOMPOUND", flag, *_]:
                rules.never_alone |= {flag}
            case ["SFX" | "PFX" as kind, flag, "Y" | "N" as crosses, count, *_] if (
                count.isdecimal() and (kind, flag) not in crossing
            ):
                crossing[kind, flag] = crosses == "Y"
            case ["SFX" | "PFX" as kind, flag, strip, added, *rest]:
                if (kind, flag) not in crossing:
                    raise BadDictionary(f"{path.name} line {number}: {kind} {flag} has no header")
                condition = rest[0] if rest else "."
                affix = _affix(rules, kind, flag, strip, added, condition, crossing[kind, flag])
                if {"'", "’", "-"} & set(affix.add):
                    continue
                group = rules.suffixes if kind == "SFX" else rules.prefixes
                group.setdefault(flag, []).append(affix)
            case _:
                pass
    return rules


def _affix(
    rules: _Rules, kind: str, flag: str, strip: str, added: str, condition: str, crosses: bool
) -> _Affix:
    strip = "" if strip == "0" else strip
    add, _, flags = added.partition("/")
    add = "" if add == "0" else add
    # Hunspell knows `.` and `[…]` alone; all else stands for itself.
    parts = re.findall(r"\[\^?[^\]]+\]|.", condition)
    pattern = "".join(map(_pattern, parts))
    is_suffix = kind == "SFX"
    return _Affix(
        is_suffix=is_suffix,
        strip=strip,
        add=add,
        condition=re.compile(f"(?:{pattern})$" if is_suffix else f"^(?:{pattern})"),
        flags=rules.flags(flags),
        crosses=crosses,
        name=f"{kind} {flag} -{strip} +{add}",
    )


def _pattern(part: str) -> str:
    if part == "." or len(part) == 1:
        return part if part == "." else re.escape(part)
    negated = "^" if part[1] == "^" else ""
    return f"[{negated}{re.escape(part[1 + len(negated) : -1])}]"


def _lines(path: Path, encoding: str) -> list[str]:
    return _decoded(_read(path), path, encoding)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise BadDictionary(f"{path.name} has more than {_MAX_BYTES >> 20} MiB: no dictionary")
        return path.read_bytes()
    except OSError as error:
        raise BadDictionary(
            f"no dictionary file at {path}: install or unpack its package"
        ) from error


def _decoded(content: bytes, path: Path, encoding: str) -> list[str]:
    try:
        return content.decode(encoding).removeprefix("\ufeff").splitlines()
    except (LookupError, UnicodeDecodeError) as error:
        raise BadDictionary(
            f"{path.name} is not the {encoding!r:.40} that it says it is"
        ) from error
