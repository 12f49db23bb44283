"""Prototypes of phonemes as a second loss, with phonemes that the tests make up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from common.errors import InvalidRequest
from speech.base_model import BaseModel
from speech.encoder import Encoded
from tests.transfer.learning import SETTINGS, spoken, tiny_whisper
from tests.transfer.test_train_resume import Breaking, same_result
from transfer.data.manifest import Clip
from transfer.training.auxiliary.prototypes import UNIQUE_WEIGHT, Phonemes, Prototypes
from transfer.training.auxiliary.sounds import phonemes_for
from transfer.training.checkpoint import CHECKPOINT
from transfer.training.examples import Batch, LowerLayers, Speech, listen
from transfer.training.learner import Learner
from transfer.training.processes import Processes
from transfer.training.run import WEIGHTS
from transfer.training.train import train
from transfer.training.vocabulary import vocabulary_of

VOCABULARY = ("<blank>", " ", "a", "b")
PHONEMES = Phonemes(
    names=("a", "b", "ɓ"),
    shares=torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.4, 0.6]]),
    nearest={"ɓ": ["b", "a"]},
)
LETTERS = torch.tensor([2, 3])


def certain(classes: list[int]) -> Tensor:
    """Log-probabilities of one row that says these classes: `[1, n_frames, 4]`."""
    return torch.eye(4)[classes].mul(20.0).log_softmax(dim=-1)[None]


def batch_of(n_frames: int, targets: Tensor) -> Batch:
    lengths = torch.tensor([n_frames])
    return Batch(torch.zeros(1), lengths, targets, torch.tensor([len(targets)]), ("ab",))


def encoded(states: Tensor) -> Encoded:
    return Encoded(states[None], torch.tensor([len(states)]))


@pytest.fixture
def prototypes() -> Prototypes:
    return Prototypes(PHONEMES, 4, weight=0.5)


def test_the_loss_is_the_weighted_cross_entropy_of_the_frames_of_letters(
    prototypes: Prototypes,
) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        prototypes.points.normal_()
    states = torch.randn(4, 4)
    found = prototypes.loss(encoded(states), certain([2, 0, 3, 0]), batch_of(4, LETTERS))
    normed = torch.layer_norm(states, (4,))
    scores = [
        [-float((normed[frame] - point).square().sum()) / 2 for point in prototypes.points.detach()]
        for frame in (0, 2)
    ]
    first, second = (torch.tensor(row).log_softmax(dim=0) for row in scores)
    own = 0.6 * UNIQUE_WEIGHT
    expected = -(first[0] + 0.4 * second[1] + own * second[2]) / (1 + 0.4 + own)
    torch.testing.assert_close(found, expected)


def test_frames_are_drawn_to_their_prototypes(prototypes: Prototypes) -> None:
    with torch.no_grad():
        prototypes.points.copy_(torch.tensor([[1.0, 1, -1, -1], [-1, 1, 1, -1], [-1, 1, 1, -1]]))
    states = torch.randn(4, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    for _ in range(200):
        loss = prototypes.loss(encoded(states), certain([2, 2, 3, 3]), batch_of(4, LETTERS))
        (slope,) = torch.autograd.grad(loss, states)
        with torch.no_grad():
            states -= 0.5 * slope
    nearest = torch.cdist(torch.layer_norm(states.detach(), (4,)), prototypes.points).argmin(dim=1)
    assert nearest.tolist()[:2] == [0, 0]
    assert set(nearest.tolist()[2:]) <= {1, 2}


def test_text_that_does_not_fit_is_no_loss(prototypes: Prototypes) -> None:
    states = torch.randn(1, 4).requires_grad_()
    found = prototypes.loss(encoded(states), certain([2]), batch_of(1, LETTERS))
    assert found.item() == 0.0
    # A batch of such clips alone must not break the step.
    found.backward()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def base() -> BaseModel:
    torch.set_num_threads(1)
    return tiny_whisper()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    return spoken(tmp_path_factory.mktemp("audio"))


@pytest.fixture(scope="module")
def heard(base: BaseModel, clips: list[Clip]) -> Speech:
    lower = LowerLayers(base.encoder, base.encoder.n_layers, half=False)
    return listen(lower, clips[:4], VOCABULARY)


def test_they_begin_at_the_means_of_what_was_heard(heard: Speech) -> None:
    prototypes = Prototypes(PHONEMES, 32, weight=0.5)

    def hear(hidden: Tensor, lengths: Tensor) -> tuple[Encoded, Tensor]:
        log_probs = torch.zeros(*hidden.shape[:2], 4)
        log_probs[..., 0] = -9.0  # a letter in every frame
        return Encoded(hidden, lengths), log_probs

    prototypes.begin(hear, heard, 100, Processes())
    points = prototypes.points.detach()
    assert torch.isfinite(points).all()
    assert not torch.equal(points[0], points[1])
    torch.testing.assert_close(points[2], points[1])  # ɓ is new, and begins where b lies
    again = Prototypes(PHONEMES, 32, weight=0.5)
    again.begin(hear, heard, 1000, Processes())
    torch.testing.assert_close(again.points, prototypes.points)  # however they are batched


SHORT = replace(SETTINGS, epochs=4, batch_s=0.1, accumulation=2, prototypes=0.3)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run with prototypes has those of `PHONEMES`."""
    monkeypatch.setattr(
        "transfer.training.train.auxiliaries_for",
        lambda settings, *_: (
            [Prototypes(PHONEMES, 32, settings.prototypes)] if settings.prototypes else []
        ),
    )


@pytest.mark.usefixtures("made_up")
def test_a_run_broken_off_ends_as_if_it_had_not_been(
    base: BaseModel, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(base, clips, "en", SHORT, tmp_path / "unbroken")
    run = tmp_path / "broken"
    for steps in (1, 2):
        with monkeypatch.context() as patched:
            broken = Breaking(Learner.step, steps, KeyboardInterrupt())
            patched.setattr(Learner, "step", lambda *given, broken=broken: broken(*given))
            with pytest.raises(KeyboardInterrupt):
                train(base, clips, "en", SHORT, run, checkpoint_every_s=0.0)
    train(base, clips, "en", SHORT, run, checkpoint_every_s=0.0)
    same_result(tmp_path / "unbroken", run)
    content = torch.load(run / CHECKPOINT, weights_only=True)
    assert content["weights"]["auxiliary.prototypes.points"].abs().sum() > 0


@pytest.mark.usefixtures("made_up")
def test_they_shape_the_adapter_and_are_not_published(
    base: BaseModel, clips: list[Clip], tmp_path: Path
) -> None:
    for name, weight in (("with", 0.3), ("without", 0.0)):
        train(base, clips, "en", replace(SHORT, prototypes=weight), tmp_path / name)
    taught, plain = (load_file(tmp_path / name / WEIGHTS) for name in ("with", "without"))
    assert taught.keys() == plain.keys()
    block = "blocks.1.attention.up.weight"
    assert not torch.equal(taught[block], plain[block])


def test_they_need_sources(base: BaseModel, clips: list[Clip], tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="--prototypes is of the phonemes that sources lack"):
        train(base, clips, "en", SHORT, tmp_path)


@pytest.mark.usefixtures("made_up")
def test_a_checkpoint_of_an_earlier_version_goes_on(
    base: BaseModel, clips: list[Clip], tmp_path: Path
) -> None:
    plain = replace(SHORT, prototypes=0.0)
    record = train(base, clips, "en", plain, tmp_path)
    content = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    for name in ("prototypes", "tone"):
        del content["recipe"][name]
    torch.save(content, tmp_path / CHECKPOINT)
    assert train(base, clips, "en", plain, tmp_path) == record
    with pytest.raises(InvalidRequest, match=r"prototypes 0.3 \(was 0.0\)"):
        train(base, clips, "en", SHORT, tmp_path)


def test_what_letters_stand_for_and_what_the_sources_lack() -> None:
    """Spanish ñ and the fricative j are not in Italian; vowels and most others are."""
    pytest.importorskip("espeakng_loader")
    texts = ["niño mañana año", "jefe hijo bajo", "perro casa mesa", "la luna blanca"]
    vocabulary = vocabulary_of(texts)
    phonemes = phonemes_for("es", texts, vocabulary, ["it"])
    assert "x" in phonemes.nearest
    assert "a" not in phonemes.nearest
    assert phonemes.nearest["x"][0] in phonemes.names
    written = dict(zip(vocabulary, phonemes.shares, strict=True))
    assert phonemes.names[int(written["j"].argmax())] == "x"
    assert written[" "].sum() == written["<blank>"].sum() == 0
    assert bool((phonemes.shares.sum(dim=1) <= 1.0001).all())
    with pytest.raises(InvalidRequest, match="no list has words of be"):
        phonemes_for("es", texts, vocabulary, ["be"])
