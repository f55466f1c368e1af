"""Drawing images with a network in closed form, and every knob of it: what should come out is known."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from playground.diffusion.noise_schedule import ScheduleError
from playground.diffusion.sampling import SAMPLERS, SamplerError, SamplingConfig
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.schedules import SCHEDULES
from playground.mnist import MnistLab, generate
from playground.mnist.generate import GenerateError, Request, thinned
from playground.mnist.weights import ImageModel
from playground.settings import SETTINGS
from tests.mnist.six_images import ARRIVING, CLASSES, SHAPE, Exact, assert_consistent, drawn, rng, sampled

DETERMINISTIC = [name for name, sampler in SAMPLERS.items() if not sampler.stochastic]


# From noise


@pytest.mark.parametrize("schedule", ["cosine", "linear", "karras"])
@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_state_is_its_own_sum(model: ImageModel, sampler: str, guidance_scale: float, schedule: str) -> None:
    path = sampled(model, [0, 1, 2], sampler=sampler, steps=8, guidance_scale=guidance_scale, schedule=schedule)
    states = 9 + len(SAMPLERS[sampler].forgotten)  # a step that is taken twice (Liu et al. 2022, §3.4)
    assert path.x.shape == path.x0.shape == path.eps.shape == (states, 3, *SHAPE)
    assert_consistent(path)
    if sampler in ARRIVING:
        assert [float(table[-1]) for table in (path.t, path.alpha, path.sigma)] == [-1, 1, 0]
        assert (path.t.diff() < 0).sum() == 8


@pytest.mark.parametrize("sampler", ["dpm++", "ddim", "ddpm", "unipc", "heun", "euler"])
def test_samples_are_images_of_their_class(model: ImageModel, network: Exact, sampler: str) -> None:
    labels = torch.arange(12) % 3
    path = sampled(model, labels, sampler=sampler, steps=50)
    distance, nearest = torch.cdist(path.x[-1].flatten(1), network.points.flatten(1)).min(1)
    assert distance.max() < 0.02
    assert torch.equal(network.classes[nearest], labels)
    assert len(nearest.unique()) == 6, "both of every class"


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_seed_decides_every_bit(model: ImageModel, sampler: str) -> None:
    a, b = (sampled(model, [0, 1], sampler=sampler, steps=5, seed=3) for _ in range(2))
    assert torch.equal(a.x, b.x)
    assert not torch.equal(a.x, sampled(model, [0, 1], sampler=sampler, steps=5, seed=4).x)


@pytest.mark.parametrize("sampler", DETERMINISTIC)
def test_the_first_images_are_the_same_however_many(model: ImageModel, sampler: str) -> None:
    few, many = (sampled(model, n=n, sampler=sampler, steps=6) for n in (3, 11))
    assert torch.equal(few.x[0], many.x[0, :3])
    torch.testing.assert_close(few.x, many.x[:, :3], rtol=0, atol=1e-4)


def test_without_guidance_nothing_is_asked_twice(model: ImageModel, network: Exact) -> None:
    asked: list[tuple[list[int] | None, float, int]] = [
        ([1] * 4, 1.0, 1),
        (None, 5.0, 1),
        ([1] * 4, 2.0, 2),
        ([1] * 4, 0.0, 2),
    ]
    for labels, guidance_scale, each in asked:
        network.calls = 0
        path = sampled(model, labels, steps=7, guidance_scale=guidance_scale)
        assert path.calls == network.calls == 7 * each


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_calls_are_counted(model: ImageModel, network: Exact, sampler: str) -> None:
    path = sampled(model, [0, 2], sampler=sampler, steps=4, guidance_scale=2.0)
    assert path.calls == network.calls > 0


def test_guidance_0_is_the_class_left_open(model: ImageModel) -> None:
    assert torch.equal(sampled(model, [2] * 4, guidance_scale=0.0).x, sampled(model, None, guidance_scale=3.0).x)


def test_guidance_is_linear_in_its_scale(model: ImageModel) -> None:
    x, alpha, sigma = torch.randn(3, *SHAPE, generator=rng(1)), torch.tensor(0.6), torch.tensor(0.8)
    labels = torch.tensor([0, 1, 2])
    without, once = model.denoiser(None)(x, alpha, sigma), model.denoiser(labels, 1.0)(x, alpha, sigma)
    for scale in (0.5, 1.1):
        guided = (without + scale * (once - without)).clamp(-1, 1)
        torch.testing.assert_close(model.denoiser(labels, scale)(x, alpha, sigma), guided, rtol=0, atol=1e-5)


def test_thinned_paths_keep_both_ends(model: ImageModel) -> None:
    path = sampled(model, steps=20)
    few = thinned(path, 6)
    assert (len(few.x), len(few.t), few.x.dtype) == (6, 6, torch.float16)
    for k, kept in ((0, 0), (-1, -1)):
        torch.testing.assert_close(few.x[k].float(), path.x[kept], rtol=1e-3, atol=1e-3)
        assert few.t[k] == path.t[kept]
    assert len(thinned(path, 500).t) == 21


# Knobs


NUMBERS = st.one_of(
    st.integers(-3, 200), st.floats(-2, 30), st.sampled_from([float("nan"), float("inf"), 2**70, -(2**70), 1e300])
)
ANYTHING = st.one_of(NUMBERS, st.none(), st.booleans(), st.text(max_size=3))


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "seed": ANYTHING,
            "n": ANYTHING,
            "guidance_scale": ANYTHING,
            "schedule": st.sampled_from([*SCHEDULES, "custom", "none", 3]),
            "timesteps": ANYTHING,
            "custom_schedule": st.sampled_from(
                [None, {"name": "flow", "timesteps": 50}, {"name": "drawn"}, [], "flow"]
            ),
            "rescale_betas_zero_snr": ANYTHING,
            "sampler": st.sampled_from([*SAMPLERS, "best", 1]),
            "steps": ANYTHING,
            "spacing": st.sampled_from(["default", "leading", "karras", "none"]),
            "eta": ANYTHING,
            "variance": st.sampled_from(["fixed_small", "learned"]),
            "langevin_step": ANYTHING,
            "langevin_inner": ANYTHING,
            "langevin_t": ANYTHING,
            "labels": st.lists(st.integers(-2, 5), max_size=3),
            "colour": ANYTHING,
        },
    )
)
@settings(max_examples=300)
def test_any_knob_draws_or_says_why_not(knobs: dict[str, Any]) -> None:
    model = ImageModel("six images", Exact(), "v", SHAPE, CLASSES, {})
    try:
        request = Request.of(**knobs)
        first = next(generate.generate(model, request))
    except (GenerateError, SamplerError, ScheduleError) as error:
        refused = str(error)
    else:
        refused = ""
        assert first.x.shape == (request.n, *SHAPE)
        assert first.x.isfinite().all()
    assert not refused or " " in refused, "in words"


def test_a_drawn_schedule(model: ImageModel) -> None:
    config = ScheduleConfig("drawn", 60, knots=((0.0, 1.0), (0.3, 0.8), (1.0, 0.0)))
    request = Request.of(None, 2, steps=60, schedule=config)
    assert request.schedule == config
    path = drawn(generate.generate(model, request))
    torch.testing.assert_close(path.alpha[:-1], config.make().alphas.flip(0).float(), rtol=0, atol=1e-5)
    zero = Request.of(None, 2, rescale_betas_zero_snr=True, schedule=config)
    assert zero.schedule == dataclasses.replace(config, rescale_betas_zero_snr=True)
    named = Request.of(None, 2, schedule="cosine", timesteps=70, s=0.1)
    assert named.schedule == ScheduleConfig("cosine", 70, s=0.1)
    for wrong in ({"schedule": "nessie"}, {"schedule": "cosine", "s": "much"}):
        with pytest.raises(ScheduleError):
            Request.of(None, 2, **wrong)
    with pytest.raises(ScheduleError, match="offset s"):
        generate.generate(model, Request.of(None, 2, schedule="cosine", s=-1)).__next__()


def test_too_much_at_once_is_refused(model: ImageModel) -> None:
    for n, steps in ((SETTINGS.max_images + 1, 2), (64, SETTINGS.max_image_calls // 64 + 1)):
        with pytest.raises(GenerateError, match=r"at a time|at once"):
            sampled(model, n=n, steps=steps)


def test_a_model_without_classes_says_so(model: ImageModel) -> None:
    none = dataclasses.replace(model, classes=())
    with pytest.raises(GenerateError, match="knows no classes"):
        sampled(none, [0])
    assert sampled(none, steps=3).labels is None


def test_configs_are_plain(model: ImageModel) -> None:
    """Keywords become the one record that the generators take."""
    request = Request.of(torch.tensor([1, 2]), steps=9, sampler="ddim", eta=0.5, seed=2)
    assert request == Request((1, 2), 2, 2, sampling=SamplingConfig("ddim", 9, eta=0.5))
    with pytest.raises(GenerateError, match="No such knob: colour, size"):
        Request.of(None, size=3, colour=1)


# The forward process


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_forward_is_diffusers(name: str) -> None:
    table = MnistLab().forward(seed=1, n=4, schedule=name)
    theirs: Any = DDPMScheduler(1000, trained_betas=table.schedule.betas.numpy())
    for t in itertools.chain(range(0, 1000, 37), [999]):
        expected = theirs.add_noise(table.x0, table.eps, torch.full((4,), t))
        # diffusers multiplies float32: after 1,000 factors √ᾱ has an error of some 1e-5
        torch.testing.assert_close(table.at(t), expected, rtol=0, atol=5e-5)
