"""Sounds that are no clean speech in one language: a defined outcome for each.

Against the model that is shipped, and against models that hear what a fake is told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import soxr
from panglot.v1 import lid_pb2

from common.audio import SAMPLE_RATE_HZ, Samples, to_wire
from speech.language_id.identifier import LanguageIdentifier
from speech.language_id.load import load_identifier
from speech.precision import place
from tests.lid_service.serving import FakeIdentifier, serving
from tests.speech.conftest import AUDIO
from tests.speech.tiny import read_clip

SECONDS = 2.0
TAGS = ("en", "es", "fr", "it", "ru")


def clip(name: str, seconds: float = SECONDS) -> Samples:
    """From where somebody begins to speak."""
    samples: Samples = read_clip(AUDIO / name).numpy()
    begin = int(np.argmax(np.abs(samples) > 0.02))
    return samples[begin : begin + int(seconds * SAMPLE_RATE_HZ)]


def tones(*frequencies_hz: float) -> Samples:
    times = np.arange(int(SECONDS * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    waves = [np.sin(2 * np.pi * each * times) for each in frequencies_hz]
    mixed: Samples = (0.5 * np.mean(waves, axis=0)).astype(np.float32)
    return mixed


def dtmf() -> Samples:
    """Keys 5 and 9, ten times a second, as a telephone dials."""
    keys = tones(770, 1336), tones(852, 1477)
    tenth = np.arange(len(keys[0])) // (SAMPLE_RATE_HZ // 10)
    dialled = np.where(tenth % 2 == 0, *keys) * (tenth % 3 > 0)
    return np.asarray(dialled, np.float32)


def music() -> Samples:
    """Struck chords: A major, F sharp minor."""
    strike = np.exp(-6 * (np.arange(int(SECONDS * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ % 0.5))
    chords = tones(220, 277.2, 329.6, 440), tones(185, 220, 277.2, 370)
    half = len(strike) // 2
    played = np.concatenate((chords[0][:half], chords[1][half:])) * strike
    return np.asarray(played, np.float32)


def noise() -> Samples:
    generator = np.random.default_rng(0)
    return generator.normal(0, 0.05, int(SECONDS * SAMPLE_RATE_HZ)).astype(np.float32)


def telephone(samples: Samples) -> Samples:
    """As 8 kHz audio arrives here."""
    narrow: Samples = soxr.resample(samples, SAMPLE_RATE_HZ, 8000)
    return np.asarray(soxr.resample(narrow, 8000, SAMPLE_RATE_HZ), np.float32)


def two_at_once() -> Samples:
    first, second = clip("en-1.flac"), clip("ru-1.flac")
    length = min(len(first), len(second))
    mixed: Samples = 0.5 * (first[:length] + second[:length])
    return mixed


NOT_SPEECH = {
    "silence": np.zeros(int(SECONDS * SAMPLE_RATE_HZ), np.float32),
    "noise": noise(),
    "dtmf": dtmf(),
    "one tone": tones(440),
    "music": music(),
    "full scale": np.tile(np.array([1.0, -1.0], np.float32), int(SECONDS * SAMPLE_RATE_HZ / 2)),
    "a constant": np.full(int(SECONDS * SAMPLE_RATE_HZ), 0.5, np.float32),
}
TOLD_FROM_SPEECH = tuple(NOT_SPEECH)  # by the shipped model
SOUNDS = {
    **NOT_SPEECH,
    "two people at once": two_at_once(),
    "100 ms of speech": clip("fr-1.flac", 0.1),
    "8 kHz telephone": telephone(clip("fr-1.flac")),
    "30 s of it": np.resize(clip("it-1.flac"), 30 * SAMPLE_RATE_HZ),
}


@pytest.fixture(scope="module")
def embedded() -> LanguageIdentifier:
    """The shipped model; in float32, so that what it hears is the same on every machine."""
    return load_identifier("embedded", place("cpu", "float32"))


@dataclass(frozen=True)
class Ear:
    """Asks the service."""

    answer: lid_pb2.IdentifyResponse
    least: float

    @property
    def language(self) -> str | None:
        """What it names."""
        return self.answer.language if self.answer.HasField("language") else None

    def check(self) -> None:
        """What the proto promises of every answer."""
        probabilities = [each.probability for each in self.answer.posteriors]
        assert np.isfinite(probabilities).all()
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1, abs=1e-4)
        assert 0 <= self.answer.background_probability <= 1
        reason = self.answer.undetermined
        if self.answer.background_probability >= 0.5:
            assert reason == lid_pb2.UNDETERMINED_REASON_NO_SPEECH
        elif probabilities[0] < self.least:
            assert reason == lid_pb2.UNDETERMINED_REASON_HESITATION
        else:
            assert reason == lid_pb2.UNDETERMINED_REASON_UNSPECIFIED
        named = self.answer.posteriors[0].language
        assert self.language == (None if reason else named)


async def hear(
    model: LanguageIdentifier, samples: Samples, *candidates: str, least: float = 0.5
) -> Ear:
    async with serving(model) as service:
        request = lid_pb2.IdentifyRequest(
            pcm_s16le=to_wire(samples),
            candidates=candidates,
            min_probability=least,
            top_k=len(candidates) or len(model.languages),
        )
        return Ear(await service.stub.Identify(request), least)


@pytest.mark.parametrize("sound", SOUNDS)
async def test_every_sound_has_an_answer(embedded: LanguageIdentifier, sound: str) -> None:
    (await hear(embedded, SOUNDS[sound])).check()
    (await hear(embedded, SOUNDS[sound], *TAGS, least=0.9)).check()


@pytest.mark.parametrize("sound", TOLD_FROM_SPEECH)
async def test_what_nobody_says_is_in_no_language(embedded: LanguageIdentifier, sound: str) -> None:
    for candidates in ((), TAGS):
        heard = await hear(embedded, NOT_SPEECH[sound], *candidates)
        assert heard.answer.undetermined == lid_pb2.UNDETERMINED_REASON_NO_SPEECH, heard


@pytest.mark.parametrize("sound", NOT_SPEECH)
async def test_a_model_that_hears_nobody_names_no_language(sound: str) -> None:
    model = FakeIdentifier((0.4, 0.0, 0.0, 0.0, 0.6))
    heard = await hear(model, NOT_SPEECH[sound], "en", "de", least=0.0)
    assert heard.language is None
    assert heard.answer.undetermined == lid_pb2.UNDETERMINED_REASON_NO_SPEECH


async def test_a_tenth_of_a_second_is_no_certainty(embedded: LanguageIdentifier) -> None:
    heard = await hear(embedded, SOUNDS["100 ms of speech"], *TAGS, least=0.9)
    assert heard.language is None


async def test_a_telephone_changes_no_language(embedded: LanguageIdentifier) -> None:
    assert (await hear(embedded, SOUNDS["8 kHz telephone"], *TAGS)).language == "fr"


async def test_of_two_people_one_is_heard_or_none(embedded: LanguageIdentifier) -> None:
    heard = await hear(embedded, SOUNDS["two people at once"], *TAGS)
    assert heard.language in ("en", "ru", None)


async def test_candidates_that_leave_out_what_is_spoken(embedded: LanguageIdentifier) -> None:
    """They state that nothing else is spoken: one of them is named, or none, never another."""
    heard = await hear(embedded, clip("fr-1.flac"), "ru", "ja")
    heard.check()
    assert {each.language for each in heard.answer.posteriors} == {"ru", "ja"}
    assert heard.language in ("ru", "ja", None)


async def test_a_model_that_rules_all_candidates_out() -> None:
    """Then they are equal, and none is named unless the caller insists."""
    model = FakeIdentifier((1.0, 0.0, 0.0, 0.0, 0.0))
    silence = NOT_SPEECH["silence"]
    assert (await hear(model, silence, "zh", "de", "jv")).language is None
    assert (await hear(model, silence, "zh", "de", "jv", least=0.0)).language == "zh"
