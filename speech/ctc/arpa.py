"""Language models in ARPA's text form: their words, and KenLM (Heafield 2011) over them."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from flashlight.lib.text.decoder.kenlm import KenLM
from flashlight.lib.text.dictionary import Dictionary

from common.errors import AdapterRefused


def unigrams(arpa: bytes) -> dict[str, float]:
    """Words of an ARPA model with their log10 probabilities, without its markers."""
    head, found, tail = arpa.partition(b"\\1-grams:\n")
    section, ends, _ = tail.partition(b"\n\n")
    if not (head.lstrip().startswith(b"\\data\\") and found and ends):
        raise AdapterRefused("lexicon.bin holds no ARPA language model: publish it again")
    words = {}
    for line in section.decode("utf-8").split("\n"):
        score, word, *_ = line.split("\t")
        if not word.startswith("<"):
            words[word] = float(score)
    return words


def load_kenlm(arpa: bytes, dictionary: Dictionary) -> KenLM:
    with tempfile.NamedTemporaryFile(suffix=".arpa") as file:
        file.write(arpa)
        file.flush()
        with _muted_stderr():
            return KenLM(file.name, dictionary)


@contextmanager
def _muted_stderr() -> Iterator[None]:
    """KenLM draws a progress bar on the process's standard error; nothing else turns it off."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
