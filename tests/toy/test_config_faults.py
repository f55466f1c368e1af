"""What a toy experiment cannot be is refused in words, at the knob."""

import json
import math
from typing import Any

import pytest
import torch

from playground.diffusion.noise_schedule import ScheduleError
from playground.diffusion.sampling import SAMPLERS, SamplerError, SamplingConfig
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.schedules import by_formula
from playground.diffusion.training import TrainingError
from playground.settings import SETTINGS
from playground.toy import LabError, ToyConfig, ToyLab
from playground.toy.data import DataError
from playground.toy.network import NetworkError
from tests.toy.fields import field_of

# ---- Faults, each with words


@pytest.mark.parametrize(
    ("knobs", "error", "words"),
    [
        ({"dataset": "nessie"}, LabError, "spiral"),
        ({"n_points": 1}, LabError, "25,000"),
        ({"n_points": SETTINGS.max_points + 1}, LabError, "25,000"),
        ({"n_points": 100.0}, LabError, "whole number"),
        ({"seed": -1}, LabError, "seed"),
        ({"seed": 2**32}, LabError, "seed"),
        ({"guidance_scale": 20.5}, LabError, "guidance"),
        ({"guidance_scale": -0.1}, LabError, "guidance"),
        ({"guidance_scale": math.nan}, LabError, "finite"),
        ({"schedule.beta_start": math.nan}, ScheduleError, "finite"),
        ({"schedule": 3}, LabError, "schedule"),
        ({"schedule": "straight"}, ScheduleError, "karras"),
        ({"schedule.timesteps": 1}, ScheduleError, "4000"),
        ({"schedule.timesteps": 10**9}, ScheduleError, "4000"),
        ({"schedule.name": "linear", "schedule.beta_start": 1.5}, ScheduleError, "beta_start"),
        ({"schedule.name": "linear", "schedule.beta_end": 0}, ScheduleError, "beta_end"),
        ({"schedule.name": "drawn"}, ScheduleError, "no curve yet"),
        ({"schedule.name": "cosine", "schedule.s": -1}, ScheduleError, "offset s"),
        ({"schedule.steepness": 1}, ScheduleError, "no such knob"),
        ({"schedule.name": "flow", "schedule.timesteps": 19}, SamplerError, "20 sampling steps do not fit .* T = 19"),
        ({"sampling.steps": 1}, SamplerError, "at least 2"),
        ({"sampling.steps": 1001}, SamplerError, "T = 1000"),
        ({"schedule.timesteps": 19}, SamplerError, "20 sampling steps"),
        ({"sampling.spacing": "sideways"}, SamplerError, "spacing"),
        ({"sampling.langevin_inner": 21}, SamplerError, "inner steps"),
        ({"training.p_mean": 11}, TrainingError, r"ln\(σ/α\)"),
        ({"training.p_std": 0}, TrainingError, r"ln\(σ/α\)"),
        ({"training.batch_size": 0}, TrainingError, "batch size"),
        ({"training.batch_size": 2049}, TrainingError, "2,048"),
        ({"training.learning_rate": 0}, TrainingError, "learning rate"),
        ({"training.ema_decay": 1}, TrainingError, "EMA"),
        ({"network.width": 257}, NetworkError, "256"),
        ({"network.depth": 7}, NetworkError, "depth in 1 … 6"),
        ({"network.fourier_features": 129}, NetworkError, "128"),
    ],
)
def test_faults_are_named(knobs: dict[str, Any], error: type[ValueError], words: str) -> None:
    with pytest.raises(error, match=words):
        ToyConfig().changed(**knobs)


@pytest.mark.parametrize("schedule", list(by_formula()))
def test_zero_terminal_snr_leaves_no_way_for_noise_prediction(schedule: str) -> None:
    zero = ToyConfig(schedule=ScheduleConfig(schedule, rescale_betas_zero_snr=True))
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


def test_beta_knobs_reach_the_schedules_that_have_them() -> None:
    linear = ToyConfig(schedule=ScheduleConfig("linear", 100, beta_start=0.001, beta_end=0.05))
    assert torch.allclose(linear.schedule.make().betas, torch.linspace(0.001, 0.05, 100, dtype=torch.float64))
    assert ToyConfig().changed(**{"schedule.beta_start": 0.001}) == ToyConfig()


def test_a_name_will_do() -> None:
    assert ToyConfig().changed(schedule="linear").schedule == ScheduleConfig("linear")
    assert ToyConfig().changed(**{"schedule.name": "linear"}).schedule == ScheduleConfig("linear")


def test_a_schedule_goes_with_the_config() -> None:
    toy = ToyConfig(schedule=ScheduleConfig("cosine", 250, s=0.1))
    assert toy.changed(**{"schedule.timesteps": 30}).schedule == ScheduleConfig("cosine", 30, s=0.1)
    assert ToyConfig.from_dict(json.loads(json.dumps(toy.to_dict()))) == toy


def test_zero_terminal_snr_and_a_sampler_that_cannot_start_there() -> None:
    plain = ToyConfig(schedule=ScheduleConfig("linear"), sampling=SamplingConfig("pndm"))
    assert not plain.schedule.make().zero_terminal_snr
    with pytest.raises(SamplerError, match="cannot start where no signal is left"):
        plain.changed(**{"schedule.rescale_betas_zero_snr": True})


def test_a_lab_trains_and_samples_on_a_drawn_schedule() -> None:
    drawn = ScheduleConfig("drawn", 50, knots=((0.0, 1.0), (0.5, 0.3), (1.0, 0.0)))
    lab = ToyLab(ToyConfig(n_points=50, schedule=drawn))
    assert len(list(lab.train(3))) > 0
    assert lab.sample(5).x.isfinite().all()
    assert torch.equal(lab.schedule.alphas, drawn.make().alphas)


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_the_smallest_beta_leaves_every_sampler_something_to_divide_by(sampler: str) -> None:
    lab = ToyLab(
        ToyConfig(n_points=20, schedule=ScheduleConfig("linear", beta_start=1e-12), sampling=SamplingConfig(sampler))
    )
    assert lab.sample(5).x.isfinite().all()
    assert field_of(lab.now(), 0, grid=3).exact.isfinite().all()
    assert field_of(lab.now(), 0, grid=3).learned.isfinite().all()


# ---- Data


def test_user_points_replace_the_data_set() -> None:
    points = torch.tensor([[0.0, 0.0], [1.0, 0.5]])
    cloud = ToyConfig(points=points).make_cloud()
    assert torch.equal(cloud.points, points)
    assert ToyConfig(points=cloud).make_cloud() is cloud
    with pytest.raises(DataError):
        ToyConfig(points=[[0.0, math.nan], [1.0, 1.0]]).make_cloud()
    assert ToyConfig(dataset="heart", n_points=50).make_cloud().points.shape == (50, 2)


# ---- The class to draw


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": 0}, "learn the classes"),
        ({"label": 0, "dataset": "heart"}, "learn the classes"),
        ({"label": 2, "dataset": "two_moons", "conditional": True}, "classes 0 to 1"),
        ({"label": -1, "dataset": "two_moons", "conditional": True}, "classes 0 to 1"),
        ({"label": 10**18, "dataset": "two_moons", "conditional": True}, "classes 0 to 1"),
        ({"label": True, "dataset": "two_moons", "conditional": True}, "label must be a whole number or nothing"),
        ({"label": 1.0, "dataset": "two_moons", "conditional": True}, "label must be a whole number or nothing"),
    ],
)
def test_a_class_that_cannot_be_drawn_is_refused(changes: dict[str, Any], words: str) -> None:
    lab = ToyLab(ToyConfig(n_points=50))
    with pytest.raises(LabError, match=words):
        ToyLab(ToyConfig(n_points=50).changed(**changes))
    with pytest.raises(LabError, match=words):
        lab.update(**changes)
    assert lab.config == ToyConfig(n_points=50)


def test_the_class_to_draw_is_drawn_from_the_next_sample_on() -> None:
    lab = ToyLab(ToyConfig(dataset="two_moons", n_points=50, conditional=True))
    for _ in lab.train(3):
        pass
    for label in (1, 0):
        assert lab.update(label=label) == "live"
        labels = lab.sample(20).labels
        assert labels is not None
        assert labels.tolist() == [label] * 20
        assert torch.equal(lab.sample(20).x, lab.sample(20, labels=label).x)
        exact = lab.sample(20, exact=True).x[-1]
        assert lab.cloud.labels is not None
        assert (lab.cloud.labels[torch.cdist(exact, lab.cloud.points).argmin(1)] == label).all()
    assert lab.step == 3
    assert set(lab.sample(20, labels=[0, 1] * 10).labels.tolist()) == {0, 1}, "asked for one by one, each is its own"  # type: ignore[union-attr]
    lab.update(label=None)
    labels = lab.sample(200).labels
    assert labels is not None
    assert set(labels.tolist()) == {0, 1}
    lab.update(label=1)
    with pytest.raises(LabError, match="learn the classes"):
        lab.update(conditional=False)
    assert lab.config.conditional
