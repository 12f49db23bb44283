"""The report a person reads: one HTML file with everything in it, audio too."""

from __future__ import annotations

import base64
import math
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import langcodes
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from common.errors import CorruptAudio
from transfer.data.audio import read_audio, write_flac
from transfer.evaluation import wording
from transfer.evaluation.charts import Point, Series, line_chart
from transfer.evaluation.curve import Curve
from transfer.evaluation.evaluate import Verdict
from transfer.evaluation.findings import PATHS, Findings
from transfer.evaluation.history import Epoch
from transfer.evaluation.phoneme_report import classes_chart, gap, sentence, share
from transfer.evaluation.phonemes import PhonemeFindings, PhonemeResult
from transfer.evaluation.scoring import Edits

_N_WORST = 10
_N_TYPICAL = 8
_AUDIO_BYTES = 3_000_000
"""What the recordings may add to the file, as text."""


@dataclass(frozen=True)
class _Shown:
    """A clip in the report; `audio` is FLAC in base64, "" where it was left out."""

    verdict: Verdict
    errors: int
    n_word: int
    audio: str


def render(
    findings: Findings,
    made: Sequence[tuple[str, str]],
    history: Sequence[Epoch] = (),
    curve: Curve | None = None,
    *,
    audio: bool = True,
) -> str:
    """The report as HTML.

    Args:
        findings: what it is about.
        made: how the adapter was made, as names with values.
        history: of its training, where it is known.
        curve: error rate over minutes of speech, where it was measured.
        audio: put recordings of some clips into the file, 3 MB at most.
    """
    environment = Environment(
        loader=PackageLoader("transfer.evaluation"), autoescape=True, undefined=StrictUndefined
    )
    scale = _scale(findings)
    environment.filters |= {
        "on_scale": lambda value: round(100 * min(value / scale, 1.0), 2),
        **{
            name: getattr(wording, name)
            for name in ("sentence", "times", "percent", "interval", "change", "shown")
        },
        "phoneme_sentence": sentence,
        "share": share,
        "gap": gap,
    }
    recorder = _Recorder(_AUDIO_BYTES if audio else 0)
    ranked = sorted(findings.verdicts, key=_wrongness)
    worst = [verdict for verdict in ranked[:_N_WORST] if _wrongness(verdict)[0]]
    others = [verdict for verdict in findings.verdicts if verdict not in worst]
    typical = random.Random(0).sample(others, min(_N_TYPICAL, len(others)))
    return environment.get_template("report.html").render(
        findings=findings,
        language_name=_language_name(findings.language),
        warnings=wording.warnings(findings),
        paths=PATHS,
        nothing=wording.NOTHING,
        scale=scale,
        worst=[_shown(verdict, recorder) for verdict in worst],
        typical=[_shown(verdict, recorder) for verdict in typical],
        n_audio=recorder.n_recording,
        phonemes=findings.phonemes,
        phoneme_groups=_phoneme_groups(findings.phonemes),
        class_chart=classes_chart(findings.phonemes.classes) if findings.phonemes else "",
        history_charts=_history_charts(history),
        curve=curve,
        curve_chart=_curve_chart(curve) if curve else "",
        made=made,
        version=version("panglot"),
    )


def _language_name(tag: str) -> str:
    try:
        return langcodes.Language.get(tag).display_name()
    except ValueError:  # a manifest may say anything
        return tag


def _phoneme_groups(
    found: PhonemeFindings | None,
) -> list[tuple[str, list[PhonemeResult]]]:
    """Under each title the phonemes of one group, the commonest first; no empty groups."""
    if found is None:
        return []
    titles = {"shared": "Shared phonemes", "own": "Target-only phonemes", None: "All phonemes"}
    groups = [
        (title, [each for each in found.phonemes if each.group == group])
        for group, title in titles.items()
    ]
    return [(title, group) for title, group in groups if group]


class _Recorder:
    """Puts recordings into text until there is no room for more."""

    def __init__(self, room: int) -> None:
        self._room = room
        self.n_recording = 0

    def base64(self, path: str) -> str:
        """The audio file as FLAC; "" where it is too long or cannot be read any more."""
        if not self._room:
            return ""
        try:
            samples = read_audio(path)
        except (CorruptAudio, OSError):
            return ""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "clip.flac"
            write_flac(file, samples)
            content = base64.b64encode(file.read_bytes()).decode()
        if len(content) > self._room:
            return ""
        self._room -= len(content)
        self.n_recording += 1
        return content


def _shown(verdict: Verdict, recorder: _Recorder) -> _Shown:
    words = Edits.of(verdict.adapter.words())
    return _Shown(verdict, words.errors, words.length, recorder.base64(verdict.clip.audio))


def _wrongness(verdict: Verdict) -> tuple[int, int]:
    """Sorts the clips that cost most first: by wrong words, then by wrong characters."""
    return (
        -Edits.of(verdict.adapter.words()).errors,
        -Edits.of(verdict.adapter.characters()).errors,
    )


def _scale(findings: Findings) -> float:
    """The error rate at the right end of all bars: all values fit, wide intervals may not."""
    highest = [score.wer.high for score in findings.whole.scores.values()]
    highest += [score.wer.value for part in findings.parts for score in part.scores.values()]
    return max(1, math.ceil(10 * max(highest))) / 10


def _history_charts(history: Sequence[Epoch]) -> list[Markup]:
    if not history:
        return []
    epochs = list(enumerate(history, start=1))
    loss = Series("loss", "adapter", [Point(number, each.loss) for number, each in epochs])
    wer = Series("words", "adapter", [Point(number, each.wer) for number, each in epochs])
    cer = Series("characters", "greedy", [Point(number, each.cer) for number, each in epochs])
    return [
        line_chart([loss], "epoch", "loss per symbol, nats"),
        line_chart([wer, cer], "epoch", "error rate", percent=True),
    ]


def _curve_chart(curve: Curve) -> Markup:
    points = [
        Point(point.minutes, point.wer.value, point.wer.low, point.wer.high)
        for point in curve.points
    ]
    series = [Series(PATHS["adapter"], "adapter", points, marker="circle")]
    if curve.universal is not None:
        level = Point(0.0, curve.universal.value)
        series.append(Series(PATHS["universal"], "universal", [level]))
    return line_chart(series, "minutes of speech taught with", "word error rate", percent=True)
