"""What the first version wrote is still read: the schedule's knobs stood among those of the experiment."""

import json
from typing import Any

import pytest
import torch

from playground.diffusion.earlier_forms import with_schedule
from playground.diffusion.schedule_config import ScheduleConfig
from playground.storage import decode, encode
from playground.toy import ToyConfig, ToyLab
from playground.toy.lab import FORMAT

# The part of `ToyConfig().changed(...).to_dict()` that the first version wrote into a file.
PLAIN: dict[str, Any] = {
    "schedule": "karras",
    "timesteps": 1000,
    "beta_start": None,
    "beta_end": None,
    "rescale_betas_zero_snr": False,
    "custom_schedule": None,
}
FLOW = {"name": "flow", "timesteps": 300}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, ScheduleConfig("karras")),
        ({"schedule": "linear", "timesteps": 77, "beta_end": 0.1}, ScheduleConfig("linear", 77, beta_end=0.1)),
        ({"schedule": "cosine", "beta_end": 0.1}, ScheduleConfig("cosine")),
        ({"schedule": "sigmoid", "rescale_betas_zero_snr": True}, ScheduleConfig("sigmoid", 1000, True)),
        ({"schedule": "custom", "timesteps": 300, "custom_schedule": FLOW}, ScheduleConfig("flow", 300)),
        (
            {"schedule": "custom", "custom_schedule": FLOW, "rescale_betas_zero_snr": True},
            ScheduleConfig("flow", 300, True),
        ),
        ({"schedule": "linear", "custom_schedule": FLOW}, ScheduleConfig("linear")),
    ],
)
def test_the_earlier_form_is_read(changed: dict[str, Any], expected: ScheduleConfig) -> None:
    read = with_schedule({"seed": 3} | PLAIN | changed, "karras")
    assert read.keys() == {"seed", "schedule"}
    assert ScheduleConfig.from_dict(read["schedule"]) == expected
    assert ToyConfig.from_dict({"seed": 3, "sampling": {"steps": 10}} | PLAIN | changed).schedule == expected


def test_todays_form_is_left_alone() -> None:
    for values in ({"schedule": {"name": "cosine", "s": 0.1}}, ToyConfig().to_dict()):
        assert with_schedule(values, "karras") == values


def test_a_file_of_the_first_version_opens() -> None:
    lab = ToyLab(ToyConfig(n_points=60, schedule=ScheduleConfig("linear", 120, beta_end=0.05)))
    for _ in lab.train(3):
        pass
    config, tensors, rest = decode(lab.to_bytes(), FORMAT, "an experiment")
    del config["schedule"]
    earlier = config | PLAIN | {"schedule": "linear", "timesteps": 120, "beta_end": 0.05}
    again = ToyLab.from_bytes(encode(FORMAT, json.loads(json.dumps(earlier)), tensors, rest))
    assert again.config == lab.config
    assert torch.equal(again.sample(9, steps=5).x, lab.sample(9, steps=5).x)


@pytest.mark.parametrize("wrong", [{"schedule": "custom"}, {"schedule": "nessie"}, {"schedule": 3, "timesteps": 5}])
def test_what_was_wrong_then_is_refused_now(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="schedule"):
        ToyConfig.from_dict(PLAIN | wrong)
