"""What a user adds to a lexicon: sentences that people there may say, and words it may not know."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from common.errors import InvalidRequest
from transfer.data.text import normalise, scoring_form, spell_digits, unreadable

MAX_BYTES = 64 * 2**20
MOST_WORDS = 50_000
_LONGEST_WORD = 32
_END_OF_SENTENCE = re.compile(r"(?<=[.!?…;])\s+|\s*\n\s*")


@dataclass(frozen=True)
class OwnText:
    """Text as it goes into a lexicon, and how much of the file did not.

    Attributes:
        kept: sentences or words, normalised, each once.
        n_unreadable: sentences or words with digits, symbols or letters of other languages.
        n_judged: sentences that are left out because they are to be judged by.
    """

    kept: tuple[str, ...]
    n_unreadable: int
    n_judged: int = 0


def read_sentences(path: Path, language: str, judged: Collection[str] = ()) -> OwnText:
    """Sentences of a plain text file in UTF-8; each ends with its line or its punctuation.

    Args:
        path: the file.
        language: BCP-47 tag.
        judged: texts of the development and held-out clips. None of them is learnt.

    Raises:
        InvalidRequest: the file is missing, too large, no text, or holds nothing of the language.
    """
    written = (spell_digits(each, language) for each in _END_OF_SENTENCE.split(_read(path)))
    sentences = dict.fromkeys(text for each in written if (text := normalise(each, language)))
    readable = [text for text in sentences if unreadable(text, language) is None]
    forbidden = {scoring_form(text, language) for text in judged}
    kept = tuple(text for text in readable if scoring_form(text, language) not in forbidden)
    if not readable:
        raise InvalidRequest(
            f"{path} holds no sentence that can be read as {language!r}: give plain text in UTF-8, "
            "one sentence a line, without digits and symbols"
        )
    return OwnText(kept, len(sentences) - len(readable), len(readable) - len(kept))


def read_words(path: Path, language: str) -> OwnText:
    """Words of a plain text file in UTF-8, one or several a line; names may be of several words.

    Raises:
        InvalidRequest: the file is missing, too large, no text, or holds nothing of the language.
    """
    words = dict.fromkeys(normalise(_read(path), language).split())
    kept = tuple(
        word
        for word in words
        if len(word) <= _LONGEST_WORD and unreadable(word, language) in {None, "single letter"}
    )
    if not kept:
        raise InvalidRequest(
            f"{path} holds no word that can be written in {language!r}: give one word a line"
        )
    if len(kept) > MOST_WORDS:
        raise InvalidRequest(
            f"{path} holds {len(kept)} words, the limit is {MOST_WORDS}: keep the most important, "
            "or give the text they come from with --text"
        )
    return OwnText(kept, len(words) - len(kept))


def _read(path: Path) -> str:
    try:
        n_bytes = path.stat().st_size
        if n_bytes > MAX_BYTES:
            raise InvalidRequest(
                f"{path} has {n_bytes >> 20} MiB, the limit is {MAX_BYTES >> 20}: give less of it"
            )
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"{path} is not text in UTF-8 (byte {error.start}): convert it, for example with "
            "`iconv -t utf-8`"
        ) from error
    if "\0" in text:
        raise InvalidRequest(f"{path} is not a text file")
    return text
