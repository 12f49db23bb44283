"""Several adapters become one, whose weights say exactly what was learned."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from common.errors import InvalidRequest
from speech.adapters.kinds import ATTENTION, BOTTLENECK, AdapterKind, AdapterShape
from speech.adapters.module import Adapter
from speech.base_model import BaseModel
from tests.speech.tiny import random_adapter
from tests.transfer.learning import SETTINGS, Arguments, spoken, tiny_whisper
from transfer.data.manifest import Clip, write_manifest
from transfer.training.checkpoint import CHECKPOINT
from transfer.training.learner import Learner
from transfer.training.run import WEIGHTS, RunRecord
from transfer.training.source import Fusion, Source, Start
from transfer.training.start.begin import begin
from transfer.training.start.fused import FusedAdapter
from transfer.training.train import train
from transfer.training.zero_shot import take_over

SHAPE = AdapterShape(BOTTLENECK, 32, 8, (1,), 4)
VOCABULARY = ("", " ", "a", "b")
LEARNED: tuple[Fusion, ...] = ("attention", "concatenation")
SHORT = replace(SETTINGS, epochs=3, batch_s=0.1, accumulation=2, feature_dropout=0.1)


@pytest.fixture(scope="module")
def base() -> BaseModel:
    torch.set_num_threads(1)
    return tiny_whisper()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    return spoken(tmp_path_factory.mktemp("audio"))


def source(seed: int, shape: AdapterShape = SHAPE) -> Source:
    return Source(f"s{seed}@1", random_adapter(shape, seed).state_dict(), VOCABULARY)


def start_of(fusion: Fusion, *sources: Source) -> Start:
    several = sources or (source(1), source(2), source(3))
    weights = {2: (0.25, 0.75), 3: (0.2, 0.3, 0.5)}[len(several)]
    return Start(several, weights, fusion)


def fused(start: Start, shape: AdapterShape = SHAPE) -> FusedAdapter:
    """With all that can be learned a little off where it began."""
    torch.manual_seed(0)
    adapter = begin(shape, VOCABULARY, start)
    assert isinstance(adapter, FusedAdapter)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return adapter


def said(adapter: Adapter, hidden: Tensor) -> list[Tensor]:
    """What all blocks make of `hidden`."""
    with torch.no_grad():
        return [
            adapter(hidden, layer, site)
            for layer in adapter.shape.layers
            for site in adapter.shape.kind.sites
        ]


@pytest.mark.parametrize("kind", [BOTTLENECK, ATTENTION], ids=lambda kind: kind.name)
@pytest.mark.parametrize("fusion", LEARNED)
def test_what_is_learned_is_a_plain_adapter(fusion: Fusion, kind: AdapterKind) -> None:
    shape = replace(SHAPE, kind=kind, layers=(0, 1))
    adapter = fused(start_of(fusion, source(1, shape), source(2, shape)), shape)
    plain = Adapter(shape)
    plain.load_state_dict(adapter.plain())
    hidden = torch.randn(2, 5, 32)
    for one, other in zip(said(adapter, hidden), said(plain, hidden), strict=True):
        assert not torch.allclose(one, hidden)
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("fusion", LEARNED)
def test_the_learner_hears_by_what_it_writes(
    base: BaseModel, fusion: Fusion, precision: str, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, precision=precision)  # type: ignore[arg-type]
    adapter = fused(start_of(fusion))
    learner = Learner(base.encoder, adapter, settings)
    learner.write(tmp_path)
    plain = Adapter(SHAPE)
    plain.load_state_dict(load_file(tmp_path / WEIGHTS))
    hidden, lengths = torch.randn(2, 9, 32), torch.tensor([9, 6])
    with torch.no_grad():
        heard, _ = learner.log_probs(hidden, lengths)
        served, _ = Learner(base.encoder, plain, settings).log_probs(hidden, lengths)
    torch.testing.assert_close(heard, served, atol=1e-5, rtol=1e-5)


def test_the_mean_is_weighted() -> None:
    start = start_of("mean")
    mean = begin(SHAPE, VOCABULARY, start).state_dict()
    for name, value in mean.items():
        parts = [
            weight * one.weights[name]
            for one, weight in zip(start.sources, start.weights, strict=True)
        ]
        torch.testing.assert_close(value, torch.stack(parts).sum(0))


def test_the_mean_of_one_adapter_with_itself_is_that_adapter() -> None:
    same = replace(source(1), key="again@1")
    mean = begin(SHAPE, VOCABULARY, Start((source(1), same), (0.3, 0.7), "mean")).state_dict()
    for name, value in source(1).weights.items():
        torch.testing.assert_close(mean[name], value)


def test_attention_begins_as_the_mean_and_can_choose_one() -> None:
    start = start_of("attention")
    mean = begin(SHAPE, VOCABULARY, replace(start, fusion="mean")).state_dict()
    adapter = begin(SHAPE, VOCABULARY, start)
    assert isinstance(adapter, FusedAdapter)
    for name, value in adapter.plain().items():
        torch.testing.assert_close(value, mean[name])
    with torch.no_grad():
        for name, parameter in adapter.mixtures.named_parameters():
            assert name.endswith("scores")
            parameter.copy_(torch.tensor([0.0, 0.0, 100.0]))
    for name, value in adapter.plain().items():
        if name.startswith("blocks"):
            torch.testing.assert_close(value, start.sources[2].weights[name])


def test_all_units_side_by_side_say_the_mean_of_what_the_sources_say() -> None:
    """Nothing has to be left out where the rank is that of all together."""
    start = start_of("concatenation")
    wide = replace(SHAPE, rank=24)
    adapter = begin(wide, VOCABULARY, start)
    hidden = torch.randn(50, 32)
    sources = []
    for one in start.sources:
        plain = Adapter(SHAPE)
        plain.load_state_dict(dict(one.weights))
        sources.append(said(plain, hidden))
    for place, value in enumerate(said(adapter, hidden)):
        means = [weight * each[place] for each, weight in zip(sources, start.weights, strict=True)]
        torch.testing.assert_close(value, torch.stack(means).sum(0), atol=1e-4, rtol=1e-4)


def test_side_by_side_the_same_adapter_twice_is_that_adapter() -> None:
    """Units that say the same are known as such: of each only one is kept."""
    same = replace(source(1), key="again@1")
    adapter = begin(SHAPE, VOCABULARY, Start((source(1), same), (0.5, 0.5), "concatenation"))
    plain = Adapter(SHAPE)
    plain.load_state_dict(dict(source(1).weights))
    hidden = torch.randn(50, 32)
    for one, other in zip(said(adapter, hidden), said(plain, hidden), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_ranks_may_differ_side_by_side_alone() -> None:
    narrow = source(2, replace(SHAPE, rank=5))
    adapter = begin(SHAPE, VOCABULARY, start_of("concatenation", source(1), narrow))
    assert adapter.plain()["blocks.1.attention.down.weight"].shape == (8, 32)
    for fusion in ("mean", "attention"):
        with pytest.raises(InvalidRequest, match="s2@1 is an adapter of another shape"):
            begin(SHAPE, VOCABULARY, start_of(fusion, source(1), narrow))
    with pytest.raises(InvalidRequest, match=r"rank 14 was asked for: side by side .* have 13"):
        begin(replace(SHAPE, rank=14), VOCABULARY, start_of("concatenation", source(1), narrow))


def test_what_is_mixed_learns(base: BaseModel, clips: list[Clip], tmp_path: Path) -> None:
    start = start_of("attention")
    record = train(base, clips, "en", SHORT, tmp_path, start)
    assert (record.source, record.fusion) == ("s1@1=0.2,s2@1=0.3,s3@1=0.5", "attention")
    assert RunRecord.read(tmp_path) == record
    assert "started from the attention of s1@1=0.2,s2@1=0.3,s3@1=0.5" in record.strategy()
    weights = torch.load(tmp_path / CHECKPOINT, weights_only=True)["weights"]
    scores = [value for name, value in weights.items() if name.endswith("scores")]
    assert len(scores) == 2
    for learned in scores:
        assert not torch.allclose(torch.softmax(10 * learned, 0), torch.tensor(start.weights))
    record.adapter(tmp_path, 32)  # loads as any other


@pytest.mark.parametrize("fusion", LEARNED)
def test_a_fused_run_broken_off_ends_as_an_unbroken_one(
    base: BaseModel,
    clips: list[Clip],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fusion: Fusion,
) -> None:
    start = start_of(fusion)
    train(base, clips, "en", SHORT, tmp_path / "unbroken", start)
    genuine = Learner.step
    steps = []

    def breaking(*given: object) -> bool:
        steps.append(1)
        if len(steps) % 4 == 0:
            raise KeyboardInterrupt
        return genuine(*given)  # type: ignore[arg-type]

    run = tmp_path / "broken"
    monkeypatch.setattr(Learner, "step", breaking)
    with pytest.raises(KeyboardInterrupt):
        train(base, clips, "en", SHORT, run, start, checkpoint_every_s=0.0)
    monkeypatch.setattr(Learner, "step", genuine)
    train(base, clips, "en", SHORT, run, start)
    for name in (WEIGHTS, CHECKPOINT):
        one, other = (
            load_file(folder / name)
            if name == WEIGHTS
            else torch.load(folder / name, weights_only=True)["weights"]
            for folder in (run, tmp_path / "unbroken")
        )
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert torch.equal(value, other[key]), key


@pytest.mark.slow
@pytest.mark.parametrize("fusion", LEARNED)
def test_a_fused_run_that_is_killed(clips: list[Clip], tmp_path: Path, fusion: Fusion) -> None:
    write_manifest(tmp_path / "chords.jsonl", clips)
    manifest = str(tmp_path / "chords.jsonl")
    unbroken = Arguments(manifest, str(tmp_path / "unbroken"), {"epochs": 3}, fusion=fusion)
    broken = replace(unbroken, run=str(tmp_path / "broken"))
    killed = replace(broken, killed_at="step", killed_after=2)
    codes = [
        subprocess.run([sys.executable, *each.command()], check=False).returncode
        for each in (unbroken, killed, broken)
    ]
    assert codes == [0, -9, 0]
    one, other = (load_file(Path(each.run) / WEIGHTS) for each in (unbroken, broken))
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.parametrize(
    "change",
    [{"fusion": "mean"}, {"weights": (0.3, 0.3, 0.4)}, {"head": "new"}],
    ids=["fusion", "weights", "head"],
)
def test_a_run_goes_on_with_its_own_start_alone(
    base: BaseModel, clips: list[Clip], tmp_path: Path, change: dict[str, object]
) -> None:
    start = start_of("attention")
    train(base, clips, "en", replace(SHORT, epochs=1), tmp_path, start)
    other = replace(start, **change)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="holds a run of its own: source"):
        train(base, clips, "en", replace(SHORT, epochs=1), tmp_path, other)


def test_without_speech_nothing_is_put_together(
    base: BaseModel, clips: list[Clip], tmp_path: Path
) -> None:
    with pytest.raises(InvalidRequest, match="no speech to learn a mean of s1@1="):
        take_over(base, clips, "en", replace(SHORT, epochs=0), tmp_path, start_of("mean"))
