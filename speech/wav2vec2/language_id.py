"""Step 4: MMS-LID, wav2vec 2.0 with a classifier of languages.

Published as `facebook/mms-lid-126` … `facebook/mms-lid-4017`: the encoder, a projection, the mean
over frames, a linear layer. Pratap et al., "Scaling Speech Technology to 1,000+ Languages" (2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

from common.errors import AdapterRefused, ModelNotFound
from common.tags import widely_called
from speech.precision import Placement
from speech.wav2vec2.encoder import (
    Wav2Vec2SharedEncoder,
    read_architecture,
    read_weights,
)
from speech.wav2vec2.mms_languages import language_tag

ARCHITECTURE = "Wav2Vec2ForSequenceClassification"


class Wav2Vec2LanguageIdentifier:
    """A classifier over the shared encoder. Behind `speech.language_id.identifier`."""

    def __init__(
        self,
        name: str,
        model: Wav2Vec2ForSequenceClassification,
        tags: Sequence[str],
        *,
        normalise: bool,
        temperature: float = 1.0,
    ) -> None:
        """Share the weights of `model`.

        Args:
            name: as it was asked for.
            model: in evaluation mode, where it is to run.
            tags: BCP-47 tag of each class; one that stands twice has the sum of both.
            normalise: whether it hears audio of zero mean and unit variance.
            temperature: divides the logits.
        """
        self.name = name
        self.languages = tuple(dict.fromkeys(tags))
        # Ours: a row of a padded batch equals the same window alone, whatever norms the model has.
        self._encoder = Wav2Vec2SharedEncoder(model.wav2vec2, normalise)
        self._projector = model.projector
        self._classifier = model.classifier
        self._columns = torch.tensor([self.languages.index(tag) for tag in tags])
        self._temperature = temperature

    @torch.inference_mode()
    def posteriors(self, windows: Sequence[Tensor]) -> Tensor:
        """As the seam says. On the true length of each window; of more than 30 s the end is heard.

        There is no background class: its column is 0.
        """
        heard = [window[-self._encoder.max_samples :] for window in windows]
        encoded = self._encoder(*self._encoder.features(heard))
        projected = self._projector(encoded.states).masked_fill(~encoded.mask[:, :, None], 0)
        pooled = projected.float().sum(dim=1) / encoded.lengths[:, None]
        logits = self._classifier(pooled.to(projected.dtype)).float().cpu()
        classes = (logits / self._temperature).softmax(dim=-1)
        # One column more than there are languages: nothing is ever added to the last.
        found = torch.zeros(len(windows), len(self.languages) + 1)
        return found.index_add_(1, self._columns, classes)


def load_wav2vec2_identifier(
    directory: Path, name: str, placement: Placement, temperature: float = 1.0
) -> Wav2Vec2LanguageIdentifier:
    """Read a `Wav2Vec2ForSequenceClassification` in the hub's layout; safetensors only.

    Raises:
        ModelNotFound: it lacks weights, is of a shape that is not served, or its labels are no
            languages.
    """
    config, normalise = read_architecture(directory, name)
    if config.use_weighted_layer_sum or config.adapter_attn_dim is not None:
        raise ModelNotFound(
            f"model {name!r} classifies a sum of its layers, or has adapter layers, which are not "
            "served for language identification: give one without, such as facebook/mms-lid-126"
        )
    tags = _tags(config, name)
    model: Any = read_weights(_Classifier, directory, config, name)
    model.to(placement.device, placement.dtype)
    return Wav2Vec2LanguageIdentifier(
        name, model, tags, normalise=normalise, temperature=temperature
    )


class _Classifier(Wav2Vec2ForSequenceClassification):
    # Only its own training used the mask, and transformers would warn of it.
    _keys_to_ignore_on_load_unexpected: list[str] | set[str] | None = [  # noqa: RUF012 theirs
        r"masked_spec_embed"
    ]


def _tags(config: Wav2Vec2Config, name: str) -> list[str]:
    """BCP-47 tag of each class, from labels such as `eng` or `azj-script_latin`."""
    try:
        names: Any = config.id2label
        labels = [str(names[number]) for number in range(len(names))]
        return [widely_called(language_tag(label)) for label in labels]
    except (AdapterRefused, KeyError) as error:
        raise ModelNotFound(
            f"model {name!r}: its labels (id2label) are no languages, as MMS-LID's ISO 639-3 codes "
            f"are: {error}"
        ) from error
