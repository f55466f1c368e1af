"""Drawing, changing and filling in images, with a network in closed form: what should come out is known."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from playground.diffusion.exact import ExactDenoiser
from playground.diffusion.sampling import SAMPLERS, SamplePath, SamplerError, SampleStep, SamplingConfig, collect
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.schedules import SCHEDULES, ScheduleError, make_schedule
from playground.mnist import MnistLab, generate
from playground.mnist.generate import GenerateError, Request, thinned
from playground.mnist.weights import ImageModel
from playground.settings import SETTINGS

SHAPE = (1, 4, 4)
CLASSES = ("a", "b", "c")
DETERMINISTIC = [name for name, sampler in SAMPLERS.items() if not sampler.stochastic]
ARRIVING = [name for name in SAMPLERS if name != "langevin"]  # that one samples noised data, and stays there


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Exact(nn.Module):
    """The v of the best possible network for six images, two of each class. Label 3 means unknown, as None does."""

    def __init__(self) -> None:
        super().__init__()
        self.points = torch.rand(6, *SHAPE, generator=rng(0)) * 1.8 - 0.9
        self.classes = torch.tensor([0, 0, 1, 1, 2, 2])
        self.exact = ExactDenoiser(self.points.flatten(1), self.classes)
        self.calls = 0

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        self.calls += 1
        known = None if labels is None else torch.where(labels == len(CLASSES), -1, labels)
        x0 = self.exact(x.flatten(1), alpha.squeeze(), sigma.squeeze(), known).reshape(x.shape)
        return (alpha * x - x0) / sigma


@pytest.fixture
def network() -> Exact:
    return Exact()


@pytest.fixture
def model(network: Exact) -> ImageModel:
    return ImageModel("six images", network, "v", SHAPE, CLASSES, {})


def drawn(steps: Iterator[SampleStep]) -> SamplePath:
    return collect(steps, None, 0)


def sampled(model: ImageModel, labels: Any = None, n: int = 4, **knobs: Any) -> SamplePath:
    return drawn(generate.generate(model, Request.of(labels, n, **knobs)))


def assert_consistent(path: SamplePath) -> None:
    """x = α x̂_0 + σ ε̂ at every state, to the rounding of its own size."""
    alpha, sigma = (level.reshape(-1, 1, 1, 1, 1) for level in (path.alpha, path.sigma))
    torch.testing.assert_close(path.x, alpha * path.x0 + sigma * path.eps, rtol=2e-5, atol=2e-5)
    assert path.x0[:-1].abs().max() <= 1


# From noise


@pytest.mark.parametrize("schedule", ["cosine", "linear", "karras"])
@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_state_is_its_own_sum(model: ImageModel, sampler: str, guidance_scale: float, schedule: str) -> None:
    path = sampled(model, [0, 1, 2], sampler=sampler, steps=8, guidance_scale=guidance_scale, schedule=schedule)
    states = 10 if sampler == "pndm" else 9  # it asks twice at its second timestep (Liu et al. 2022, §3.4)
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


# SDEdit


@pytest.mark.parametrize("spacing", ["default", "leading", "trailing", "linspace"])
@pytest.mark.parametrize("sampler", [name for name in ARRIVING if name != "annealed_langevin"])
def test_editing_starts_from_the_noised_image(model: ImageModel, sampler: str, spacing: str) -> None:
    x0 = torch.rand(2, *SHAPE, generator=rng(5)) * 2 - 1
    request = Request.of(None, 2, sampler=sampler, spacing=spacing, steps=8, seed=4)
    path = drawn(generate.edit(model, request, x0, 0.4))
    schedule, t = make_schedule("cosine", 1000), 400
    expected = schedule.add_noise(x0, request.noise(model), torch.tensor([t, t]))
    torch.testing.assert_close(path.x[0], expected, rtol=0, atol=2e-6)
    assert path.t[0] == pytest.approx(t, abs=0.1)
    assert path.alpha[0] == pytest.approx(float(schedule.alphas[t]), abs=1e-5)
    assert_consistent(path)


@pytest.mark.parametrize("sampler", ["dpm++", "ddim", "ddpm", "pndm", "heun"])
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
    path = drawn(generate.edit(ImageModel("", network, "v", SHAPE, CLASSES, {}), request, network.points[0], strength))
    assert path.x.isfinite().all()
    assert 3 <= len(path.t) <= steps + 1
    assert path.t[0] == pytest.approx(max(1, min(timesteps - 1, round(strength * timesteps))), abs=0.1)


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


def test_a_brought_schedule(model: ImageModel) -> None:
    config = ScheduleConfig("drawn", 60, knots=((0.0, 1.0), (0.3, 0.8), (1.0, 0.0)))
    knobs: dict[str, Any] = {"schedule": "custom", "custom_schedule": config.to_dict()}
    request = Request.of(None, 2, steps=60, **knobs)
    assert request.timesteps == 60
    assert torch.equal(request.make_schedule().alphas, config.make().alphas)
    path = drawn(generate.generate(model, request))
    torch.testing.assert_close(path.alpha[:-1], config.make().alphas.flip(0).float(), rtol=0, atol=1e-5)
    assert Request.of(None, 2, rescale_betas_zero_snr=True, **knobs).make_schedule().zero_terminal_snr
    for wrong in (None, {"name": "nessie"}, {"name": "cosine", "s": "much"}):
        with pytest.raises(ScheduleError):
            Request.of(None, 2, schedule="custom", custom_schedule=wrong)
    with pytest.raises(ScheduleError, match="offset s"):
        Request.of(None, 2, schedule="custom", custom_schedule={"name": "cosine", "s": -1}).make_schedule()


def test_too_much_at_once_is_refused(model: ImageModel) -> None:
    for n, steps in ((SETTINGS.max_images + 1, 2), (64, SETTINGS.max_image_calls // 64 + 1)):
        with pytest.raises(GenerateError, match=r"at a time|at once"):
            sampled(model, n=n, steps=steps)


def test_a_model_without_classes_says_so(model: ImageModel) -> None:
    none = dataclasses.replace(model, classes=())
    with pytest.raises(GenerateError, match="knows no classes"):
        sampled(none, [0])
    assert sampled(none, steps=3).labels is None


# The forward process


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_forward_is_diffusers(name: str) -> None:
    table = MnistLab().forward(seed=1, n=4, schedule=name)
    theirs: Any = DDPMScheduler(1000, trained_betas=table.schedule.betas.numpy())
    for t in itertools.chain(range(0, 1000, 37), [999]):
        expected = theirs.add_noise(table.x0, table.eps, torch.full((4,), t))
        # diffusers multiplies float32: after 1,000 factors √ᾱ has an error of some 1e-5
        torch.testing.assert_close(table.at(t), expected, rtol=0, atol=5e-5)


def test_configs_are_plain(model: ImageModel) -> None:
    """Keywords become the one record that the generators take."""
    request = Request.of(torch.tensor([1, 2]), steps=9, sampler="ddim", eta=0.5, seed=2)
    assert request == Request((1, 2), 2, 2, sampling=SamplingConfig("ddim", 9, eta=0.5))
    with pytest.raises(GenerateError, match="No such knob: colour, size"):
        Request.of(None, size=3, colour=1)
