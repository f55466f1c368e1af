"""Cold diffusion back from a degraded image: the two algorithms, the starts, training, and what ships."""

import dataclasses
import hashlib
import json
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from playground.mnist.cold import (
    FITTED_ON,
    TRAINING,
    Algorithm,
    ColdError,
    ColdStep,
    ColdTrainer,
    Degradation,
    Kind,
    Restorer,
    T,
    draw_degraded,
    load_restorer,
    psnr,
    restore,
)
from playground.mnist.data import MNIST, ImageSet, mnist
from playground.mnist.weights import WeightsError
from tests.mnist.cold_cases import both, degradation, digits, noise, rng

ENOUGH = {"blur": 25.0, "pixelate": 18.0}  # dB at mid severity
CARD_ROWS = "psnr_of_500_test_digits"


def walk(kind: Kind, algorithm: Algorithm, error: Tensor | float, start: int = T) -> list[ColdStep]:
    """Restored from a degraded digit, by a restorer that always answers the true x_0 and a fixed error."""
    x0 = digits()[:4]
    degrade = degradation(kind)
    return list(restore(lambda x, s, labels: x0 + error, degrade, degrade(x0, start), start, algorithm))


# Restoring


@both
@pytest.mark.parametrize("algorithm", ["naive", "improved"])
@pytest.mark.parametrize("start", [1, 12, T])
def test_a_perfect_restorer_walks_back_through_every_state(kind: Kind, algorithm: Algorithm, start: int) -> None:
    steps = walk(kind, algorithm, 0.0, start)
    assert [(step.index, step.severity) for step in steps] == [(start - s, s) for s in range(start, -1, -1)]
    for step in steps:
        torch.testing.assert_close(step.x, degradation(kind)(digits()[:4], step.severity), rtol=0, atol=1e-5)
        torch.testing.assert_close(step.x0, digits()[:4], rtol=0, atol=1e-5)


@both
@given(seed=st.integers(0, 2**31), start=st.integers(1, T))
def test_what_is_left_of_a_fixed_error(kind: Kind, seed: int, start: int) -> None:
    """x̂_0 = x_0 + δ. Algorithm 1 leaves D(δ, s). In Algorithm 2 the sum telescopes to D(δ, s) - D(δ, start): whatever
    of δ survives the degradation is known from x_start, and is right.
    """
    delta, degrade = 0.3 * noise(4, seed), degradation(kind)
    improved, naive = walk(kind, "improved", delta, start), walk(kind, "naive", delta, start)
    for step, other in list(zip(improved, naive, strict=True))[1:]:
        s, true = step.severity, degrade(digits()[:4], step.severity)
        torch.testing.assert_close(step.x - true, degrade(delta, s) - degrade(delta, start), rtol=0, atol=1e-5)
        torch.testing.assert_close(other.x - true, degrade(delta, s), rtol=0, atol=1e-5)
        if kind == "blur":  # symmetric, and falling with s: what telescopes is never longer
            assert (step.x - true).norm() <= (other.x - true).norm() + 1e-5


@both
def test_an_error_in_brightness_vanishes(kind: Kind) -> None:
    """It survives any degradation whole: Algorithm 2 corrects all of it, Algorithm 1 nothing."""
    improved, naive = walk(kind, "improved", 0.25)[-1], walk(kind, "naive", 0.25)[-1]
    assert (improved.x - digits()[:4]).abs().max() < 1e-5
    torch.testing.assert_close(naive.x, digits()[:4] + 0.25, rtol=0, atol=1e-5)


class AlongOneDirection(Degradation):
    """§3.3's first-order degradation, D(x, s) = x + s·e."""

    def __call__(self, x0: Tensor, severity: int | Tensor) -> Tensor:
        return x0 + severity * 0.05 * noise(1, 3)


def test_any_restorer_will_do_for_a_first_order_degradation() -> None:
    """§3.3: Algorithm 2 is then right whatever the restorer answers; Algorithm 1 is not."""
    degrade, x0, rubbish = AlongOneDirection("blur"), digits()[:4], rng(0)

    def answer(x: Tensor, severity: int, labels: Tensor | None) -> Tensor:
        return torch.randn(x.shape, generator=rubbish)

    for step in restore(answer, degrade, degrade(x0, T), T):
        torch.testing.assert_close(step.x, degrade(x0, step.severity), rtol=0, atol=1e-4)
    assert (list(restore(answer, degrade, degrade(x0, T), T, "naive"))[-1].x - x0).abs().mean() > 0.5


def test_labels_reach_the_restorer() -> None:
    labels = torch.tensor([3, 1])
    seen: list[tuple[int, Tensor | None]] = []

    def answer(x: Tensor, severity: int, given: Tensor | None) -> Tensor:
        seen.append((severity, given))
        return x

    list(restore(answer, degradation("blur"), digits()[:2], 2, labels=labels))
    assert seen == [(2, labels), (1, labels)]


@pytest.mark.parametrize("severity", [8, T])
@both
def test_a_start_is_drawn_from_the_gaussian_of_its_class(kind: Kind, severity: int) -> None:
    """The mean, and the spread along the directions in which degraded digits of that class spread most."""
    degrade, images = degradation(kind), mnist()
    assert images.labels is not None
    labels = torch.tensor([3] * 2_000 + [1] * 2_000)
    drawn = draw_degraded(degrade, severity, images, labels, rng(0)).flatten(1).double()
    known = images.labels[:FITTED_ON]
    for label in (3, 1):
        x, real = (
            drawn[labels == label],
            degrade(images[(known == label).nonzero()[:, 0]], severity).flatten(1).double(),
        )
        deviations = real - real.mean(0)
        assert (x.mean(0) - real.mean(0)).norm() < 0.1 * deviations.norm(dim=1).mean()
        directions = torch.linalg.eigh(deviations.T @ deviations)[1][:, -8 if severity < T else -1 :]
        torch.testing.assert_close((x @ directions).std(0), (deviations @ directions).std(0), rtol=0.1, atol=0)


def test_a_class_without_images_has_no_start() -> None:
    images = mnist("test")
    for labels, of in [(torch.tensor([10]), images), (torch.tensor([1]), dataclasses.replace(images, labels=None))]:
        with pytest.raises(ColdError, match="no images"):
            draw_degraded(degradation("blur"), T, of, labels, rng(0))


def few() -> ImageSet:
    images = mnist("test")
    assert images.labels is not None
    return dataclasses.replace(images, images=images.images[:64], labels=images.labels[:64])


def test_training_learns_and_repeats_itself() -> None:
    def trained(steps: int) -> tuple[list[float], Tensor]:
        trainer = ColdTrainer(degradation("blur"), few(), seed=1)
        trainer.config = dataclasses.replace(TRAINING, batch_size=16, warmup_steps=0, decay="constant")
        losses = [step.loss for step in trainer.steps(steps)]
        return losses, torch.cat([p.flatten() for p in trainer.ema.parameters()])

    losses, _ = trained(15)
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])
    (first, weights), (again, same_weights) = trained(3), trained(3)
    assert losses[:3] == first == again
    assert torch.equal(weights, same_weights)


def test_a_step_meets_every_severity_alike() -> None:
    """A batch of 64 is stratified. An untrained network adds nothing, so the first loss is what the degradation did."""
    met: list[tuple[Tensor, Tensor]] = []

    class Watched(Degradation):
        def __call__(self, x0: Tensor, severity: int | Tensor) -> Tensor:
            assert isinstance(severity, Tensor)
            met.append((x0, severity))
            return super().__call__(x0, severity)

    step = next(ColdTrainer(Watched("blur"), few(), seed=0).steps(1))
    [(x0, severity)] = met
    counts = severity.bincount(minlength=T + 1)
    assert counts[0] == 0
    assert counts[1:].min() >= 2
    assert counts[1:].max() <= 5
    assert step.loss == pytest.approx((degradation("blur")(x0, severity) - x0).abs().mean().item(), rel=1e-5)


# What ships.


@cache
def shipped(kind: Kind) -> tuple[Restorer, Degradation]:
    return load_restorer(kind)


@both
def test_the_weights_are_the_cards(kind: Kind) -> None:
    weights = (MNIST / f"restorer-{kind}.safetensors").read_bytes()
    card = json.loads((MNIST / f"restorer-{kind}.json").read_text())
    assert len(weights) <= 400_000
    assert hashlib.sha256(weights).hexdigest() == card["sha256"]
    assert sum(p.numel() for p in shipped(kind)[0].parameters()) == card["parameters"]
    assert card["recipe"]["kind"] == kind
    assert card["recipe"].items() >= json.loads(json.dumps(dataclasses.asdict(TRAINING))).items()


@both
def test_what_ships_restores(kind: Kind) -> None:
    """200 test digits at mid severity: the card's PSNR, and far above the degraded digits' own."""
    restorer, degrade = shipped(kind)
    severity = T // 2
    x = degrade(digits(), severity)
    at_once = psnr(restorer(x, severity), digits())
    *_, last = restore(restorer, degrade, x, severity)
    assert at_once > ENOUGH[kind]
    assert at_once > psnr(x, digits()) + 5
    assert psnr(last.x, digits()) > psnr(x, digits()) + 5
    rows = {row["severity"]: row for row in json.loads((MNIST / f"restorer-{kind}.json").read_text())[CARD_ROWS]}
    assert at_once == pytest.approx(rows[severity]["at_once"], abs=0.5)  # 200 of the card's 500 digits


def test_a_damaged_restorer_says_so(tmp_path: Path) -> None:
    (tmp_path / "restorer-blur.safetensors").write_bytes((MNIST / "restorer-blur.safetensors").read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"restorer-blur\.safetensors"):
        load_restorer("blur", tmp_path)
    with pytest.raises(ColdError, match="blur, pixelate"):
        load_restorer("../blur", tmp_path)  # type: ignore[arg-type]
