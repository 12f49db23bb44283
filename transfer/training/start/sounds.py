"""Letters that no source writes, and the sources' letters that sound most like them.

Greek α begins as Spanish a. Each letter of the target goes by the phoneme it mostly stands for, to
the nearest phoneme, by articulatory features, that a source writes, and to the letter that writes
it there most often. A row of the head is what tells a sound from all others, so a near sound's row
is a start where a random one is none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from wordfreq import available_languages, top_n_list

from common.errors import InvalidRequest
from transfer.data.text import normalise
from transfer.phonemes.articulation import distance, nearest
from transfer.phonemes.g2p import open_g2p
from transfer.phonemes.letters import letter_sounds
from transfer.training.source import Loan, Source, Start

Sounds = Mapping[str, Mapping[str, float]]
"""Of each letter the share of every phoneme it stands for."""
_MOST_WORDS = 2000


def with_loans(start: Start, language: str, texts: Sequence[str]) -> Start:
    """The same start, whose head has rows for letters that sound alike too.

    Args:
        start: sources whose languages are known.
        language: BCP-47 tag of the target.
        texts: of its training clips.

    Raises:
        UnknownLanguage: the letters of a language cannot be read aloud here.
        InvalidRequest: there are no words of any of the sources' languages.
    """
    words = {text for line in texts for text in line.split()}
    new = {letter for word in words for letter in word}
    new -= {symbol for source in start.sources for symbol in source.vocabulary}
    if not new:
        return replace(start, head="phonemes")
    listed = [(number, source, _words(source)) for number, source in enumerate(start.sources)]
    written = {
        number: _written(letter_sounds(known, open_g2p(source.language)), source, known)
        for number, source, known in listed
        if known
    }
    if not written:
        raise InvalidRequest(
            f"--head phonemes needs words of what {start.text} hears, and no list has them: leave "
            "it out, or start from another adapter"
        )
    sounds = letter_sounds(sorted(words), open_g2p(language))
    return replace(start, head="phonemes", loans=tuple(loans(sorted(new), sounds, written)))


def loans(
    letters: Iterable[str], sounds: Sounds, written: Mapping[int, Mapping[str, str]]
) -> Iterable[Loan]:
    """What the nearest sources lend each letter: of several that are as near, one loan each.

    Args:
        letters: that no source writes; those that stand for nothing are passed over.
        sounds: of the target's letters.
        written: of each source by number, the letter that writes a phoneme.
    """
    for letter in letters:
        phoneme = _main(sounds.get(letter, {}))
        if phoneme is None:
            continue
        found = [
            Loan(letter, phoneme, source, lent[near], near, away)
            for source, lent in written.items()
            for near, away in [nearest(phoneme, lent)]
        ]
        least = min(loan.distance for loan in found)
        yield from (loan for loan in found if loan.distance == least)


def _written(sounds: Sounds, source: Source, words: Iterable[str]) -> dict[str, str]:
    """Of each phoneme the letter in the source's head that writes it most often in these words.

    A letter that mostly writes it goes before others: Russian ф before в, which ends many words.
    """
    counts = Counter(letter for word in words for letter in word)
    often: dict[str, tuple[bool, float, str]] = {}
    for letter in sorted(set(source.vocabulary[1:]) & sounds.keys()):
        main = _main(sounds[letter])
        for phoneme, share in sounds[letter].items():
            if _is_known(phoneme):
                candidate = (phoneme == main, share * counts[letter], letter)
                often[phoneme] = max(candidate, often.get(phoneme, candidate))
    return {phoneme: letter for phoneme, (_, _, letter) in often.items()}


def _main(shares: Mapping[str, float]) -> str | None:
    known: Collection[str] = [phoneme for phoneme in shares if _is_known(phoneme)]
    return max(sorted(known), key=shares.__getitem__, default=None)


def _is_known(phoneme: str) -> bool:
    with suppress(InvalidRequest):
        return distance(phoneme, phoneme) == 0.0
    return False


def _words(source: Source) -> list[str]:
    """The commonest words of its language; [] where there is no list."""
    language = source.language
    # For others a related language's words would be given.
    if language not in available_languages():
        return []
    return [normalise(word, language) for word in top_n_list(language, _MOST_WORDS)]
