"""Languages of the base model, under their BCP-47 tags."""

from __future__ import annotations

from tokenizers import Tokenizer

from common.errors import ModelNotFound

# Whisper's codes are BCP-47 in its standard form but for one tag that is withdrawn, and one that
# CLDR replaces. The catalogue has its tags in that form: both must call a language the same.
_TO_BCP47 = {"jw": "jv", "tl": "fil"}
_FROM_BCP47 = {tag: code for code, tag in _TO_BCP47.items()}

UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "km", "yue"})
"""Languages written without spaces between words: each character stands as a word."""


def from_bcp47(tag: str) -> str:
    """Whisper's code of a BCP-47 tag."""
    return _FROM_BCP47.get(tag, tag)


def model_languages(tokenizer: Tokenizer) -> dict[str, int]:
    """BCP-47 tag of every language the model was trained on, with the id of its token.

    Language tokens stand between `<|startoftranscript|>` and `<|translate|>`.
    """
    first = token_id(tokenizer, "<|startoftranscript|>") + 1
    last = token_id(tokenizer, "<|translate|>")
    codes = {str(tokenizer.id_to_token(token)).strip("<|>"): token for token in range(first, last)}
    return {_TO_BCP47.get(code, code): token for code, token in codes.items()}


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """Id of a special token; raises ModelNotFound where the model has none of that name."""
    found = tokenizer.token_to_id(token)
    if found is None:
        raise ModelNotFound(f"the base model's tokenizer has no {token}: is it multilingual?")
    return found
