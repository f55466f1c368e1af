"""What every walk promises: its states, its calls, whose randomness it uses; and what is refused."""

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from playground.diffusion.sampler import KARRAS_SPACING
from playground.diffusion.sampling import SAMPLERS, Denoiser, SamplerError, SamplingConfig, sample, start_noise
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.schedules import by_formula
from tests.diffusion.mixture import MIXTURE, rng, states


@dataclass
class Counted:
    """A denoiser that checks what it is asked and counts how often."""

    denoise: Denoiser = MIXTURE
    calls: int = 0
    levels: list[float] = field(default_factory=list)

    def __call__(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        assert alpha.shape == sigma.shape == ()
        assert alpha.dtype == sigma.dtype == x.dtype == torch.float32  # what a network can take
        assert alpha.item() ** 2 + sigma.item() ** 2 == pytest.approx(1, abs=1e-5)
        self.calls += 1
        self.levels.append(sigma.item())
        return self.denoise(x, alpha, sigma)


# What a SampleStep promises


def states_of(sampler: str, steps: int) -> int:
    """A trial call is no state; a step that is tried and taken again from where it began is one more."""
    return steps + 1 + len(SAMPLERS[sampler].forgotten)


SMALL = st.sampled_from([(s, p) for s in SAMPLERS for p in SAMPLERS[s].spacings])


@given(which=SMALL, name=st.sampled_from(sorted(by_formula())), zero_snr=st.booleans(), data=st.data())
def test_the_contract_of_every_walk(which: tuple[str, str], name: str, zero_snr: bool, data: st.DataObject) -> None:
    sampler, spacing = which
    timesteps = data.draw(st.integers(2, 100), label="T")
    steps = data.draw(st.integers(2, timesteps), label="K")
    zero_snr = zero_snr and SAMPLERS[sampler].zero_terminal_snr and spacing != KARRAS_SPACING
    schedule, denoise = ScheduleConfig(name, timesteps, rescale_betas_zero_snr=zero_snr).make(), Counted()
    config = SamplingConfig(sampler, steps=steps, spacing=spacing, langevin_inner=3)
    path = states(schedule, config, n=8, denoise=denoise)
    count = states_of(sampler, steps)
    assert len(path) == count
    assert denoise.calls == path[-1].calls == config.calls
    assert [step.index for step in path] == list(range(count))
    assert path[0].calls == 1
    assert all(0 <= b.calls - a.calls <= 3 for a, b in pairwise(path))
    for step in path:
        assert step.x.shape == step.x0.shape == step.eps.shape == (8, 2)
        assert step.x.isfinite().all()
        assert step.x0.isfinite().all()
        # The level is the schedule's own, straight path included, and x = αx̂0 + σε̂ on it.
        mixed = step.alpha * step.x0 + step.sigma * step.eps
        torch.testing.assert_close(mixed, step.x, rtol=1e-4, atol=1e-4)
        assert step.alpha >= 0
        assert step.sigma >= 0
    times = [step.t for step in path]
    if not SAMPLERS[sampler].arrives:
        assert len(set(times)) == 1
        return
    assert path[-1].t == -1
    assert (path[-1].alpha, path[-1].sigma) == (1, 0)
    assert path[-1].x is path[-1].x0 or torch.equal(path[-1].x, path[-1].x0)
    falls = np.diff(times)
    assert (falls <= 0).all() if SAMPLERS[sampler].forgotten else (falls < 0).all()


@pytest.mark.parametrize("name", ["karras", "flow"])
@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if SAMPLERS[s].arrives])
def test_the_first_state_is_the_start_noise(sampler: str, name: str) -> None:
    schedule = ScheduleConfig(name, 50).make()
    spacing = "trailing" if "trailing" in SAMPLERS[sampler].spacings else "default"  # "leading" starts below T-1
    first = states(schedule, SamplingConfig(sampler, steps=10, spacing=spacing))[0]
    scale = float(schedule.scales[49])
    assert first.t == pytest.approx(49, abs=0.01)
    assert first.alpha == pytest.approx(float(schedule.alphas[49]), abs=1e-4)
    assert first.sigma == pytest.approx(float(schedule.sigmas[49]), abs=1e-4)
    torch.testing.assert_close(first.x, scale * start_noise(16, 2, 0), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_who_uses_the_generator(sampler: str) -> None:
    schedule, noise = ScheduleConfig("karras", 50).make(), start_noise(16, 2, 0)
    config = SamplingConfig(sampler, steps=10)

    def run(seed: int, elsewhere: int) -> Tensor:
        torch.manual_seed(elsewhere)  # nothing may come from torch's global generator
        return list(sample(MIXTURE, schedule, noise, config, rng(seed)))[-1].x

    assert torch.equal(run(1, 2), run(1, 3))
    assert torch.equal(run(1, 2), run(4, 2)) != SAMPLERS[sampler].stochastic


def test_ddim_is_stochastic_with_eta() -> None:
    schedule, noise = ScheduleConfig("karras", 50).make(), start_noise(16, 2, 0)
    config = SamplingConfig("ddim", steps=10, eta=1.0)
    one, same, other = (list(sample(MIXTURE, schedule, noise, config, rng(seed)))[-1].x for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@given(n=st.integers(1, 200), dimensions=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
def test_start_noise_has_the_same_first_rows_whatever_n(n: int, dimensions: int, seed: int) -> None:
    noise = start_noise(n, dimensions, seed)
    assert noise.shape == (n, dimensions)
    assert torch.equal(noise, start_noise(1000, dimensions, seed)[:n])


def test_start_noise_is_normal() -> None:
    noise = start_noise(100_000, 2, 0)
    # Five standard errors each.
    assert noise.mean().abs() < 5 / 447
    assert noise.std() == pytest.approx(1, abs=5 / 632)
    assert noise.pow(4).mean() == pytest.approx(3, abs=5 * math.sqrt(96 / 200_000))
    assert not torch.equal(noise, start_noise(100_000, 2, 1))


def test_no_gradient_is_kept() -> None:
    weight = torch.ones(1, requires_grad=True)
    path = states(
        ScheduleConfig("karras", 50).make(), SamplingConfig(steps=5), denoise=lambda x, alpha, sigma: weight * x
    )
    assert not any(step.x.requires_grad or step.x0.requires_grad for step in path)


# Refusals


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if not SAMPLERS[s].zero_terminal_snr])
def test_no_start_without_signal(sampler: str) -> None:
    schedule = ScheduleConfig("linear", 100, rescale_betas_zero_snr=True).make()
    with pytest.raises(SamplerError, match=r"cannot start where no signal is left.*Choose"):
        states(schedule, SamplingConfig(sampler, steps=10, spacing="linspace"))


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if SAMPLERS[s].zero_terminal_snr])
def test_karras_spacing_has_no_first_level_without_signal(sampler: str) -> None:
    if KARRAS_SPACING in SAMPLERS[sampler].spacings:
        schedule = ScheduleConfig("linear", 100, rescale_betas_zero_snr=True).make()
        with pytest.raises(SamplerError, match="largest is infinite"):
            states(schedule, SamplingConfig(sampler, steps=10, spacing=KARRAS_SPACING))


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if SAMPLERS[s].arrives])
def test_more_steps_than_timesteps_are_refused(sampler: str) -> None:
    with pytest.raises(SamplerError, match="51 sampling steps do not fit into a schedule of T = 50"):
        states(ScheduleConfig("karras", 50).make(), SamplingConfig(sampler, steps=51))


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"sampler": "ddimm"}, "Unknown sampler 'ddimm'.*ddim"),
        ({"sampler": "ddim", "spacing": "karras"}, "DDIM has no 'karras' spacing.*trailing"),
        ({"sampler": "ddpm", "spacing": "karras"}, "DDPM has no"),
        ({"sampler": "pndm", "spacing": "karras"}, "PNDM has no"),
        ({"sampler": "langevin", "spacing": "trailing"}, "Langevin at one noise level has no"),
        ({"spacing": "even"}, "has no 'even' spacing"),
        ({"steps": 1}, "at least 2 steps"),
        ({"steps": 0}, "at least 2 steps"),
        ({"steps": -3}, "at least 2 steps"),
        ({"steps": math.nan}, "steps"),
        ({"steps": 2.5}, "steps"),
        ({"eta": math.nan}, "eta"),
        ({"eta": -0.1}, "η"),
        ({"eta": 1.1}, "η"),
        ({"variance": "learned"}, "fixed_small"),
        ({"langevin_step": math.nan}, "langevin_step"),
        ({"langevin_step": 0.0}, "Langevin step"),
        ({"langevin_step": 2.0}, "Langevin step"),
        ({"langevin_inner": 0}, "inner steps"),
        ({"langevin_inner": math.nan}, "langevin_inner"),
        ({"langevin_t": math.nan}, "langevin_t"),
        ({"langevin_t": 1.1}, "Langevin level"),
    ],
)
def test_bad_knobs_are_refused(knobs: dict[str, Any], words: str) -> None:
    with pytest.raises(SamplerError, match=words):
        SamplingConfig(**knobs)
