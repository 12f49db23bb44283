"""No speech to learn from: another language's adapter as it is, judged by the development clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.errors import InvalidRequest
from speech.adapters.kinds import KINDS, AdapterShape
from speech.adapters.module import Adapter
from speech.base_model import BaseModel
from transfer.data.manifest import Clip
from transfer.files import writable
from transfer.training.examples import LowerLayers, listen
from transfer.training.learner import Learner, encoder_to_learn
from transfer.training.left_out import told
from transfer.training.processes import Processes
from transfer.training.run import RunRecord
from transfer.training.settings import TrainSettings
from transfer.training.source import Source
from transfer.training.step import judge


def take_over(
    base: BaseModel,
    clips: Sequence[Clip],
    language: str,
    settings: TrainSettings,
    run: Path,
    source: Source,
) -> RunRecord:
    """Make a run of `source` that no step was taken in; arguments as of `train.train`.

    Raises:
        InvalidRequest: there is nothing to judge it by.
        StoreUnavailable: `run` cannot be written.
    """
    development = [clip for clip in clips if clip.split == "development"]
    if not development:
        raise InvalidRequest(
            f"there are no clips of split 'development' by which {source.key} could be judged"
        )
    processes = Processes()
    encoder = encoder_to_learn(base, settings, processes.device)
    shape = AdapterShape(
        KINDS[settings.kind],
        encoder.d_model,
        settings.rank,
        settings.layers,
        len(source.vocabulary),
    )
    adapter = Adapter(shape)
    adapter.load_state_dict(source.weights)
    learner = Learner(encoder, adapter.to(processes.device), settings)
    lower = LowerLayers(encoder, settings.first_layer, settings.precision == "bf16")
    judged = listen(lower, development, source.vocabulary)
    for line in told(development=judged):
        print(f"left out {line}")
    wer, cer = judge(learner, judged, source.vocabulary, language, settings, processes)
    with writable(run):
        run.mkdir(parents=True, exist_ok=True)
    learner.write(run)
    record = RunRecord(
        language=language,
        vocabulary=source.vocabulary,
        settings=settings,
        source=source.key,
        steps=0,
        development_wer=wer,
        development_cer=cer,
        level="zero-shot",
        hours=0.0,
    )
    record.write(run)
    return record
