"""One utterance in the universal path: beam search over what Whisper's decoder says.

The search chooses; `speech.whisper.universal` runs the decoder, for many utterances at once.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

import numpy as np
import torch
from torch import Tensor

from speech.ctc.paths import TimedWord
from speech.encoder import FRAME_MS
from speech.features import SAMPLE_RATE_HZ
from speech.whisper.decoder import Feed
from speech.whisper.languages import UNSPACED, from_bcp47, token_id
from speech.whisper.phrases import OUTSIDE, PhraseTree, Place, phrase_tokens, spaced
from speech.whisper.token_words import first_frames, word_bounds
from speech.whisper.universal_model import UniversalHypothesis, UniversalModel

_Row = tuple[Tensor, list[float], list[int]]
"""What may follow a token: log-probabilities `[n_vocab]`, the greatest of them, whose they are."""
MAX_TOKENS = 220
# Nobody speaks 25 tokens a second: beyond that the decoder is repeating itself.
_TOKENS_PER_SECOND = 25
# Text that compresses better than this is a loop (openai/whisper, `compression_ratio_threshold`).
_MAX_COMPRESSION = 2.4
# Three loops of 158 tokens and more were a third of all greedy steps on 81 clips.
_LOOK_FOR_LOOPS = 16
# openai/whisper: `no_speech_threshold` and `logprob_threshold`, both must say so. Its -1 for the
# latter lets through the "you" that this model hears in digital silence, at -0.7. The first is
# above 0.7 for silence and noise, and below 0.2 for the speech in `tests/audio`.
_NO_SPEECH = 0.6
_LOW_LOG_PROB = -0.5
# A draft stands where each of its tokens is at least so likely: more than one in three. On 81 clips
# that spared 49 of them the beam search, for 59 errors in place of 56; one in two, 34, for 58.
_SURE = -1.0
# For each token of a boosted phrase, in natural logarithm. On 81 clips, with the words of four
# letters and more that each missed, errors fell from 56 to 36; with 40 words of other clips they
# rose by one, and by ten at a bonus of 1.5. The same words as a prompt (openai/whisper,
# `initial_prompt`) added nine errors, and took capitals and full stops out of many texts.
_PHRASE_BONUS = 1.0


@dataclass(frozen=True)
class _Beam:
    """A hypothesis.

    Attributes:
        tokens: without the prompt.
        log_probs: of each token.
        place: among the boosted phrases.
        fed: numbers of its tokens in the decoder's past, those of the prompt first.
    """

    tokens: tuple[int, ...] = ()
    log_probs: tuple[float, ...] = ()
    place: Place = OUTSIDE
    fed: tuple[int, ...] = ()

    @property
    def total(self) -> float:
        return sum(self.log_probs) + self.place.bonus

    @property
    def score(self) -> float:
        return self.total / len(self.tokens)

    @property
    def log_prob(self) -> float:
        return sum(self.log_probs) / len(self.tokens)


class UniversalDecoding:
    """Beam search over one utterance.

    `UniversalRecognizer.step` extends it until it is `done`; then it has a `result`. With a draft
    it begins with a single beam along that, and searches only if it is not sure of every token.
    In a `hurry` it goes on from there, or with the best beam alone.
    """

    def __init__(
        self,
        model: UniversalModel,
        states: Tensor,
        n_samples: int,
        language: str,
        beam_size: int,
        boosted_phrases: Sequence[str] = (),
        draft: str = "",
    ) -> None:
        """See `UniversalRecognizer.decoding`."""
        self._model = model
        self._language = language
        self.beam_size = beam_size
        self._end_ms = n_samples * 1000 // SAMPLE_RATE_HZ
        token = token_id(model.tokenizer, f"<|{from_bcp47(language)}|>")
        self.prompt = (model.start, token, *model.task)
        self._limit = min(MAX_TOKENS, 8 + len(states) * FRAME_MS * _TOKENS_PER_SECOND // 1000)
        self._utterance = model.runner.utterance(states)
        self._phrases: PhraseTree | None = None
        self._draft: list[int] = []
        if boosted_phrases:
            written = phrase_tokens(model.tokenizer, boosted_phrases, language)
            # A caller may write a marker as well.
            phrases = [tokens for tokens in written if all(token < model.end for token in tokens)]
            inside = () if language in UNSPACED else model.inside_words
            self._phrases = PhraseTree(phrases, inside, _PHRASE_BONUS)
        elif draft:
            found = model.tokenizer.encode(spaced(draft, language), add_special_tokens=False).ids
            self._draft = found[: self._limit - 1]
        self._width = 1 if self._draft else beam_size
        self._beams = [_Beam()]
        self._finished: list[_Beam] = []
        self._hurried = False
        self._unsearched: tuple[list[_Beam], list[_Beam], bool] | None = None
        self._opening: _Row | None = None
        self.no_speech = 0.0
        self.begins = True
        self.done = False

    def feed(self) -> Feed:
        """What the next step has to feed."""
        if self.begins:
            return Feed(self._utterance, [[*self.prompt, *self._draft]], [()])
        tokens = [beam.tokens[-1:] for beam in self._beams]
        return Feed(self._utterance, tokens, [beam.fed for beam in self._beams])

    def extend(self, log_probs: Tensor, values: list[list[float]], tokens: list[list[int]]) -> None:
        """Choose among what may come next.

        Args:
            log_probs: float32 `[n_row, n_vocab]`, for each token that was fed those of the next.
            values: of each row, its greatest, in descending order.
            tokens: to which they belong.
        """
        rows = list(zip(log_probs, values, tokens, strict=True))
        first_fed = self._utterance.n_fed - len(rows)
        if self.begins:
            self.begins = False
            self._opening = rows[len(self.prompt) - 1]
            rows = [rows[self._follow_draft(values, tokens)]]
        else:
            self._beams = [
                replace(beam, fed=(*beam.fed, first_fed + row))
                for row, beam in enumerate(self._beams)
            ]
        self._choose(rows)
        if self._width < self.beam_size and self._opening is not None and self._unsure():
            self._unsearched = (self._beams, self._finished, self.done)
            self._width = self.beam_size
            self._finished = []
            self._beams = [_Beam(fed=tuple(range(len(self.prompt))))]
            self._choose([self._opening])

    def hurry(self) -> None:
        """Search no more: a hypothesis that is late is worth less than a slightly worse one.

        What the draft led to is taken up again where it is longer than what was found since.
        Boosted phrases need their search, and so does what would otherwise end in a loop.
        """
        if self._hurried or self.done or self._phrases is not None:
            return
        self._hurried = True
        self._width = 1
        self._beams = self._beams[:1]
        self._finished = [beam for beam in self._finished if not self._loops(beam)]
        self.done = bool(self._finished)
        if self._unsearched is None or self.done:
            return
        beams, finished, done = self._unsearched
        [single] = finished or beams
        if len(single.tokens) >= len(self._beams[0].tokens) and not self._loops(single):
            self._beams, self._finished, self.done = beams, finished, done

    def _unsure(self) -> bool:
        """Whether the single beam is not to be trusted."""
        best = (self._finished or self._beams)[0]
        doubtful = min(best.log_probs) < _SURE and not self._hurried
        return doubtful or (self.done and self._loops(best))

    def _choose(self, rows: Sequence[_Row]) -> None:
        """Keep the likeliest of what may follow the beams; a row is what may follow one."""
        candidates = [
            (beam.total + value + place.bonus - beam.place.bonus, beam, token, value, place)
            for row, beam in zip(rows, self._beams, strict=True)
            for token, value, place in self._next(beam, *row)
        ]
        kept: list[_Beam] = []
        for _, beam, token, value, place in sorted(candidates, key=itemgetter(0), reverse=True):
            longer = _Beam((*beam.tokens, token), (*beam.log_probs, value), place, beam.fed)
            (self._finished if token == self._model.end else kept).append(longer)
            if len(kept) == self._width:
                break
        self._beams = kept
        n_token = len(kept[0].tokens)
        self.done = (
            len(self._finished) >= self._width
            or n_token >= self._limit
            or (n_token % _LOOK_FOR_LOOPS == 0 and all(map(self._loops, kept)))
        )

    def _follow_draft(self, values: list[list[float]], tokens: list[list[int]]) -> int:
        """Take over what the model would have written too; the row that is to be gone on from."""
        row = len(self.prompt) - 1
        for token in self._draft:
            if tokens[row][0] != token:
                break
            [beam] = self._beams
            self._beams = [_Beam((*beam.tokens, token), (*beam.log_probs, values[row][0]))]
            row += 1
        self._beams = [replace(self._beams[0], fed=tuple(range(row + 1)))]
        return row

    def _next(
        self, beam: _Beam, log_probs: Tensor, values: list[float], tokens: list[int]
    ) -> Iterator[tuple[int, float, Place]]:
        """Tokens to go on with, their log-probability, and where among the phrases they lead."""
        best = dict(zip(tokens[: self._width + 1], values, strict=False))
        if self._phrases is None:
            return ((token, value, OUTSIDE) for token, value in best.items())
        boosted = [token for token in self._phrases.candidates(beam.place) if token not in best]
        best.update(zip(boosted, log_probs[boosted].tolist(), strict=True))
        return (
            (token, value, self._phrases.advance(beam.place, token))
            for token, value in best.items()
        )

    @torch.inference_mode()
    def result(self) -> UniversalHypothesis:
        """The best hypothesis with the times of its words; only once `done`."""
        found = [beam for beam in self._finished or self._beams if not self._loops(beam)]
        best = max(found, key=lambda beam: beam.score, default=None)
        if best is None or not self._text(best) or self._silent(best):
            return UniversalHypothesis("", (), 0.0)
        return UniversalHypothesis(
            text=self._text(best),
            words=self._timed(best),
            confidence=float(np.exp(best.log_prob)),
        )

    def _silent(self, beam: _Beam) -> bool:
        return self.no_speech > _NO_SPEECH and beam.log_prob < _LOW_LOG_PROB

    def _text(self, beam: _Beam) -> str:
        return self._model.tokenizer.decode(list(beam.tokens)).strip()

    def _loops(self, beam: _Beam) -> bool:
        text = self._text(beam)
        return bool(text) and _compression(text) > _MAX_COMPRESSION

    def _timed(self, best: _Beam) -> tuple[TimedWord, ...]:
        tokens = [token for token in best.tokens if token < self._model.end]
        attention = self._utterance.attention(best.fed).cpu().numpy()
        # A row is the step that chose the next token; the last one chose the end, and ends the last
        # word: without it that word would take all of the silence behind it.
        starts = first_frames(attention[len(self.prompt) - 1 :])
        ends = [*starts[1:], attention.shape[1]]
        words = []
        for first, last in word_bounds(self._model.tokenizer, tokens, self._language):
            text = self._model.tokenizer.decode(tokens[first:last]).strip()
            if text:
                words.append(
                    TimedWord(
                        text=text,
                        start_ms=min(starts[first] * FRAME_MS, self._end_ms),
                        end_ms=min(ends[last - 1] * FRAME_MS, self._end_ms),
                        confidence=float(np.exp(np.mean(best.log_probs[first:last]))),
                    )
                )
        return tuple(words)


def _compression(text: str) -> float:
    data = text.encode()
    return len(data) / len(zlib.compress(data))
