"""Changing, filling in and walking between images, with a network in closed form: what should come out is known."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from playground.diffusion.sampling import SamplerError
from playground.diffusion.schedule_config import ScheduleConfig
from playground.mnist import generate
from playground.mnist.generate import GenerateError, Request
from playground.mnist.weights import ImageModel
from tests.mnist.six_images import ARRIVING, CLASSES, SHAPE, Exact, assert_consistent, drawn, rng, sampled

# SDEdit


@pytest.mark.parametrize("spacing", ["default", "leading", "trailing", "linspace"])
@pytest.mark.parametrize("sampler", [name for name in ARRIVING if name != "annealed_langevin"])
def test_editing_starts_from_the_noised_image(model: ImageModel, sampler: str, spacing: str) -> None:
    x0 = torch.rand(2, *SHAPE, generator=rng(5)) * 2 - 1
    request = Request.of(None, 2, sampler=sampler, spacing=spacing, steps=8, seed=4)
    path, whole = drawn(generate.edit(model, request, x0, 0.4)), drawn(generate.generate(model, request))
    expected = path.alpha[0] * x0 + path.sigma[0] * request.noise(model)
    torch.testing.assert_close(path.x[0], expected, rtol=0, atol=1e-5)
    walked = int(0.4 * 8)
    assert len(path.t) == walked + 1 + (len(whole.t) - 9), "of eight, and PNDM's repeated one"
    torch.testing.assert_close(path.t, whole.t[-len(path.t) :], rtol=0, atol=0.1)  # the last steps of a whole run
    schedule = ScheduleConfig("cosine", 1000).make()
    assert path.alpha[0] == pytest.approx(float(schedule.alphas[round(float(path.t[0]))]), abs=2e-3)
    assert_consistent(path)


@pytest.mark.parametrize("sampler", ["dpm++", "ddim", "ddpm", "heun"])
@pytest.mark.parametrize("guidance_scale", [1.0, 2.0])
def test_a_little_noise_takes_little_away(
    model: ImageModel, network: Exact, sampler: str, guidance_scale: float
) -> None:
    """Every one of the six is its own best reading: so close to them nothing else is possible."""
    request = Request.of(network.classes, sampler=sampler, guidance_scale=guidance_scale)
    path = drawn(generate.edit(model, request, network.points, 0.05))
    torch.testing.assert_close(path.x[-1], network.points, rtol=0, atol=1e-3)
    assert path.calls == network.calls


def test_one_image_is_edited_n_times(model: ImageModel, network: Exact) -> None:
    request = Request.of(None, 5, steps=6)
    one = drawn(generate.edit(model, request, network.points[0], 0.5))
    same = drawn(generate.edit(model, request, network.points[:1].expand(5, *SHAPE), 0.5))
    assert torch.equal(one.x, same.x)


@given(strength=st.floats(0, 1, exclude_min=True), steps=st.integers(2, 60), timesteps=st.integers(2, 120))
def test_any_strength_will_do(strength: float, steps: int, timesteps: int) -> None:
    network = Exact()
    request = Request.of(None, 1, steps=steps, timesteps=timesteps, sampler="ddim")
    run = generate.edit(ImageModel("", network, "v", SHAPE, CLASSES, {}), request, network.points[0], strength)
    if steps > timesteps or int(steps * strength) == 0:
        with pytest.raises(SamplerError, match="steps"):
            drawn(run)
        return
    path = drawn(run)
    assert path.x.isfinite().all()
    assert len(path.t) == int(steps * strength) + 1
    assert 0 <= path.t[0] <= timesteps - 1


@pytest.mark.parametrize("strength", [0.0, -0.1, 1.1, float("nan")])
def test_strengths_out_of_range(model: ImageModel, network: Exact, strength: float) -> None:
    with pytest.raises(GenerateError, match="noise"):
        next(generate.edit(model, Request(), network.points[0], strength))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 4, 4), (3, 1, 4, 4), (4, 4), (1, 1, 1, 4, 4)])
def test_images_of_another_size_are_refused(model: ImageModel, shape: tuple[int, ...]) -> None:
    for steps in (
        generate.edit(model, Request(n=2), torch.zeros(shape), 0.5),
        generate.inpaint(model, Request(n=2), torch.zeros(shape), torch.eye(4).bool()),
    ):
        with pytest.raises(GenerateError, match="1×4×4"):
            next(steps)


# RePaint


HALF = torch.zeros(1, 4, 4, dtype=torch.bool)
HALF[:, :, 2:] = True


@pytest.mark.parametrize("resample", [1, 3])
def test_only_what_the_mask_covers_changes(model: ImageModel, network: Exact, resample: int) -> None:
    x0 = torch.rand(SHAPE, generator=rng(2)) * 2 - 1  # none of the six
    path = drawn(generate.inpaint(model, Request.of([0, 1, 2], steps=20), x0, HALF, resample))
    result = path.x[-1]
    assert torch.equal(result[:, :, :, :2], x0.expand(3, *SHAPE)[:, :, :, :2])
    assert ((result - x0)[:, :, :, 2:].abs().flatten(1).max(1).values > 0.1).all()
    assert_consistent(path)
    # nineteen steps of `resample` rounds, and one that has nothing to go back to
    assert path.calls == network.calls == 19 * resample + 1
    assert path.x.shape == (21, 3, *SHAPE)


def test_the_rest_of_an_image_is_found_again_and_resampling_helps(model: ImageModel, network: Exact) -> None:
    """Of the six images only one has this left half. Lugmayr et al. 2022, §4.2: one round alone does not harmonise."""

    def found(resample: int) -> float:
        right = []
        for k, x0 in enumerate(network.points):
            request = Request.of(None, 16, steps=50, seed=k)
            result = drawn(generate.inpaint(model, request, x0, HALF, resample)).x[-1]
            right.append((result - x0).abs().flatten(1).max(1).values < 0.05)
        return float(torch.cat(right).float().mean())

    assert found(10) > max(0.85, found(1) + 0.1)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_repainting_starts_at_no_signal_too(model: ImageModel, network: Exact, name: str) -> None:
    request = Request.of(None, 2, schedule=name, rescale_betas_zero_snr=True, steps=10)
    path = drawn(generate.inpaint(model, request, network.points[0], HALF))
    assert path.x.isfinite().all()
    assert path.alpha[0] == 0


@pytest.mark.parametrize("mask", [torch.ones(1, 4, 4).bool(), torch.zeros(1, 4, 4).bool()])
def test_masks_of_all_or_nothing(model: ImageModel, network: Exact, mask: Tensor) -> None:
    with pytest.raises(GenerateError, match="mask covers"):
        next(generate.inpaint(model, Request(), network.points[0], mask))


def test_what_cannot_be_repainted(model: ImageModel, network: Exact) -> None:
    x0 = network.points[0]
    for resample in (0, 11, 2.5):
        with pytest.raises(GenerateError, match="1 to 10"):
            next(generate.inpaint(model, Request(), x0, HALF, resample))  # type: ignore[arg-type]
    with pytest.raises(GenerateError, match="mask"):
        next(generate.inpaint(model, Request(), x0, torch.eye(28).bool()))
    with pytest.raises(ValueError, match="steps"):
        next(generate.inpaint(model, Request.of(None, 2, steps=20, timesteps=10), x0, HALF))


# Between two


@pytest.mark.parametrize("sampler", ["dpm++", "ddim", "heun"])
def test_between_two_noises_lie_the_two(model: ImageModel, network: Exact, sampler: str) -> None:
    request = Request.of([1] * 5, seed=7, sampler=sampler, steps=10, guidance_scale=2.0)
    path = drawn(generate.between_noises(model, request, 8))
    assert path.calls == network.calls
    for end, seed in ((0, 7), (-1, 8)):
        alone = sampled(model, [1], seed=seed, sampler=sampler, steps=10, guidance_scale=2.0)
        torch.testing.assert_close(path.x[:, end], alone.x[:, 0], rtol=0, atol=1e-3)
    lengths = path.x[0].flatten(1).norm(dim=1)
    assert (lengths >= min(lengths[0], lengths[-1]) - 1e-3).all(), "noise all the way"


def test_the_other_seed_is_a_seed(model: ImageModel) -> None:
    for seed in (-1, 2**32, 1.5):
        with pytest.raises(GenerateError, match="seed"):
            next(generate.between_noises(model, Request(), seed))  # type: ignore[arg-type]


@pytest.mark.parametrize("guidance_scale", [1.0, 2.5])
def test_between_two_classes_lie_the_two(model: ImageModel, network: Exact, guidance_scale: float) -> None:
    request = Request.of(None, 5, seed=3, steps=10, guidance_scale=guidance_scale)
    path = drawn(generate.between_classes(model, request, 0, 2))
    assert path.calls == network.calls
    for end, label in ((0, 0), (-1, 2)):
        alone = sampled(model, [label], seed=3, steps=10, guidance_scale=guidance_scale)
        torch.testing.assert_close(path.x[:, end], alone.x[:, 0], rtol=0, atol=1e-4)
    assert torch.equal(path.x[0], path.x[0, :1].expand(5, *SHAPE)), "one noise"
    assert_consistent(path)


def test_between_classes_that_are_none(model: ImageModel) -> None:
    for one, other in ((0, 3), (-1, 0)):
        with pytest.raises(GenerateError, match="0 to 2"):
            next(generate.between_classes(model, Request(), one, other))
