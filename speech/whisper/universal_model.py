"""What the universal path decodes with, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Tokenizer

from speech.base_model import WhisperBase
from speech.ctc.paths import TimedWord
from speech.whisper.decoder import WhisperDecoderRunner
from speech.whisper.languages import token_id
from speech.whisper.phrases import inside_words


@dataclass(frozen=True)
class UniversalHypothesis:
    """What Whisper heard in one utterance; empty text where it heard no speech."""

    text: str
    words: tuple[TimedWord, ...]
    confidence: float


@dataclass(frozen=True)
class UniversalModel:
    """The decoder and what its tokens mean.

    Attributes:
        runner: the decoder.
        tokenizer: the model's byte-pair encoding.
        start: `<|startoftranscript|>`.
        end: `<|endoftext|>`; everything beyond is a marker, not text.
        no_speech: the token that says so.
        task: `<|transcribe|>` without timestamps.
        inside_words: text tokens that cannot begin a word.
    """

    runner: WhisperDecoderRunner
    tokenizer: Tokenizer
    start: int
    end: int
    no_speech: int
    task: tuple[int, ...]
    inside_words: frozenset[int]

    @classmethod
    def of(cls, model: WhisperBase) -> UniversalModel:
        """Copy the decoder's weights as they are: cast and move the model before."""

        def named(name: str) -> int:
            return token_id(model.tokenizer, f"<|{name}|>")

        return cls(
            runner=WhisperDecoderRunner(model),
            tokenizer=model.tokenizer,
            start=named("startoftranscript"),
            end=named("endoftext"),
            # Called `nocaptions` or `nospeech` by turns; it always stands before `notimestamps`.
            no_speech=named("notimestamps") - 1,
            task=(named("transcribe"), named("notimestamps")),
            inside_words=inside_words(model.tokenizer),
        )
