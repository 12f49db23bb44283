"""Step 1: what may be boosted, and what told apart. The rest: see tests/stack."""

from __future__ import annotations

import pytest
from panglot.v1 import transcription_pb2 as pb

from common.catalogue import Catalogue, ServedLanguage
from common.errors import InvalidRequest
from common.fleet import UNIVERSAL
from gateway.request import plan_stream
from gateway.settings import GatewaySettings

CATALOGUE = Catalogue({"en": ServedLanguage("en", "English", UNIVERSAL, None, None)})
AUDIO = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_PCM_S16LE, sample_rate_hz=16_000)


def planned(*phrases: str) -> tuple[str, ...]:
    """The phrases of a stream that was asked for with `phrases`."""
    config = pb.StreamConfig(audio=AUDIO, boosted_phrases=phrases)
    return plan_stream(config, CATALOGUE, GatewaySettings()).options.boosted_phrases


@pytest.mark.parametrize(
    ("phrases", "kept"),
    [
        ((), ()),
        (("Ahmed Hassan", "ساجد"), ("Ahmed Hassan", "ساجد")),
        (("  two   words ",), ("two words",)),
        (("می\u200cخواهم",), ("می\u200cخواهم",)),  # a joiner is a letter's form, not a control
        (("x" * 100,) * 100, ("x" * 100,) * 100),
    ],
)
def test_phrases_are_kept_as_they_are_written(
    phrases: tuple[str, ...], kept: tuple[str, ...]
) -> None:
    assert planned(*phrases) == kept


@pytest.mark.parametrize(
    ("phrases", "says"),
    [
        (("a",) * 101, "config.boosted_phrases has 101 phrases: give at most 100"),
        (("a", "b" * 101), "config.boosted_phrases[1] is 'bbb"),
        (("b" * 101,), ", 101 characters: give 1 to 100"),
        (("a", ""), "config.boosted_phrases[1] is '', which is blank"),
        ((" \u00a0",), "config.boosted_phrases[0] is ' \\xa0', which is blank"),
        (("a\tb",), "config.boosted_phrases[0] is 'a\\tb': give no control characters"),
        (("a\n",), "no control characters"),
        (("\u0085",), "no control characters"),
        (("nul\0",), "no control characters"),
    ],
)
def test_what_cannot_be_boosted_is_named(phrases: tuple[str, ...], says: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        planned(*phrases)
    assert says in str(refused.value)
    assert len(str(refused.value)) < 200  # it travels in a header


def test_a_language_that_cannot_be_told_apart_must_be_named_alone() -> None:
    served = {
        tag: ServedLanguage(tag, tag, f"{tag}@1", "sha256:", None) for tag in ("en", "fr", "kpv")
    }
    catalogue = Catalogue(served, {"en", "fr"})

    def asked(*tags: str) -> object:
        selection = pb.LanguageSelection(candidates=pb.LanguageCandidates(languages=tags))
        config = pb.StreamConfig(audio=AUDIO, language=selection)
        return plan_stream(config, catalogue, GatewaySettings()).options.candidates

    assert asked("en", "fr") == ("en", "fr")
    assert asked("kpv") is None
    with pytest.raises(InvalidRequest, match=r"candidates names 'kpv'.*config\.language\.fixed"):
        asked("en", "kpv")
