"""What continued pre-training on audio alone changes in an encoder: three seeds, linear probes.

    python -m benchmarks.transfer_pretraining [--seeds 0,1,2] [--steps 1000]

No pre-trained wav2vec 2.0 can be had where this was made, so the encoder is small and begins from
drawn weights: this shows whether the machinery teaches it anything that helps to tell letters, not
what pre-training is worth to a real one. It hears Belarusian and Russian training clips; then, as
before it, a linear probe reads Belarusian letters off each layer (`panglot probe`). Some five
minutes a seed on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from benchmarks.report import write
from speech.base_model import load_base_model
from transfer.pretraining.model import open_start
from transfer.pretraining.pretrain import pretrain
from transfer.pretraining.record import MODEL
from transfer.pretraining.recordings import find_recordings
from transfer.pretraining.settings import PretrainSettings
from transfer.probing.probe import probe
from transfer.probing.probes import ProbeSettings
from transfer.probing.proposal import ProbeRecord
from transfer.progress import TerminalBars
from transfer.training.plan import clips_for

_JUDGED, _HEARD = "be", ("be", "ru")


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=5.0, help="that the probes learn from")
    parser.add_argument("--data", type=Path, default=Path("data"), help="corpora and manifests")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/pretraining"), help="folder of runs"
    )
    arguments = parser.parse_args()
    recordings = [
        recording
        for language in _HEARD
        for recording in find_recordings(language, arguments.data / f"{language}.jsonl")
        if recording.split == "train"
    ]
    rows: list[dict[str, Any]] = []
    for seed in map(int, arguments.seeds.split(",")):
        folder = arguments.runs / f"seed-{seed}"
        drawn = _drawn(folder / "drawn", seed)
        settings = PretrainSettings(
            steps=arguments.steps,
            learning_rate=2e-3,
            batch_s=6.0,
            crop_s=6.0,
            mask_prob=0.35,
            precision="fp32",
            seed=seed,
            base_model=str(drawn),
        )
        with TerminalBars(Console(stderr=True)) as bars:
            record = pretrain(open_start(settings), recordings, settings, folder, bars=bars)
            for name, base in (("drawn", drawn), ("pre-trained", folder / MODEL)):
                found = _probed(base, seed, arguments, bars)
                rows.append(_row(name, seed, found))
                print(rows[-1], flush=True)
        rows[-1] |= {"pretraining_wall_s": round(record.wall_s)}
    print(write("transfer_pretraining", rows, _claims(rows)))


def _drawn(directory: Path, seed: int) -> Path:
    """A small encoder of drawn weights, in the hub's layout."""
    torch.manual_seed(seed)
    config = Wav2Vec2Config(
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        conv_dim=(64,) * 7,
        num_conv_pos_embeddings=64,
        num_conv_pos_embedding_groups=8,
        codevector_dim=64,
        proj_codevector_dim=64,
        num_codevectors_per_group=16,
        num_negatives=50,
        feat_extract_norm="group",
        do_stable_layer_norm=False,
        layerdrop=0.0,
        hidden_dropout=0.0,
        activation_dropout=0.0,
        attention_dropout=0.0,
        feat_proj_dropout=0.0,
    )
    Wav2Vec2Model(config).save_pretrained(directory)
    Wav2Vec2FeatureExtractor(return_attention_mask=False).save_pretrained(directory)
    return directory


def _probed(
    base: Path, seed: int, arguments: argparse.Namespace, bars: TerminalBars
) -> ProbeRecord:
    clips = clips_for(_JUDGED, arguments.data, arguments.minutes, 0)
    model = load_base_model(str(base))
    record, _ = probe(model, clips, _JUDGED, "letters", ProbeSettings(seed=seed), bars)
    return record


def _row(encoder: str, seed: int, found: ProbeRecord) -> dict[str, Any]:
    errors = [round(error.value, 4) for error in found.errors]
    return {"encoder": encoder, "seed": seed, "cer_by_height": errors, "best_cer": min(errors)}


def _claims(rows: list[dict[str, Any]]) -> dict[str, Any]:
    best = {
        name: [row["best_cer"] for row in rows if row["encoder"] == name]
        for name in ("drawn", "pre-trained")
    }
    less = [
        round(after - before, 4)
        for before, after in zip(best["drawn"], best["pre-trained"], strict=True)
    ]
    return {"best_probe_cer": best, "pretraining_cer_less_by_seed": less}


if __name__ == "__main__":
    main()
