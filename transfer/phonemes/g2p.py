"""From text to phonemes, by the rules and dictionaries of espeak-ng."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from common.errors import UnknownLanguage
from common.tags import english_name, fallbacks, nearest_tags, standard_tag
from transfer.phonemes.espeak import SEPARATOR, Espeak, Voice, espeak
from transfer.phonemes.notation import segments, without_language_marks

Word = tuple[str, ...]
"""A word's phonemes, in the International Phonetic Alphabet."""


@dataclass(frozen=True)
class GraphemeToPhoneme:
    """Reads one language.

    Attributes:
        language: BCP-47 tag that was asked for.
        voice: the library's voice that reads it.
        library: that reads.
    """

    language: str
    voice: Voice
    library: Espeak

    def phonemes(self, text: str) -> tuple[Word, ...]:
        """The phonemes of each word as it is said in this sentence, in IPA.

        Stress and tones are left out; length is kept (`aː`). An affricate is one phoneme, with a
        tie (`t͡ʃ`), a diphthong two vowels. Nearly always a word of the text is a word of the
        result, but the library joins some that lean on others (`of the`) and divides others: where
        that matters, compare the numbers, and read word by word.

        Words that the voice cannot read (digits are read, Chinese in a Japanese text is not) are
        spelt or named, in English if need be.
        """
        said = without_language_marks(self.library.phonemes(_plain(text), self.voice.name))
        words = (
            tuple(
                segment
                for phoneme in word.split(SEPARATOR)
                for segment in segments(phoneme, tonal=self.voice.base in TONAL_VOICES)
            )
            for word in said.split()
        )
        return tuple(word for word in words if word)


Opener = Callable[[str], GraphemeToPhoneme]
"""How a reader of a language is had; `open_g2p` in earnest."""

TONAL_VOICES = {"cmn", "hak", "shn", "vi", "yue"}
"""Languages of voices that know tones, see `Voice.base`."""


def open_g2p(language: str) -> GraphemeToPhoneme:
    """The reader of a language.

    Args:
        language: BCP-47 tag or ISO 639-3 code: `es`, `spa`, `es-419`.

    Raises:
        UnknownLanguage: no voice reads it; the nearest that are read are named.
        PhonemesUnavailable: espeak-ng is not installed.
    """
    library = espeak()
    voices: dict[str, Voice] = {}
    for voice in library.voices():  # the first of equals, as the library lists them
        if voice.tag not in voices or voice.rank < voices[voice.tag].rank:
            voices[voice.tag] = voice
    for tag in _tags(language):
        if tag.lower() in voices:
            return GraphemeToPhoneme(language, voices[tag.lower()], library)
    # Among languages, not among accents of one.
    near = nearest_tags(language, [tag for tag in voices if "-" not in tag])
    named = ", ".join(f"{tag} ({english_name(tag)})" for tag in near)
    raise UnknownLanguage(
        f"language {language!r} has no voice in espeak-ng, so its texts have no phonemes here; "
        f"the nearest that have: {named}"
    )


def _tags(language: str) -> tuple[str, ...]:
    try:
        return fallbacks(standard_tag(language))
    except ValueError:
        return ()


def _plain(text: str) -> str:
    """Without what would end the text early or switch the library to its own notation."""
    return unicodedata.normalize("NFC", text).replace("\0", " ").replace("[[", " ")
