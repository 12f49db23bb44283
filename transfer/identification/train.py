"""From clips to a head: crops, folds by source, temperature, weights and card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from common.errors import InvalidRequest
from speech.base_model import WhisperBase
from speech.language_id.head import HeadCard, LanguageHead, serialise
from speech.precision import place
from speech.whisper.language_id import WhisperLanguageIdentifier
from transfer.data.manifest import Clip
from transfer.files import write_whole
from transfer.identification.learn import LearnerSettings, learn, logits_of, temperature_for
from transfer.identification.lesson import Lesson, corpus_of
from transfer.identification.states import heard_crops
from transfer.progress import Bars


@dataclass(frozen=True)
class HeadSettings:
    """What `panglot language-id train` is asked for.

    Attributes:
        per_language: crops of each language's speech.
        learner: how the head learns.
        seed: of all that is drawn.
    """

    per_language: int = 1600
    learner: LearnerSettings = field(default_factory=LearnerSettings)
    seed: int = 1


def train_head(
    base: WhisperBase,
    clips: Sequence[Clip],
    settings: HeadSettings,
    run: Path,
    out: Path,
    bars: Bars,
    tell: Callable[[str], None],
) -> HeadCard:
    """Train a head on all training clips, and one for each fold; write head and card to `out`.

    Speakers of a language that has several corpora are left out in turn: what the heads that never
    heard them say of them gives the temperature, for a head is surer of voices it knows. Those
    heads stay in `run`, for `benchmarks.lid`. Without such languages it is from development clips.

    Raises:
        InvalidRequest: there are no clips, or of a language that the base cannot tell apart.
        StoreUnavailable: `run` or `out` cannot be written.
    """
    model = WhisperLanguageIdentifier(base, place())
    train = [clip for clip in clips if clip.split == "train"]
    unknown = sorted({clip.language for clip in clips} - set(model.languages))
    if unknown or not train:
        raise InvalidRequest(
            f"{unknown[0]!r} is no language that {base.name!r} tells apart"
            if unknown
            else "there are no clips to learn from: run `panglot data prepare` first"
        )
    count, seed = settings.per_language, settings.seed
    heard = heard_crops(model, train, count, seed, run / f"train-{count}-{seed}.npz", bars)
    lesson = Lesson(heard, train, model.languages)
    logits, truth = [], []
    for corpora in folds(clips):
        head = learn(lesson.without(corpora), settings.learner, seed)
        _write(head, base, model.languages, 1.0, {"left_out": corpora}, run / "_".join(corpora))
        strange = lesson.of(corpora)
        logits.append(logits_of(head, strange))
        truth.append(strange.truth)
        right = float((logits[-1].argmax(dim=1) == truth[-1]).float().mean())
        tell(f"without {', '.join(corpora)}: of those speakers {right:.1%}, among all languages")
    unheard = bool(logits)
    head = learn(lesson, settings.learner, seed)
    if not unheard:
        rest = [clip for clip in clips if clip.split == "development"]
        cache = run / f"development-{count // 8}-{seed}.npz"
        judge = Lesson(
            heard_crops(model, rest, count // 8, seed + 1, cache, bars), rest, model.languages
        )
        logits, truth = [logits_of(head, judge)], [judge.truth]
    training: dict[str, object] = {
        "corpora": sorted({corpus_of(clip) for clip in train}),
        "settings": asdict(settings),
        "temperature_on": "speakers left out" if unheard else "development clips",
    }
    temperature = temperature_for(torch.cat(logits), torch.cat(truth))
    return _write(head, base, model.languages, temperature, training, out)


def folds(clips: Sequence[Clip]) -> list[tuple[str, ...]]:
    """What is left out together: of each language with several corpora one; as `es:asterisk`."""
    corpora: dict[str, set[str]] = {}
    for clip in clips:
        corpora.setdefault(clip.language, set()).add(clip.source)
    several = {language: found for language, found in corpora.items() if len(found) > 1}
    return [
        tuple(f"{language}:{name}" for language in sorted(several) if name in several[language])
        for name in sorted(set().union(*several.values()))
    ]


def _write(
    head: LanguageHead,
    base: WhisperBase,
    languages: tuple[str, ...],
    temperature: float,
    training: dict[str, object],
    folder: Path,
) -> HeadCard:
    card = HeadCard(languages, base.fingerprint, round(temperature, 3), "", training)
    for name, content in serialise(head, card).items():
        write_whole(folder / name, content)
    return card
