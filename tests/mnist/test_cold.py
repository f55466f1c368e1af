"""Cold diffusion: degradations against closed forms, Algorithms 1 and 2 against their algebra, both restorers."""

import dataclasses
import hashlib
import json
import math
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from playground.mnist.cold import (
    FITTED_ON,
    KINDS,
    LAST_BLUR,
    SIZE,
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

both = pytest.mark.parametrize("kind", KINDS)
severities = st.integers(0, T)
ENOUGH = {"blur": 25.0, "pixelate": 18.0}  # dB at mid severity
CARD_ROWS = "psnr_of_500_test_digits"


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(n: int, seed: int) -> Tensor:
    return torch.randn(n, 1, SIZE, SIZE, generator=rng(seed))


@cache
def digits(n: int = 200) -> Tensor:
    return mnist("test")[slice(n)]


@cache
def degradation(kind: Kind) -> Degradation:
    return Degradation(kind)


def walk(kind: Kind, algorithm: Algorithm, error: Tensor | float, start: int = T) -> list[ColdStep]:
    """Restored from a degraded digit, by a restorer that always answers the true x_0 and a fixed error."""
    x0 = digits()[:4]
    degrade = degradation(kind)
    return list(restore(lambda x, s, labels: x0 + error, degrade, degrade(x0, start), start, algorithm))


@both
@given(severity=severities, a=st.floats(-3, 3), b=st.floats(-3, 3))
def test_degrading_is_linear(kind: Kind, severity: int, a: float, b: float) -> None:
    degrade, x, y = degradation(kind), noise(2, 0), noise(2, 1)
    expected = a * degrade(x, severity) + b * degrade(y, severity)
    torch.testing.assert_close(degrade(a * x + b * y, severity), expected, rtol=0, atol=1e-5)


@both
def test_severity_0_changes_no_bit(kind: Kind) -> None:
    x0 = noise(4, 0)
    assert torch.equal(degradation(kind)(x0, 0), x0)


@both
@given(severity=severities)
def test_brightness_stays_and_no_pixel_leaves_the_range(kind: Kind, severity: int) -> None:
    x = degradation(kind)(digits(), severity)
    torch.testing.assert_close(x.mean((1, 2, 3)), digits().mean((1, 2, 3)), rtol=0, atol=1e-5)
    assert x.abs().max() <= 1 + 1e-5


@both
def test_a_severity_for_each_image(kind: Kind) -> None:
    degrade, x0, severity = degradation(kind), digits()[:3], torch.tensor([0, 7, T])
    one_by_one = torch.cat([degrade(x0[i : i + 1], int(s)) for i, s in enumerate(severity)])
    torch.testing.assert_close(degrade(x0, severity), one_by_one, rtol=0, atol=1e-6)


@both
def test_more_is_lost_at_every_step(kind: Kind) -> None:
    """Contrast falls, and the digits move away from what they were."""
    states = [degradation(kind)(digits(), s) for s in range(T + 1)]
    assert all(a > b for a, b in pairwise(x.std((2, 3)).mean() for x in states))
    assert all(a < b for a, b in pairwise((x - digits()).square().mean() for x in states))


def test_blur_takes_the_finest_waves_first() -> None:
    """Waves shorter than 4 pixels lose energy at every step, down to float32's rounding; longer ones lose less."""
    place = torch.arange(SIZE) + 0.5
    waves = torch.cos(math.pi / SIZE * torch.arange(SIZE)[:, None] * place)  # the discrete cosine transform
    fine = torch.maximum(torch.arange(SIZE)[:, None], torch.arange(SIZE)) > SIZE / 2
    spectra = [(waves @ degradation("blur")(digits(), s) @ waves.T).square().mean((0, 1)) for s in range(T + 1)]
    energy = [(spectrum[fine] / spectra[0][fine]).mean().item() for spectrum in spectra]
    coarse = [(spectrum[~fine] / spectra[0][~fine]).mean().item() for spectrum in spectra]
    assert all(a > b for a, b in pairwise([e for e in energy if e > 1e-6]))
    assert energy[-1] < 1e-6
    assert all(a < b for a, b in zip(energy[1:], coarse[1:], strict=True))


@both
def test_almost_only_the_brightness_is_left(kind: Kind) -> None:
    x = degradation(kind)(digits(), T)
    assert x.std((2, 3)).mean() < 2 / 255  # one grey level


@pytest.mark.parametrize("severity", [1, 5, 10, 15, T])
@pytest.mark.parametrize(("across", "down"), [(1, 0), (2, 3), (13, 1), (27, 27)])
def test_blur_of_a_wave_is_the_same_wave_lower(severity: int, across: int, down: int) -> None:
    """Cosines that fit reflecting borders are the heat equation's own: each falls by exp(-w²(1 - cos ω)) (Lindeberg
    1990, whose kernel has this transform), and the width w grows evenly on a log scale.
    """
    width = 0.5 * (LAST_BLUR / 0.5) ** ((severity - 1) / (T - 1))
    place = torch.arange(SIZE, dtype=torch.float64) + 0.5
    wave = torch.outer(torch.cos(math.pi * down / SIZE * place), torch.cos(math.pi * across / SIZE * place))
    left = math.exp(-(width**2) * (2 - math.cos(math.pi * down / SIZE) - math.cos(math.pi * across / SIZE)))
    blurred = degradation("blur")(wave.float()[None, None], severity)
    torch.testing.assert_close(blurred, left * wave.float()[None, None], rtol=0, atol=2e-6)


def test_blur_looks_like_a_sampled_gaussian() -> None:
    """Away from the borders, at widths of 2 to 4, where sampling the bell curve is as good."""
    severity = 10
    width = 0.5 * (LAST_BLUR / 0.5) ** ((severity - 1) / (T - 1))
    point = torch.zeros(1, 1, SIZE, SIZE)
    point[..., 14, 14] = 1
    bell = torch.exp(-((torch.arange(SIZE) - 14) ** 2) / (2 * width**2)) / (width * math.sqrt(2 * math.pi))
    torch.testing.assert_close(
        degradation("blur")(point, severity)[0, 0, 4:25, 4:25], torch.outer(bell, bell)[4:25, 4:25], rtol=0, atol=1e-3
    )


def test_pixels_are_area_averages_each_of_the_ones_before() -> None:
    expected = digits()
    for stage, side in enumerate([28, 14, 7, 4, 2, 1]):
        expected = F.interpolate(F.adaptive_avg_pool2d(expected, side), SIZE, mode="nearest")
        torch.testing.assert_close(degradation("pixelate")(digits(), stage * T // 5), expected, rtol=0, atol=1e-5)


@both
@given(severity=st.one_of(st.integers(max_value=-1, min_value=-(10**9)), st.integers(T + 1, 10**9), st.floats(0, T)))
def test_severities_out_of_range_raise(kind: Kind, severity: int | float) -> None:
    with pytest.raises(ColdError, match=f"whole number in 0 … {T}"):
        degradation(kind)(digits()[:1], severity)  # type: ignore[arg-type]


def test_what_cannot_be_asked() -> None:
    degrade = degradation("blur")
    with pytest.raises(ColdError, match="blur, pixelate"):
        Degradation("noise")  # type: ignore[arg-type]
    with pytest.raises(ColdError, match="28×28"):
        degrade(torch.zeros(1, 1, 32, 32), 3)
    with pytest.raises(ColdError, match="naive, improved"):
        list(restore(lambda x, s, labels: x, degrade, digits()[:1], 3, "best"))  # type: ignore[arg-type]
    for start in (0, T + 1, -1):
        with pytest.raises(ColdError, match=f"1 … {T}"):
            list(restore(lambda x, s, labels: x, degrade, digits()[:1], start))


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
