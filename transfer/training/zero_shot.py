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
from transfer.training.source import Start
from transfer.training.step import judge


def take_over(
    base: BaseModel,
    clips: Sequence[Clip],
    language: str,
    settings: TrainSettings,
    run: Path,
    start: Start,
) -> RunRecord:
    """Make a run of a source that no step was taken in; arguments as of `train.train`.

    Raises:
        InvalidRequest: there are several sources, or there is nothing to judge it by.
        StoreUnavailable: `run` cannot be written.
    """
    if len(start.sources) > 1:
        raise InvalidRequest(
            f"there is no speech to learn a {start.fusion} of {start.text} from: an adapter is "
            "taken as it is, so give one with --from, or --fusion best"
        )
    source = start.sources[0]
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
    adapter.load_state_dict(dict(source.weights))
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
