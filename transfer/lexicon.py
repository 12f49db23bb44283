"""Builds the lexicon of a language: its commonest words and a bigram model over them.

Words and their frequencies come from `wordfreq` (Speer 2022, several corpora) and from the training
transcripts; pairs of words from the training transcripts alone. Never from held-out text.
"""

from __future__ import annotations

import lzma
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from wordfreq import available_languages, top_n_list, zipf_frequency

from transfer.text import normalise

N_WORDS = 80_000
_TRAINING_SHARE = 0.2
"""Weight of the training text in the unigrams: it is close to the subject, and tiny."""
_PRIOR_PAIRS = 8.0
"""Unseen pairs that count as seen after every word, because the training text is narrow."""
_ELIDING = {"ca", "fr", "it"}
"""Languages where an apostrophe ends a word that leans on the next."""
_ONE_LETTER_WORDS = {
    "ca": "aeioyà",
    "en": "ai",
    "es": "aeouy",
    "fr": "aàyô",
    "it": "aeioè",
    "ru": "аввежикосуя",
}


def words_of(text: str, language: str) -> list[str]:
    """The units the lexicon holds: `l'homme` is `l'` and `homme` where the language elides."""
    if language in _ELIDING:
        text = re.sub(r"'(?=\w)", "' ", text)
    return text.split()


def build_lexicon(texts: Sequence[str], language: str, vocabulary: Sequence[str]) -> bytes:
    """A compressed ARPA bigram model, as `speech.ctc.lexicon` reads it.

    Args:
        texts: normalised transcripts of the training split.
        language: BCP-47 tag; one that `wordfreq` does not know gets the training words alone.
        vocabulary: symbols of the adapter; words with other characters are left out.
    """
    sentences = [words_of(text, language) for text in texts]
    training = Counter(word for sentence in sentences for word in sentence)
    general = _general_words(language, training)
    writable = set(vocabulary)
    probability = _mix(general, training, writable)
    pairs = Counter(
        pair
        for sentence in sentences
        for pair in zip(["<s>", *sentence], [*sentence, "</s>"], strict=True)
        if all(word in probability or word in {"<s>", "</s>"} for word in pair)
    )
    return lzma.compress(_arpa(probability, pairs).encode(), preset=9)


def _general_words(language: str, training: Mapping[str, int]) -> dict[str, float]:
    """Words of the language at large with their probabilities."""
    # For others it would offer the words of a related language.
    if language not in available_languages():
        return {}
    listed = top_n_list(language, N_WORDS)
    frequencies: dict[str, float] = {}
    for entry in listed:
        for word in words_of(normalise(entry, language), language):
            if _is_word(word, language) or word in training:
                frequency = 10 ** (zipf_frequency(word, language) - 9)
                frequencies[word] = max(frequency, frequencies.get(word, 0.0), 1e-9)
    # `wordfreq` counts the `dell` of `dell'anno` as a word: keep only the elided form.
    for word in [word for word in frequencies if f"{word}'" in frequencies]:
        if word not in training:
            del frequencies[word]
    return frequencies


def _is_word(word: str, language: str) -> bool:
    if len(word) == 1:
        return word in _ONE_LETTER_WORDS.get(language, word)
    return all(c.isalpha() or c in "'-" for c in word)


def _mix(
    general: Mapping[str, float], training: Mapping[str, int], writable: set[str]
) -> dict[str, float]:
    words = {word for word in {*general, *training} if set(word) <= writable}
    general_total = sum(general.get(word, 0.0) for word in words) or 1.0
    training_total = sum(training.get(word, 0) for word in words) or 1
    share = _TRAINING_SHARE if general else 1.0
    return {
        word: (1 - share) * general.get(word, 0.0) / general_total
        + share * training.get(word, 0) / training_total
        for word in sorted(words)
    }


def _arpa(probability: Mapping[str, float], pairs: Mapping[tuple[str, str], int]) -> str:
    """Bigrams interpolated with the unigrams (Witten and Bell 1991), in ARPA's text form."""
    seen: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for (first, _), count in pairs.items():
        seen[first] += count
        kinds[first] += 1
    # What is left for words that never followed `first`.
    left = {
        first: (kinds[first] + _PRIOR_PAIRS) / (seen[first] + kinds[first] + _PRIOR_PAIRS)
        for first in seen
    }
    end = seen["<s>"] / max(1, sum(seen.values()))
    unigram = {**probability, "</s>": end or 0.1}

    lines = ["\\data\\", f"ngram 1={len(unigram) + 2}", f"ngram 2={len(pairs)}", "", "\\1-grams:"]
    lines += ["-99\t<unk>", f"-99\t<s>\t{_log10(left.get('<s>', 1.0))}"]
    lines += [
        f"{_log10(value)}\t{word}" + (f"\t{_log10(left[word])}" if word in left else "")
        for word, value in unigram.items()
    ]
    lines += ["", "\\2-grams:"]
    for (first, second), count in sorted(pairs.items()):
        total = seen[first] + kinds[first] + _PRIOR_PAIRS
        lines.append(f"{_log10(count / total + left[first] * unigram[second])}\t{first} {second}")
    return "\n".join([*lines, "", "\\end\\", ""])


def _log10(value: float) -> str:
    return f"{math.log10(max(value, 1e-9)):.2f}".rstrip("0").rstrip(".")
