"""The code-switch set: streams that change language, made of real held-out recordings.

A stream is 4 to 8 spans, each 1 to 6 s of one voice in one language: whole recordings of
`data/<language>.jsonl`, split `held_out`, silence trimmed from their ends, never cut within. Where
one recording is too short, more of the same voice follow after 100 to 200 ms; pauses so short do
not end a speaker's turn (those of 200 ms do not by DIHARD's rules, of 300 ms by NIST's). Speech is
brought to one loudness, and faint noise lies under all of it, so that no join is digital silence.
Spans are joined in three ways: cross-faded, with a short pause, with a long one. A gateway ends a
segment after 448 ms of silence, so with the first two it has to find the change within a segment.

    two, three languages   languages drawn evenly; the voices are of different people
    one voice              English and Spanish, both read by the same person
    one language           as many streams, joined the same ways, one voice each: the control

What it shows is bounded. Real bilingual speakers are not to be had: but for the one voice, speaker
and recording change with the language. That may help to hear that something changed, or a system
may take it for more than it is. Most languages have one speaker in one corpus: the sentences are
new to the models here, the voices are not. Languages change between sentences, never inside one.

The same recordings and seed give the same bytes; `digest` tells.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle
from pathlib import Path

from benchmarks.code_switch_audio import JOINTS, Kind, Recording, Stream, joined, prepared
from common.errors import InvalidRequest
from transfer.data.audio import read_audio
from transfer.data.manifest import Clip, read_manifest
from transfer.data.prepare import manifest_path

LANGUAGES = ("be", "bg", "ca", "da", "el", "en", "es", "fr", "it", "ro", "ru")
Voice = tuple[str, str]
"""Language and speaker."""
ONE_VOICE: tuple[Voice, Voice] = (("en", "en_US_f_Allison"), ("es", "es_MX_f_Allison"))
"""Both are Allison Smith: `tests/audio/ATTRIBUTION.md`."""
MANY = {"two languages": 2, "three languages": 3}
SAME_VOICE, CONTROL = "one voice", "one language"
SPANS = (4, 8)
SPAN_MS = (1000, 6000)
WITHIN_SPAN_MS = (100, 200)
MUCH_LONGER = 1.5


def read_recordings(data: Path, languages: Iterable[str] = LANGUAGES) -> list[Recording]:
    """The held-out recordings that fit into a span, prepared.

    Raises:
        InvalidRequest: a manifest is missing.
        CorruptAudio: a recording cannot be decoded.
    """
    clips = [clip for tag in languages for clip in read_manifest(manifest_path(tag, data))]
    found = [_recording(clip) for clip in clips if clip.split == "held_out"]
    return [each for each in found if 0 < each.ms <= SPAN_MS[1]]


def _recording(clip: Clip) -> Recording:
    return Recording(clip.language, clip.speaker, clip.text, prepared(read_audio(clip.audio)))


def build(recordings: Sequence[Recording], n_streams: int, seed: int = 0) -> list[Stream]:
    """`n_streams` streams that change language, then as many that do not.

    Kinds take turns, so that a few streams are of several; the first ones are the same however many
    are asked for. The one voice is left out where its recordings are not there.

    Raises:
        InvalidRequest: fewer than three languages, or a voice has less than a second.
    """
    voices = _Voices(recordings, random.Random(f"voices {seed}"))
    streams = []
    for number, kind in zip(range(n_streams), _kinds(voices), strict=False):
        draw = random.Random(f"stream {seed} {number}")
        many = MANY.get(kind.languages)
        chosen = voices.of_different_people(many) if many else ONE_VOICE
        order = _order(chosen, draw.randint(*SPANS), draw)
        streams.append(joined(kind, [_span(voices, voice, draw) for voice in order], draw))
    for number, joint in zip(range(n_streams), cycle(JOINTS), strict=False):
        draw = random.Random(f"control {seed} {number}")
        (voice,) = voices.of_different_people(1)
        spans = [_span(voices, voice, draw) for _ in range(draw.randint(*SPANS))]
        streams.append(joined(Kind(CONTROL, joint), spans, draw))
    return streams


def digest(streams: Iterable[Stream]) -> str:
    """12 hexadecimal digits that equal sets share."""
    whole = hashlib.blake2b(digest_size=6)
    for stream in streams:
        whole.update(stream.pcm)
        whole.update(repr(stream.spans).encode())
    return whole.hexdigest()


class _Voices:
    """Who can be asked to speak: evenly by language; nothing twice before all of it was heard."""

    def __init__(self, recordings: Sequence[Recording], draw: random.Random) -> None:
        self._draw = draw
        self._recordings: dict[Voice, list[Recording]] = {}
        for each in recordings:
            self._recordings.setdefault((each.language, each.voice), []).append(each)
        for (language, voice), mine in self._recordings.items():
            if sum(each.ms for each in mine) < SPAN_MS[0]:
                raise InvalidRequest(f"{voice} ({language}) has less than 1 s of held-out speech")
        self._asked = dict.fromkeys(sorted({each.language for each in recordings}), 0)
        if len(self._asked) < max(MANY.values()):
            raise InvalidRequest(f"held-out speech in {len(self._asked)} languages: 3 are needed")
        self._waiting: dict[Voice, list[Recording]] = {voice: [] for voice in self._recordings}

    def __contains__(self, voice: Voice) -> bool:
        return voice in self._recordings

    def of_different_people(self, n: int) -> list[Voice]:
        """A voice for each of `n` languages, those asked least so far."""
        chosen = sorted(self._asked, key=lambda tag: (self._asked[tag], self._draw.random()))[:n]
        taken: list[Voice] = []
        # Languages with a single voice first: the others can make way for it.
        for language in sorted(chosen, key=lambda tag: (len(self._of(tag)), tag)):
            self._asked[language] += 1
            mine = self._of(language)
            free = [voice for voice in mine if not any({voice, t} == set(ONE_VOICE) for t in taken)]
            taken.append(self._draw.choice(free or mine))
        return taken

    def next_recording(self, voice: Voice, longest_ms: float) -> Recording | None:
        """One that fits, of those waiting if it can be; None if none does."""
        waiting = self._waiting[voice]
        for each in waiting:
            if each.ms <= longest_ms:
                waiting.remove(each)
                return each
        mine = self._recordings[voice]
        if not any(each.ms <= longest_ms for each in mine):
            return None
        waiting += [each for each in self._draw.sample(mine, len(mine)) if each not in waiting]
        return self.next_recording(voice, longest_ms)

    def _of(self, language: str) -> list[Voice]:
        return sorted(voice for voice in self._recordings if voice[0] == language)


def _kinds(voices: _Voices) -> Iterator[Kind]:
    """Two and three languages with each joint, then the one voice with the next joint; again."""
    for joint in cycle(JOINTS):
        yield from (Kind(many, each) for many in MANY for each in JOINTS)
        if all(voice in voices for voice in ONE_VOICE):
            yield Kind(SAME_VOICE, joint)


def _order(chosen: Sequence[Voice], n_spans: int, draw: random.Random) -> list[Voice]:
    """All of them, then any but the one before."""
    order = draw.sample(chosen, len(chosen))
    while len(order) < n_spans:
        order.append(draw.choice([voice for voice in chosen if voice != order[-1]]))
    return order


def _span(voices: _Voices, voice: Voice, draw: random.Random) -> Recording:
    """One voice for 1 to 6 s: as long as is drawn, shorter oftener, or up to half as long again."""
    shortest_ms, longest_ms = SPAN_MS
    least_ms = math.exp(draw.uniform(math.log(shortest_ms), math.log(longest_ms / MUCH_LONGER)))

    def following(past_ms: int) -> Recording | None:
        fitting = voices.next_recording(voice, least_ms * MUCH_LONGER - past_ms)
        return fitting or voices.next_recording(voice, longest_ms - past_ms)

    span = following(0)
    assert span is not None, "longer recordings were left out"
    while span.ms < least_ms:
        gap_ms = draw.randint(*WITHIN_SPAN_MS)
        more = following(span.ms + gap_ms)
        if more is None:  # not within the first second: another such recording would fit
            break
        span = span.followed_by(more, gap_ms)
    return span
