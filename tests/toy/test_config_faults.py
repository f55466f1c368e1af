"""What a toy experiment cannot be is refused in words, at the knob."""

import math
from typing import Any

import pytest
import torch

from playground.diffusion.noise_schedule import ScheduleError
from playground.diffusion.sampling import SamplerError
from playground.diffusion.training import TrainingError
from playground.settings import SETTINGS
from playground.toy import LabError, ToyConfig
from playground.toy.data import DataError
from playground.toy.network import NetworkError


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


def test_user_points_replace_the_data_set() -> None:
    points = torch.tensor([[0.0, 0.0], [1.0, 0.5]])
    cloud = ToyConfig(points=points).make_cloud()
    assert torch.equal(cloud.points, points)
    assert ToyConfig(points=cloud).make_cloud() is cloud
    with pytest.raises(DataError):
        ToyConfig(points=[[0.0, math.nan], [1.0, 1.0]]).make_cloud()
    assert ToyConfig(dataset="heart", n_points=50).make_cloud().points.shape == (50, 2)
