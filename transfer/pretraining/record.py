"""What a finished run of pre-training leaves beside its model."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from transfer.files import write_whole
from transfer.pretraining.settings import PretrainSettings

RECORD_FILE = "pretrain.json"
MODEL = "model"
"""Folder of the model, in the hub's layout."""
_FEWEST_CODES = 2


@dataclass(frozen=True)
class PretrainRecord:
    """A run's result.

    Attributes:
        settings: as trained.
        hours: of each language that was learned from.
        shares: probability with which each was drawn.
        new: what the base model lacked, and was made new.
        left_out: recordings that could not be used.
        n_codebooks: of the quantiser; the perplexity of the codes is at least this.
        judged: per judgement, on pieces that nothing is learned from: `step`, `contrastive`,
            `diversity`, `perplexity`, `accuracy`; empty where there was too little to set aside.
        skipped: batches whose loss or gradient was no number.
        wall_s: seconds that it took, in all sessions.
    """

    settings: PretrainSettings
    hours: dict[str, float]
    shares: dict[str, float]
    new: tuple[str, ...]
    left_out: int
    n_codebooks: int
    judged: tuple[dict[str, float], ...]
    skipped: int
    wall_s: float

    @property
    def collapsed(self) -> bool:
        """Whether hardly more than one code of each codebook is in use.

        The contrastive loss is then low: distractors that equal the right answer do not count in
        it, and are almost all there are.
        """
        perplexity = self.judged[-1]["perplexity"] if self.judged else math.inf
        return perplexity < _FEWEST_CODES * self.n_codebooks

    def write(self, run: Path) -> None:
        """Write `pretrain.json`; with it the run is finished."""
        write_whole(run / RECORD_FILE, json.dumps(asdict(self), ensure_ascii=False, indent=2))

    @classmethod
    def read(cls, run: Path) -> PretrainRecord:
        """What `write` wrote."""
        document = json.loads((run / RECORD_FILE).read_text(encoding="utf-8"))
        document["settings"] = PretrainSettings(**document["settings"])
        for name in ("new", "judged"):
            document[name] = tuple(document[name])
        return cls(**document)
