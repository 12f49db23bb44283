"""Builds the lexicon of a language: its words, how likely each is, and what follows what.

Pairs of words come from the training text and the user's own, never from held-out text: no other
text of the kind is at hand.
"""

from __future__ import annotations

import lzma
import math
from collections import Counter
from collections.abc import Mapping, Sequence

from speech.ctc.arpa import END, START
from transfer.lexicon.more_words import NO_MORE_WORDS, MoreWords
from transfer.lexicon.words import dictionary_words, listed_words, words_of

MOST_WORDS = 400_000
_MOST_PAIRS = 200_000
_LONGEST_WORD = 32
_TEXT_SHARE = 0.2
"""Weight of the training text among the words: it is close to the subject, and tiny."""
_DICTIONARY_SHARE = 0.1
"""Of words that only the dictionary may know, where frequencies of others are known."""
_SHARE_WITHOUT_LIST = 0.5
"""Of the training text, and of the dictionary, where no frequencies are known."""
_PRIOR_PAIRS = 8.0
"""Unseen pairs that count as seen after every word, because the training text is narrow."""


def build_lexicon(
    texts: Sequence[str],
    language: str,
    vocabulary: Sequence[str],
    more: MoreWords = NO_MORE_WORDS,
) -> bytes:
    """A compressed ARPA bigram model, as `speech.ctc.lexicon` reads it.

    Args:
        texts: normalised transcripts of the training split.
        language: BCP-47 tag; one that `wordfreq` does not know gets the other words alone.
        vocabulary: symbols of the adapter; words with other characters are left out.
        more: other sources; the user's words are taken as if each had been said once.

    Raises:
        BadDictionary: the dictionary cannot be read.
    """
    sentences = [words_of(text, language) for text in [*texts, *more.sentences]]
    said = Counter(word for sentence in sentences for word in sentence)
    said.update(part for word in more.words for part in words_of(word, language))
    writable = set(vocabulary) - {" "}

    def usable(words: Mapping[str, float]) -> dict[str, float]:
        return {
            word: value
            for word, value in words.items()
            if len(word) <= _LONGEST_WORD and writable.issuperset(word)
        }

    spoken = usable(said)
    listed = usable(listed_words(language, said))
    others = {}
    if more.dictionary is not None:
        others = usable(dictionary_words(more.dictionary, language, writable, said))
    probability = _mixed(spoken, listed, others)
    pairs = Counter(
        pair
        for sentence in sentences
        for pair in zip([START, *sentence], [*sentence, END], strict=True)
        if all(word in probability or word in {START, END} for word in pair)
    )
    return lzma.compress(_arpa(probability, dict(pairs.most_common(_MOST_PAIRS))).encode())


def _mixed(
    spoken: Mapping[str, float], listed: Mapping[str, float], others: Mapping[str, float]
) -> dict[str, float]:
    """Probabilities of up to `MOST_WORDS` words: all spoken ones, then listed, then the others."""
    words = dict.fromkeys(spoken)
    for more in (listed, others):
        new = sorted((word for word in more if word not in words), key=lambda w: (-more[w], w))
        words |= dict.fromkeys(new[: max(0, MOST_WORDS - len(words))])
    shares = _shares(bool(spoken), bool(listed), bool(others))
    parts = [
        (share / sum(source.get(word, 0.0) for word in words), source)
        for share, source in zip(shares, (spoken, listed, others), strict=True)
        if share
    ]
    return {
        word: sum(weight * source.get(word, 0.0) for weight, source in parts)
        for word in sorted(words)
    }


def _shares(spoken: bool, listed: bool, others: bool) -> tuple[float, float, float]:
    """How much each source says about single words, 1 in all; 0 where a source is empty."""
    weights = (
        _TEXT_SHARE if listed else _SHARE_WITHOUT_LIST,
        1 - _TEXT_SHARE - _DICTIONARY_SHARE,
        _DICTIONARY_SHARE if listed else 1 - _SHARE_WITHOUT_LIST,
    )
    text, general, dictionary = (
        weight if there else 0.0
        for weight, there in zip(weights, (spoken, listed, others), strict=True)
    )
    total = (text + general + dictionary) or 1.0
    return text / total, general / total, dictionary / total


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
    end = seen[START] / seen.total() if pairs else 0.1
    unigram = {word: (1 - end) * value for word, value in probability.items()} | {END: end}

    lines = ["\\data\\", f"ngram 1={len(unigram) + 2}", f"ngram 2={len(pairs)}", "", "\\1-grams:"]
    lines += ["-99\t<unk>", f"-99\t{START}\t{_log10(left.get(START, 1.0))}"]
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
