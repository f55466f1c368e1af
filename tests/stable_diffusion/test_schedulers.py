"""Every scheduler on a model's own schedule, against diffusers' from_config on the published configuration."""

import inspect
import itertools
import re
from typing import Any

import pytest
import torch

from playground.diffusion.diffusers_schedulers import import_diffusers, level
from playground.diffusion.sampling import SAMPLERS, SamplerError
from playground.diffusion.sampling_config import scheduled
from playground.settings import SETTINGS
from playground.stable_diffusion.digits.pipeline import make_scheduler
from playground.stable_diffusion.schedulers import allowed, make

# scheduler_config.json of CompVis/stable-diffusion-v1-4, word for word
PUBLISHED = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.7.0.dev0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
    "clip_sample": False,
}


@pytest.mark.parametrize("name", scheduled())
@pytest.mark.parametrize("steps", [2, 5, 50])
def test_the_scheduler_that_from_config_gives(name: str, steps: int) -> None:
    ours = make(name, PUBLISHED, steps)
    row = SAMPLERS[name]
    theirs = getattr(import_diffusers(), row.class_name).from_config(PUBLISHED, **row.options)
    theirs.set_timesteps(steps)
    assert torch.equal(ours.timesteps, theirs.timesteps)
    if hasattr(theirs, "sigmas"):
        assert torch.equal(ours.sigmas, theirs.sigmas)
    private = {key for key in ours.config if key.startswith("_")}
    assert {k: v for k, v in ours.config.items() if k not in private} == {
        k: v for k, v in theirs.config.items() if k not in private
    }


@pytest.mark.parametrize("name", scheduled())
def test_a_configuration_that_was_saved_and_read_gives_the_same(name: str, tmp_path: Any) -> None:
    built = make_scheduler()
    built.save_pretrained(tmp_path)
    read = type(built).from_pretrained(tmp_path)
    one, other = make(name, built.config, 7), make(name, read.config, 7)
    assert torch.equal(one.timesteps, other.timesteps)
    private = {key for key in one.config if key.startswith("_")}
    assert {k: v for k, v in one.config.items() if k not in private} == {
        k: v for k, v in other.config.items() if k not in private
    }
    assert not one.config.get("clip_sample", False)


def test_every_scheduler_of_diffusers_that_fits_is_there() -> None:
    compatible = {kind.__name__ for kind in make_scheduler().compatibles}
    left_out = {"LMSDiscreteScheduler", "DPMSolverSDEScheduler", "EDMEulerScheduler"}
    assert {kind.class_name for kind in scheduled().values()} == compatible - left_out


@pytest.mark.parametrize("name", scheduled())
@pytest.mark.parametrize("steps", [2, 3, 20])
def test_calls_are_counted(name: str, steps: int) -> None:
    assert len(make(name, PUBLISHED, steps).timesteps) == SAMPLERS[name].calls(steps)


@pytest.mark.parametrize("name", scheduled())
def test_one_step_is_refused_where_it_would_be_at_the_clean_end(name: str) -> None:
    kind = SAMPLERS[name]
    if kind.fewest_steps == 1:
        assert float(make(name, PUBLISHED, 1).timesteps[0]) > 900
        return
    theirs = getattr(import_diffusers(), kind.class_name).from_config(PUBLISHED)
    theirs.set_timesteps(1)
    assert float(theirs.timesteps[0]) < 10  # the reason
    with pytest.raises(SamplerError, match="at the clean end of the schedule"):
        make(name, PUBLISHED, 1)


def refused_for(name: str, steps: int, **config: Any) -> int | None:
    """The number that is offered instead; None where the steps can be taken."""
    try:
        make(name, PUBLISHED | config, steps)
    except SamplerError as error:
        return int("".join(re.findall(r"\d", str(error).rpartition("take")[2])))
    return None


@pytest.mark.parametrize("name", scheduled())
def test_the_most_steps_of_the_slider_are_walked_or_refused(name: str) -> None:
    """Walked to the end, on noise that is known: x̂_0 = 0 throughout."""
    most = refused_for(name, SETTINGS.max_denoising_steps) or SETTINGS.max_denoising_steps
    kind = getattr(import_diffusers(), SAMPLERS[name].class_name)
    multistep = not hasattr(kind, "set_begin_index") or "solver_order" in inspect.signature(kind.__init__).parameters
    assert most == 1000 - (1 if multistep else 0)  # those of one step keep to the table, or may meet a level twice
    scheduler = make(name, PUBLISHED, most)
    extra = {"generator": torch.Generator().manual_seed(0)}
    extra = extra if "generator" in inspect.signature(scheduler.step).parameters else {}
    x = torch.randn(1, 4, 2, 2, generator=torch.Generator().manual_seed(1)) * scheduler.init_noise_sigma
    for call, t in enumerate(scheduler.timesteps):
        _, sigma = level(scheduler, SAMPLERS[name], call, t)
        x = scheduler.step(scheduler.scale_model_input(x, t) / sigma.float(), t, x, **extra, return_dict=False)[0]
    assert call + 1 == SAMPLERS[name].calls(most)
    assert x.isfinite().all()
    assert float(x.abs().max()) < 1


@pytest.mark.parametrize("name", scheduled())
def test_the_fewest_steps_of_the_slider_are_walked_or_refused(name: str) -> None:
    if SAMPLERS[name].fewest_steps > 1:
        with pytest.raises(SamplerError, match="Take at least 2 steps"):
            make(name, PUBLISHED, 1)
    fewest = SAMPLERS[name].fewest_steps
    scheduler = make(name, PUBLISHED, fewest)
    places = [(k, t) for k, t in enumerate(scheduler.timesteps) if k % scheduler.order == 0]
    assert all(0 < level(scheduler, SAMPLERS[name], k, t)[1] <= 1 for k, t in places)


def test_a_table_that_is_met_twice_is_refused() -> None:
    for name in ("dpm++", "dpm++_sde", "unipc", "deis"):
        assert refused_for(name, 998, timestep_spacing="trailing") == 997
        assert refused_for(name, 1000, timestep_spacing="trailing") is None
    assert refused_for("pndm", 1000, steps_offset=0) is None  # the offset alone leads beyond the table


@pytest.mark.parametrize("name", scheduled())
def test_too_few_steps_are_noted(name: str) -> None:
    kind, few = SAMPLERS[name], SAMPLERS[name].few
    for steps in range(1, 12):
        assert (f"Take {few} steps or more" in kind.note(steps)) == (steps < few)
        assert bool(kind.note(steps)) == (steps < few)


def test_what_else_is_refused() -> None:
    with pytest.raises(SamplerError, match="Unknown sampler 'lms'"):
        make("lms", PUBLISHED, 20)
    with pytest.raises(SamplerError, match="do not fit into a schedule of T = 1000"):
        make("ddim", PUBLISHED, 1001)
    zero = PUBLISHED | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    with pytest.raises(SamplerError, match="zero terminal SNR"):
        make("pndm", zero, 20)
    assert "pndm" not in allowed(zero)
    for name in allowed(zero):
        scheduler = make(name, zero, 20)
        assert scheduler.config.rescale_betas_zero_snr
        assert int(scheduler.timesteps[0]) == 999


@pytest.mark.parametrize("name", scheduled())
def test_the_level_says_how_much_noise_is_left(name: str) -> None:
    scheduler = make(name, PUBLISHED, 10)
    order = scheduler.order
    firsts = [level(scheduler, SAMPLERS[name], k, t) for k, t in enumerate(scheduler.timesteps) if k % order == 0]
    assert all(float(alpha**2 + sigma**2) == pytest.approx(1) for alpha, sigma in firsts)
    assert all(a[1] >= b[1] for a, b in itertools.pairwise(firsts))
    scale = scheduler.scale_model_input(torch.ones(1), scheduler.timesteps[0])
    if float(scale) != 1:  # this class keeps x at σ/α scale: what the network sees has α² + σ² = 1
        assert float(scale) == pytest.approx(float(firsts[0][0]), rel=1e-4)
