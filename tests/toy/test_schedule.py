"""The schedule of a toy experiment: any of the rows, with its knobs, trained and sampled on."""

from typing import Any, cast

import pytest
import torch

from playground.diffusion.sampling import SAMPLERS, SamplerError, SamplingConfig
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.schedules import SCHEDULES
from playground.toy import LabError, ToyConfig, ToyLab
from playground.toy.config import preset_of
from tests.diffusion.every_schedule import schedule_of
from tests.toy.fields import field_of


@pytest.mark.parametrize("schedule", list(SCHEDULES))
def test_zero_terminal_snr_leaves_no_way_for_noise_prediction(schedule: str) -> None:
    zero = ToyConfig(schedule=schedule_of(schedule, zero_snr=True))
    with pytest.raises(LabError, match="zero terminal SNR"):
        zero.changed(**{"training.prediction": "noise"})
    for prediction in ("v", "x0", "flow"):
        zero.changed(**{"training.prediction": prediction})
    for name, sampler in SAMPLERS.items():
        if sampler.zero_terminal_snr:
            zero.changed(**{"sampling.sampler": name})
        else:
            with pytest.raises(SamplerError, match="cannot start where no signal is left"):
                zero.changed(**{"sampling.sampler": name})
    assert not all(sampler.zero_terminal_snr for sampler in SAMPLERS.values())


def test_a_schedules_knobs_reach_it() -> None:
    linear = ToyConfig().changed(
        **{
            "schedule.name": "linear",
            "schedule.beta_start": 0.001,
            "schedule.beta_end": 0.05,
            "schedule.timesteps": 100,
        }
    )
    betas = linear.schedule.make().betas
    assert torch.allclose(betas, torch.linspace(0.001, 0.05, 100, dtype=torch.float64))
    karras = ToyConfig().changed(**{"schedule.beta_start": 0.001})
    assert karras == ToyConfig(), "a knob of another kind of schedule is passed over"
    assert ToyConfig(schedule=cast(Any, "linear")).schedule == ScheduleConfig("linear"), "a name alone will do"
    assert ToyConfig().changed(schedule="linear").schedule == ScheduleConfig("linear")


def test_what_is_trained_on_may_be_any_schedule() -> None:
    """As the Schedules tab brings it, whole."""
    config = ScheduleConfig("cosine", 250, s=0.1)
    toy = ToyConfig(schedule=config)
    assert ToyConfig.from_dict(toy.to_dict()) == toy
    assert toy.changed(**{"schedule.timesteps": 30}).schedule == ScheduleConfig("cosine", 30, s=0.1)
    assert toy.changed(**{"schedule.name": "linear"}).schedule == ScheduleConfig("linear", 250)
    assert preset_of(toy) is None
    assert preset_of(toy.changed(schedule=ToyConfig().schedule)) == "fast"


def test_zero_terminal_snr_comes_with_the_schedule() -> None:
    toy = ToyConfig(schedule=ScheduleConfig("linear"))
    assert not toy.schedule.make().zero_terminal_snr
    assert toy.changed(**{"schedule.rescale_betas_zero_snr": True}).schedule.make().zero_terminal_snr
    with pytest.raises(SamplerError, match="cannot start where no signal is left"):
        ToyConfig(schedule=ScheduleConfig("linear", rescale_betas_zero_snr=True), sampling=SamplingConfig("pndm"))


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_a_lab_trains_and_samples_on_every_schedule(name: str) -> None:
    schedule = schedule_of(name, 50)
    lab = ToyLab(ToyConfig(n_points=50, schedule=schedule))
    assert len(list(lab.train(3))) > 0
    assert lab.sample(5).x.isfinite().all()
    assert torch.equal(lab.schedule.alphas, schedule.make().alphas)
    assert ToyConfig.from_dict(lab.config.to_dict()) == lab.config


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_the_smallest_beta_leaves_every_sampler_something_to_divide_by(sampler: str) -> None:
    lab = ToyLab(
        ToyConfig(n_points=20, schedule=ScheduleConfig("linear", beta_start=1e-12), sampling=SamplingConfig(sampler))
    )
    assert lab.sample(5).x.isfinite().all()
    assert field_of(lab.now(), 0, grid=3).exact.isfinite().all()
    assert field_of(lab.now(), 0, grid=3).learned.isfinite().all()
