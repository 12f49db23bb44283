"""What a language's letters stand for, and which of these phonemes its sources lack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import torch
from wordfreq import available_languages, top_n_list

from common.errors import InvalidRequest
from transfer.data.text import normalise
from transfer.phonemes.articulation import distance
from transfer.phonemes.g2p import open_g2p
from transfer.phonemes.inventory import phonemes_of, shared_and_own
from transfer.phonemes.letters import letter_sounds
from transfer.training.auxiliary.prototypes import Phonemes

_MOST_WORDS = 2000
_LEAST_SHARE = 0.1
"""Of a letter's places: rarer readings are mostly mistakes of the alignment or foreign words."""


def phonemes_for(
    language: str, texts: Sequence[str], vocabulary: Sequence[str], sources: Sequence[str]
) -> Phonemes:
    """The phonemes of a target's letters beside those of its sources.

    Args:
        language: BCP-47 tag of the target.
        texts: of its training clips.
        vocabulary: symbol of each CTC class.
        sources: BCP-47 tags; what they have is read off their commonest words.

    Raises:
        InvalidRequest: there are no words of any source.
        UnknownLanguage: no voice reads one of the languages.
        PhonemesUnavailable: espeak-ng is not installed.
    """
    known = [
        phonemes_of(words, open_g2p(source)) for source in sources if (words := _words(source))
    ]
    if not known:
        raise InvalidRequest(
            f"--prototypes needs the phonemes of what it starts from, and no list has words of "
            f"{', '.join(sources)}: start from another adapter (--from), or leave it out"
        )
    sounds = letter_sounds(texts, open_g2p(language))
    read = {
        letter: {
            phoneme: share
            for phoneme, share in sounds.get(letter, {}).items()
            if share >= _LEAST_SHARE and _has_features(phoneme)
        }
        for letter in vocabulary
    }
    names = tuple(sorted({phoneme for shares in read.values() for phoneme in shares}))
    found = shared_and_own(names, *known)
    return Phonemes(
        names,
        _shares([read[letter] for letter in vocabulary], names),
        {
            own: sorted(found.shared, key=lambda other: (distance(own, other), other))
            for own in sorted(found.own)
        },
    )


def _shares(letters: Sequence[Mapping[str, float]], names: Sequence[str]) -> torch.Tensor:
    """float32 `[n_letter, n_phoneme]`; a row sums to 1 at most, less where it is often silent."""
    shares = torch.tensor([[shares.get(name, 0.0) for name in names] for shares in letters])
    return shares / shares.sum(dim=1, keepdim=True).clamp(min=1.0)


def _has_features(phoneme: str) -> bool:
    with suppress(InvalidRequest):
        return distance(phoneme, phoneme) == 0.0
    return False


def _words(language: str) -> list[str]:
    """Its commonest words; [] where there is no list: for others a relative's would be given."""
    if language not in available_languages():
        return []
    return [normalise(word, language) for word in top_n_list(language, _MOST_WORDS)]
