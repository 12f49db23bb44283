"""What a probe found, and how many layers it proposes to leave untouched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from common.errors import InvalidRequest
from speech.adapters.card import ErrorRate
from speech.base_model import BaseModel
from transfer.files import write_whole

PROBE_FILE = "probe.json"
MOST_OF_THE_WAY = 0.8
"""From the error at the input of layer 1 to that of the best layer."""
Target = Literal["letters", "phonemes"]


@dataclass(frozen=True)
class ProbeRecord:
    """How well each layer of a base serves a language.

    Attributes:
        language: BCP-47 tag.
        base: the model's name.
        fingerprint: of its encoder.
        target: what the probes write.
        minutes: of speech they learned from.
        judged_minutes: of speech they were judged by.
        errors: share of symbols wrong, of the input of layer 1 and then of each layer.
    """

    language: str
    base: str
    fingerprint: str
    target: Target
    minutes: float
    judged_minutes: float
    errors: tuple[ErrorRate, ...]

    @property
    def n_layers(self) -> int:
        """Of the encoder."""
        return len(self.errors) - 1

    @property
    def frozen(self) -> int:
        """How many of the lowest layers it proposes to leave untouched."""
        return layers_to_freeze([error.value for error in self.errors])

    def way(self) -> tuple[float, ...]:
        """Of each height, how much of the way it is to the best; 0 at the input of layer 1."""
        return way_to_the_best([error.value for error in self.errors])

    def write(self, run: Path) -> None:
        """Write `probe.json` into the language's folder of runs.

        Raises:
            StoreUnavailable: the folder cannot be written.
        """
        document = asdict(self) | {"frozen": self.frozen}
        write_whole(run / PROBE_FILE, json.dumps(document, ensure_ascii=False, indent=1) + "\n")

    @classmethod
    def read(cls, run: Path) -> ProbeRecord:
        """What `write` wrote; InvalidRequest where there is none that can be read."""
        try:
            document = json.loads((run / PROBE_FILE).read_text(encoding="utf-8"))
            document.pop("frozen")
            errors = tuple(ErrorRate(**error) for error in document.pop("errors"))
            return cls(**document, errors=errors)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidRequest(
                f"there is no probe of {run.name} in {run}: run panglot probe {run.name} first, "
                "with the same --base and --runs"
            ) from error


def layers_to_freeze(errors: Sequence[float]) -> int:
    """The lowest layer that is most of the way from the input's error to that of the best layer.

    Up to there the layers, as they are, do most of what this encoder can do for the language; an
    adapter is proposed to begin above them. Going by the whole way and not by the step from one
    layer to the next, a single layer that was judged badly by chance changes little. One layer at
    least is left to learn; where no layer helps, none is frozen.

    Args:
        errors: of the input of layer 1 and then of each layer.
    """
    way = way_to_the_best(errors)
    frozen = next((layer for layer, share in enumerate(way) if share >= MOST_OF_THE_WAY), 0)
    return min(frozen, len(errors) - 2)


def way_to_the_best(errors: Sequence[float]) -> tuple[float, ...]:
    """How far each error is from the first, 0, to the lowest, 1."""
    fall = errors[0] - min(errors)
    return tuple((errors[0] - error) / fall if fall else 0.0 for error in errors)


def unfrozen_layers(text: str, base: BaseModel, run: Path) -> tuple[int, ...]:
    """The layers that learn where `--freeze` is `text`: a number, or `probe`.

    Args:
        text: as it was typed.
        base: the model to teach.
        run: the language's folder of runs, where `panglot probe` writes.

    Raises:
        InvalidRequest: it is neither or too many, or there is no probe of this base.
    """
    n_layers = base.encoder.n_layers
    frozen = _probed(base, run) if text == "probe" else int(text) if text.isdecimal() else n_layers
    if frozen >= n_layers:
        raise InvalidRequest(
            f"--freeze {text!r:.40}: give probe, or 0 to {n_layers - 1} of the {n_layers} layers "
            f"of {base.name}"
        )
    return tuple(range(frozen, n_layers))


def _probed(base: BaseModel, run: Path) -> int:
    record = ProbeRecord.read(run)
    if record.fingerprint != base.fingerprint:
        raise InvalidRequest(
            f"the probe of {record.language} in {run} is of {record.base} with {record.n_layers} "
            f"layers, not of {base.name} with {base.encoder.n_layers}: run panglot probe "
            f"{record.language} --base {base.name}"
        )
    return record.frozen
