"""What a lexicon is made of beside the training text: a dictionary, and the user's own text."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from transfer.data.corpora import CorpusUnavailable, Licence
from transfer.lexicon.own_text import OwnText, read_sentences, read_words
from transfer.lexicon.words import find_dictionary, sources


@dataclass(frozen=True)
class MoreWords:
    """Sources of words, ready for `transfer.lexicon.build.build_lexicon`.

    Attributes:
        dictionary: a Hunspell dictionary without its endings; None: none.
        sentences: the user's own, normalised.
        words: the user's own, normalised.
        warnings: what was left out of the sources, and why; a line each.
    """

    dictionary: Path | None = None
    sentences: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


NO_MORE_WORDS = MoreWords()


def gather(
    language: str,
    data: Path,
    texts: Sequence[Path] = (),
    words: Sequence[Path] = (),
    judged: Collection[str] = (),
) -> MoreWords:
    """Find a language's dictionary, and read the user's files.

    Args:
        language: BCP-47 tag.
        data: folder of corpora, where the dictionary is downloaded to.
        texts: files of sentences; see `read_sentences`.
        words: files of words; see `read_words`.
        judged: texts of the development and held-out clips; none of them is learnt.

    Raises:
        InvalidRequest: a file of the user's cannot be used.
    """
    warnings = []
    dictionary = None
    try:
        dictionary = find_dictionary(language, data)
    except CorpusUnavailable as error:
        warnings.append(f"No dictionary, so that rare forms of words are not known: {error}.")
    own_texts = [(path, read_sentences(path, language, judged)) for path in texts]
    own_words = [(path, read_words(path, language)) for path in words]
    warnings += [line for path, own in [*own_texts, *own_words] for line in _left_out(path, own)]
    return MoreWords(
        dictionary,
        tuple(dict.fromkeys(each for _, own in own_texts for each in own.kept)),
        tuple(dict.fromkeys(each for _, own in own_words for each in own.kept)),
        tuple(warnings),
    )


def licences_of(language: str, more: MoreWords) -> list[Licence]:
    """What a lexicon is made of beside the training text, and under which licences."""
    own = [Licence("own", "the publisher's own text", "unknown")]
    return [*sources(language, more.dictionary), *(own if more.sentences or more.words else [])]


def _left_out(path: Path, own: OwnText) -> list[str]:
    reasons = [
        (own.n_unreadable, "with digits, symbols or letters of another language"),
        (own.n_judged, "that the development or held-out clips say"),
    ]
    return [f"{path.name}: {count} left out {reason}." for count, reason in reasons if count]
