"""Step 9, the universal path, on people's voices and on models of random numbers."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jiwer
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from common.errors import ModelNotFound
from speech.base_model import WhisperBase
from speech.ctc.paths import TimedWord
from speech.features import SAMPLE_RATE_HZ
from speech.whisper.decoder import Feed, WhisperDecoderRunner
from speech.whisper.encoder import WhisperSharedEncoder
from speech.whisper.token_words import first_frames, word_bounds
from speech.whisper.universal import UniversalDecoding, UniversalRecognizer, padded
from tests.speech.tiny import D_MODEL, noise, tiny_model


@pytest.fixture(scope="session")
def encoder(base: WhisperBase) -> WhisperSharedEncoder:
    return WhisperSharedEncoder(base.whisper.model.encoder)


@pytest.fixture(scope="session")
def recognizer(base: WhisperBase) -> UniversalRecognizer:
    return UniversalRecognizer(base)


def plain(text: str) -> str:
    """Lower case without punctuation."""
    return "".join(char for char in text.lower() if char.isalnum() or char in " '")


def check_times(words: tuple[TimedWord, ...], n_samples: int) -> None:
    times = [time for word in words for time in (word.start_ms, word.end_ms)]
    assert times == sorted(times)
    assert all(0 <= time <= n_samples * 1000 // SAMPLE_RATE_HZ for time in times)
    assert all(0 < word.confidence <= 1 for word in words)


@pytest.mark.parametrize(
    ("name", "beam_size"),
    [("en-1", 5), ("en-2", 1), ("it-1", 5), ("fr-1", 1), ("es-2", 5), ("ru-2", 1)],
)
def test_what_was_said(
    recognizer: UniversalRecognizer,
    encoder: WhisperSharedEncoder,
    clip: Callable[[str], Tensor],
    clips: dict[str, dict[str, Any]],
    name: str,
    beam_size: int,
) -> None:
    said = clips[f"{name}.flac"]
    audio = clip(f"{name}.flac")
    heard = recognizer.recognize(encoder, audio, said["language"], beam_size)
    assert jiwer.wer(said["text"], plain(heard.text)) < 0.3
    assert " ".join(word.text for word in heard.words) == heard.text
    assert 0.5 < heard.confidence <= 1
    check_times(heard.words, len(audio))


def test_words_are_where_they_are_spoken(
    recognizer: UniversalRecognizer, encoder: WhisperSharedEncoder, clip: Callable[[str], Tensor]
) -> None:
    """Two clips with two seconds of silence between: no word of either lies in the other."""
    first, second = clip("en-1.flac"), clip("en-3.flac")
    gap = torch.zeros(2 * SAMPLE_RATE_HZ)
    heard = recognizer.recognize(encoder, torch.cat([first, gap, second]), "en")
    words = [plain(word.text) for word in heard.words]
    assert {"again", "directory"} <= set(words)
    again, directory = (heard.words[words.index(word)] for word in ("again", "directory"))
    boundary_ms = (len(first) + len(gap)) * 1000 // SAMPLE_RATE_HZ
    assert again.start_ms < len(first) * 1000 // SAMPLE_RATE_HZ
    assert directory.end_ms > boundary_ms
    assert directory.start_ms > boundary_ms - 700
    check_times(heard.words, len(first) + len(gap) + len(second))


@pytest.mark.parametrize("beam_size", [1, 5])
@pytest.mark.parametrize("n_samples", [800, 16_000])
def test_silence_has_no_text(
    recognizer: UniversalRecognizer, encoder: WhisperSharedEncoder, n_samples: int, beam_size: int
) -> None:
    heard = recognizer.recognize(encoder, torch.zeros(n_samples), "en", beam_size)
    assert (heard.text, heard.words, heard.confidence) == ("", (), 0.0)


@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 50), beam_size=st.integers(1, 6), language=st.sampled_from(["en", "zh"]))
def test_any_decoding_ends(seed: int, beam_size: int, language: str) -> None:
    model = tiny_model(seed)
    recognizer = UniversalRecognizer(model)
    states = torch.randn(40, D_MODEL, generator=torch.Generator().manual_seed(seed))
    decoding = recognizer.decoding(states, 12_000, language, beam_size)
    n_steps = 0
    while not decoding.done:
        recognizer.step([decoding])
        n_steps += 1
    assert n_steps <= 8 + 40 * 20 * 25 // 1000
    heard = decoding.result()
    check_times(heard.words, 12_000)
    assert "".join(word.text for word in heard.words) == heard.text.replace(" ", "")
    assert "<|" not in heard.text


def test_a_beam_of_all_finds_the_best_sequence(tiny: WhisperBase) -> None:
    """Against every sequence of two letters that the decoder could have written."""
    recognizer = UniversalRecognizer(tiny)
    states = torch.randn(30, D_MODEL, generator=torch.Generator().manual_seed(3))
    decoding = recognizer.decoding(states, 8000, "en", beam_size=20)
    decoding._limit = 2
    while not decoding.done:
        recognizer.step([decoding])
    runner = WhisperDecoderRunner(tiny)
    prompt = list(decoding.prompt)
    scores = {}
    for tokens in itertools.product(range(20), repeat=2):
        feed = Feed(runner.utterance(states), [[*prompt, tokens[0]]], [()])
        logits = runner.logits(runner.step([feed]))
        steps = logits[len(prompt) - 1 :, : decoding._model.end + 1].log_softmax(dim=-1)
        scores[tokens] = sum(float(steps[index, token]) for index, token in enumerate(tokens))
    best = decoding._beams[0]
    assert best.tokens == max(scores, key=lambda tokens: scores[tokens])
    assert sum(best.log_probs) == pytest.approx(scores[best.tokens], abs=1e-4)


def test_a_decoder_step_equals_the_reference(tiny: WhisperBase) -> None:
    """Beams that change places, of two utterances at different steps, against `transformers`."""
    runner = WhisperDecoderRunner(tiny)
    generator = torch.Generator().manual_seed(1)
    states = [torch.randn(n_frames, D_MODEL, generator=generator) for n_frames in (25, 31)]
    utterances = [runner.utterance(each) for each in states]

    def check(feeds: list[Feed], wholes: list[list[list[int]]]) -> None:
        """`wholes`: per feed, each of its beams from the first token on."""
        logits = runner.logits(runner.step(feeds))
        rows = torch.split(logits, [feed.n_row for feed in feeds])
        for feed, whole, found in zip(feeds, wholes, rows, strict=True):
            memory = states[utterances.index(feed.utterance)].expand(len(whole), -1, -1)
            expected = tiny.whisper(
                encoder_outputs=(memory,), decoder_input_ids=torch.tensor(whole)
            ).logits[:, -len(feed.tokens[0]) :]
            assert torch.allclose(found, expected.flatten(0, 1), atol=1e-4)

    first, second = utterances
    check([Feed(first, [[3, 1, 4]], [()])], [[[3, 1, 4]]])
    both = [Feed(first, [[1], [5]], [(0, 1, 2)] * 2), Feed(second, [[9, 2]], [()])]
    check(both, [[[3, 1, 4, 1], [3, 1, 4, 5]], [[9, 2]]])
    # Of `first`, 3 and 4 are the two beams: the second is doubled and comes to stand before.
    crossed = Feed(first, [[6], [7], [8]], [(0, 1, 2, 4), (0, 1, 2, 3), (0, 1, 2, 4)])
    check(
        [Feed(second, [[6]], [(0, 1)]), crossed],
        [[[9, 2, 6]], [[3, 1, 4, 5, 6], [3, 1, 4, 1, 7], [3, 1, 4, 5, 8]]],
    )
    check([Feed(first, [[2, 3]], [(0, 1, 2, 4, 7)])], [[[3, 1, 4, 5, 8, 2, 3]]])


class Case(NamedTuple):
    """One decoding of a batch, and how many steps after the others it comes in."""

    n_frames: int
    language: str
    beam_size: int
    late: int
    boosted_phrases: tuple[str, ...]


CASES = st.builds(
    Case,
    n_frames=st.integers(9, 60),
    language=st.sampled_from(["en", "zh", "de"]),
    beam_size=st.integers(1, 6),
    late=st.integers(0, 4),
    boosted_phrases=st.sampled_from([(), ("c",), ("a", "f")]),
)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 50), cases=st.lists(CASES, min_size=1, max_size=5))
def test_decodings_do_not_depend_on_those_beside_them(seed: int, cases: list[Case]) -> None:
    recognizer = UniversalRecognizer(tiny_model(seed))
    generator = torch.Generator().manual_seed(seed)

    def decodings() -> list[UniversalDecoding]:
        return [
            recognizer.decoding(audio, 12_000, case.language, case.beam_size, case.boosted_phrases)
            for audio, case in zip(states, cases, strict=True)
        ]

    states = [torch.randn(case.n_frames, D_MODEL, generator=generator) for case in cases]
    together, alone = decodings(), decodings()
    for count in itertools.count():
        arrived = [each for each, case in zip(together, cases, strict=True) if case.late <= count]
        recognizer.step(arrived)
        if all(each.done for each in together):
            break
    for beside, single in zip(together, alone, strict=True):
        while not single.done:
            recognizer.step([single])
        check_equal(beside, single)


def check_equal(found: UniversalDecoding, expected: UniversalDecoding) -> None:
    for some, others in (
        (found._finished, expected._finished),
        (found._beams, expected._beams),
    ):
        assert [beam.tokens for beam in some] == [beam.tokens for beam in others]
        for one, other in zip(some, others, strict=True):
            assert one.log_probs == pytest.approx(other.log_probs, abs=1e-4)
    assert found.no_speech == pytest.approx(expected.no_speech, abs=1e-4)
    heard, meant = found.result(), expected.result()
    assert heard.text == meant.text
    assert [word.start_ms for word in heard.words] == [word.start_ms for word in meant.words]


def test_clips_decoded_together(
    base: WhisperBase,
    recognizer: UniversalRecognizer,
    clip: Callable[[str], Tensor],
) -> None:
    """Three languages, two sizes of beam; one comes in when the others are at their fifth token."""
    together: list[UniversalDecoding] = []
    alone: list[UniversalDecoding] = []
    for name, beam_size in (("en-1", 5), ("it-1", 3), ("fr-1", 1)):
        audio = clip(f"{name}.flac")
        with torch.inference_mode():
            states = base.encoder(*base.encoder.features([padded(audio)])).states[0]
        for decodings in (together, alone):
            decodings.append(recognizer.decoding(states, len(audio), name[:2], beam_size))
    for _ in range(5):
        recognizer.step(together[:2])
    while not all(decoding.done for decoding in together):
        recognizer.step(together)
    for beside, single in zip(together, alone, strict=True):
        while not single.done:
            recognizer.step([single])
        check_equal(beside, single)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 50),
    kept=st.integers(0, 40),
    other=st.lists(st.integers(0, 19), max_size=6),
)
def test_a_draft_changes_no_result(seed: int, kept: int, other: list[int]) -> None:
    """Neither one that begins as the result does nor any other."""
    recognizer = UniversalRecognizer(tiny_model(seed))
    states = torch.randn(30, D_MODEL, generator=torch.Generator().manual_seed(seed))

    def decode(draft: list[int]) -> tuple[UniversalDecoding, int]:
        decoding = recognizer.decoding(states, 9600, "en", 1)
        decoding._draft = draft  # in tokens: the tiny tokenizer reads single letters only
        n_steps = 0
        while not decoding.done:
            recognizer.step([decoding])
            n_steps += 1
        return decoding, n_steps

    plain, n_plain = decode([])
    written = (plain._finished or plain._beams)[0].tokens
    same = [token for token in written if token < plain._model.end][:kept][: n_plain - 1]
    drafted, n_drafted = decode([*same, *other][: n_plain - 1])
    check_equal(drafted, plain)
    assert n_drafted <= n_plain - len(same)


def test_a_draft_saves_steps(
    base: WhisperBase, recognizer: UniversalRecognizer, clip: Callable[[str], Tensor]
) -> None:
    """The text of a partial is not written again by the next one."""
    audio = clip("it-1.flac")
    with torch.inference_mode():
        states = base.encoder(*base.encoder.features([padded(audio)])).states[0]
    plain = recognizer.decoding(states, len(audio), "it", 1)
    while not plain.done:
        recognizer.step([plain])
    drafted = recognizer.decoding(states, len(audio), "it", 1, draft=plain.result().text)
    recognizer.step([drafted])
    assert drafted.done
    check_equal(drafted, plain)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 50), kept=st.integers(0, 40), sure=st.sampled_from([-20.0, -1.5, -0.1]))
def test_a_draft_stands_if_it_is_sure_and_is_forgotten_if_not(
    seed: int, kept: int, sure: float
) -> None:
    """A beam search with a draft ends as a beam of one, or as it would have without the draft."""
    recognizer = UniversalRecognizer(tiny_model(seed))
    states = torch.randn(30, D_MODEL, generator=torch.Generator().manual_seed(seed))

    def decode(beam_size: int, draft: list[int]) -> UniversalDecoding:
        decoding = recognizer.decoding(states, 9600, "en", beam_size)
        if draft:  # in tokens: the tiny tokenizer reads single letters only
            decoding._draft, decoding._width = draft[: decoding._limit - 1], 1
        while not decoding.done:
            recognizer.step([decoding])
        return decoding

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("speech.whisper.universal_decoding._SURE", sure)
        greedy, searched = decode(1, []), decode(4, [])
        best = (greedy._finished or greedy._beams)[0]
        assume(not greedy._loops(best))  # a draft may lead past where a loop is looked for
        written = [token for token in best.tokens if token < greedy._model.end]
        drafted = decode(4, written[: 1 + kept] or [0])
    check_equal(drafted, greedy if min(best.log_probs) >= sure else searched)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 50), kept=st.integers(0, 40), after=st.integers(0, 6))
def test_in_a_hurry_a_draft_stands_whether_it_is_sure_or_not(
    seed: int, kept: int, after: int
) -> None:
    """Where all of it was written before, the first step is enough; else no beam is searched."""
    recognizer = UniversalRecognizer(tiny_model(seed))
    states = torch.randn(30, D_MODEL, generator=torch.Generator().manual_seed(seed))

    def decode(beam_size: int, draft: list[int], steps: int) -> tuple[UniversalDecoding, int]:
        decoding = recognizer.decoding(states, 9600, "en", beam_size)
        if draft:
            decoding._draft, decoding._width = draft[: decoding._limit - 1], 1
        n_steps = 0
        while not decoding.done:
            if n_steps == steps:
                decoding.hurry()
            recognizer.step([decoding])
            n_steps += 1
        return decoding, n_steps

    greedy, n_greedy = decode(1, [], -1)
    best = (greedy._finished or greedy._beams)[0]
    assume(not greedy._loops(best))
    written = [token for token in best.tokens if token < greedy._model.end]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("speech.whisper.universal_decoding._SURE", 0.0)  # never sure
        assume(written)
        drafted, n_steps = decode(4, written[: 1 + kept], 1)
        check_equal(drafted, greedy)
        assert n_steps <= n_greedy
        searched, n_steps = decode(4, [], after)
        assert n_steps <= after + greedy._limit
        assert searched.result() is not None


def test_boosted_phrases_are_searched_in_a_hurry_too(tiny: WhisperBase) -> None:
    recognizer = UniversalRecognizer(tiny)
    states = torch.randn(30, D_MODEL, generator=torch.Generator().manual_seed(1))
    patient, hurried = (recognizer.decoding(states, 9600, "en", 4, ("abc",)) for _ in range(2))
    while not patient.done:
        recognizer.step([patient])
    while not hurried.done:
        hurried.hurry()
        recognizer.step([hurried])
    check_equal(hurried, patient)


@pytest.mark.gpu
def test_a_gpu_hears_what_the_cpu_hears() -> None:
    generator = torch.Generator().manual_seed(5)
    states = [torch.randn(n_frames, D_MODEL, generator=generator) for n_frames in (20, 45)]
    found = []
    for device in ("cpu", "cuda"):
        model = tiny_model(5)
        whisper: torch.nn.Module = model.whisper
        whisper.to(device)
        recognizer = UniversalRecognizer(model)
        decodings = [
            recognizer.decoding(each.to(device), 12_000, "en", beam_size, phrases)
            for each, beam_size, phrases in zip(states, (1, 4), ((), ("b",)), strict=True)
        ]
        while not all(decoding.done for decoding in decodings):
            recognizer.step(decodings)
        found.append(decodings)
    for on_cpu, on_gpu in zip(*found, strict=True):
        check_equal(on_gpu, on_cpu)


def test_an_unknown_language(tiny: WhisperBase) -> None:
    with pytest.raises(ModelNotFound):
        UniversalRecognizer(tiny).decoding(torch.zeros(9, D_MODEL), 800, "xx")


def test_a_withdrawn_tag_is_translated(tiny: WhisperBase) -> None:
    decoding = UniversalRecognizer(tiny).decoding(torch.zeros(9, D_MODEL), 800, "jv")
    assert decoding.prompt[1] == tiny.tokenizer.token_to_id("<|jw|>")


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.05, 6.0), (5.4, 6.0), (8.0, 8.5), (29.8, 30.0), (30.0, 30.0)]
)
def test_silence_is_put_behind(seconds: float, expected: float) -> None:
    audio = noise(int(seconds * SAMPLE_RATE_HZ))
    found = padded(audio)
    assert len(found) == expected * SAMPLE_RATE_HZ
    assert torch.equal(found[: len(audio)], audio)
    assert not found[len(audio) :].any()


@given(st.integers(1, 5), st.integers(1, 8), st.integers(0, 1000))
def test_first_frames_lie_on_the_best_monotone_path(n_token: int, n_frames: int, seed: int) -> None:
    attention = np.random.default_rng(seed).normal(size=(n_token, n_frames)).astype(np.float32)
    firsts = first_frames(attention)
    assert len(firsts) == n_token
    assert firsts == sorted(firsts)
    assert firsts[0] == 0
    if n_token > n_frames:
        return

    def score(starts: tuple[int, ...]) -> float:
        bounds = [*starts, n_frames]
        return sum(
            float(attention[token, bounds[token] : bounds[token + 1]].sum())
            for token in range(n_token)
        )

    every = [(0, *rest) for rest in itertools.combinations(range(1, n_frames), n_token - 1)]
    assert score(tuple(firsts)) == pytest.approx(max(map(score, every)), abs=1e-4)


def test_a_loop_is_no_text(tiny: WhisperBase) -> None:
    recognizer = UniversalRecognizer(tiny)
    decoding = recognizer.decoding(torch.zeros(9, D_MODEL), 800, "en", 1)
    recognizer.step([decoding])
    repeated = (3, 14) * 40
    [beam] = decoding._beams
    loop = replace(beam, tokens=repeated, log_probs=(-0.01,) * len(repeated))
    text = tiny.tokenizer.decode(list(repeated))
    assert len(text) / len(zlib.compress(text.encode())) > 2.4
    decoding._finished = [loop]
    assert decoding.result().text == ""
    # What is no loop is heard, however much less likely it is.
    once = replace(beam, tokens=(3,), log_probs=(-2.0,))
    decoding._finished = [loop, once]
    assert decoding.result().text == tiny.tokenizer.decode([3]).strip()


def test_a_loop_is_not_followed_to_its_end(tiny: WhisperBase) -> None:
    recognizer = UniversalRecognizer(tiny)
    decoding = recognizer.decoding(torch.zeros(600, D_MODEL), 96_000, "en", 1)
    recognizer.step([decoding])
    [beam] = decoding._beams
    decoding._finished = []
    decoding.done = False
    decoding._beams = [replace(beam, tokens=(3,) * 95, log_probs=(-0.01,) * 95)]
    decoding._limit = 1000
    recognizer.step([decoding])
    assert decoding.done
    assert decoding.result().text == ""


def test_a_character_of_several_tokens_is_one_word(base: WhisperBase) -> None:
    """In scripts without spaces each character is a word, however many tokens it takes."""
    text = "今日は鷸がいる"
    tokens = base.tokenizer.encode(text, add_special_tokens=False).ids
    assert len(tokens) != len(text)
    bounds = word_bounds(base.tokenizer, tokens, "ja")
    pieces = [base.tokenizer.decode(tokens[first:last]) for first, last in bounds]
    assert "".join(pieces) == text
    assert "鷸" in pieces
    english = base.tokenizer.encode(" don't stop", add_special_tokens=False).ids
    bounds = word_bounds(base.tokenizer, english, "en")
    assert [base.tokenizer.decode(english[a:b]) for a, b in bounds] == [" don't", " stop"]
