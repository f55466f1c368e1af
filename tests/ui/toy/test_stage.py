"""When the page has to forget its exact arrows: whenever any knob changes them."""

import base64
import dataclasses
import json
from typing import Any

import pytest
import torch

from playground.diffusion.schedule_config import ScheduleConfig
from playground.toy import ToyConfig, ToyLab
from playground.ui.toy.stage import pack_scene

START = ToyConfig(
    dataset="two_moons",
    n_points=200,
    conditional=True,
    guidance_scale=2.0,
    label=0,
    schedule=ScheduleConfig("linear", 100, beta_end=0.1),
)
DRAWN = ScheduleConfig("drawn", 100, knots=((0.0, 1.0), (0.5, 0.4), (1.0, 0.0)))
CHANGES: dict[str, Any] = {
    "dataset": "spiral",
    "points": [[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]],
    "n_points": 100,
    "seed": 1,
    "conditional": False,
    "guidance_scale": 3.0,
    "label": 1,
    "network.width": 16,
    "training.prediction": "x0",
    "training.learning_rate": 0.1,
    "sampling.steps": 5,
    "schedule.name": "cosine",
    "schedule.timesteps": 50,
    "schedule.rescale_betas_zero_snr": True,
    "schedule.knots": ((0.0, 1.0), (0.5, 0.6), (1.0, 0.0)),
    "schedule.beta_start": 0.01,
    "schedule.beta_end": 0.2,
}


def picture_key(lab: ToyLab) -> str:
    """As the page gets it: it forgets its exact arrows when this is another one."""
    data = base64.b64decode(pack_scene(lab, "", "", False))
    meta = json.loads(data[4 : 4 + int.from_bytes(data[:4], "little")])["meta"]
    return str(meta["key"])


def arrows(lab: ToyLab) -> torch.Tensor:
    return torch.stack(list(lab.now().exact_fields([0, 20, 45], 5)))


def test_every_field_of_the_config_is_tried() -> None:
    parts = {knob.split(".")[0] for knob in CHANGES}
    assert parts == {field.name for field in dataclasses.fields(ToyConfig)}
    assert {"name", "timesteps", "rescale_betas_zero_snr", "knots", *START.schedule.knobs()} == {
        knob.removeprefix("schedule.") for knob in CHANGES if knob.startswith("schedule.")
    }


@pytest.mark.parametrize("knob", CHANGES)
def test_what_changes_the_arrows_changes_the_key(knob: str) -> None:
    config = START
    if knob == "schedule.knots":
        config = START.changed(schedule=DRAWN)
    changes = {knob: CHANGES[knob]}
    if knob in ("points", "conditional"):
        changes |= {"label": None, "conditional": False}
    lab = ToyLab(config)
    key, before = picture_key(lab), arrows(lab)
    assert picture_key(lab) == key
    lab.update(**changes)
    if not torch.equal(arrows(lab), before):
        assert picture_key(lab) != key
    if knob.startswith("schedule.") or knob in ("guidance_scale", "label", "dataset"):
        assert not torch.equal(arrows(lab), before), "the example must be one that shows"


def test_two_curves_are_two_keys() -> None:
    """They were one text once: a picture was kept that belonged to the other."""
    one, other = (
        ToyLab(START.changed(schedule=dataclasses.replace(DRAWN, knots=((0.0, 1.0), (1.0, end))))) for end in (0.0, 0.1)
    )
    assert picture_key(one) != picture_key(other)


@pytest.mark.parametrize("knob", ["sampling.steps", "training.learning_rate"])
def test_what_leaves_them_alone_leaves_the_key(knob: str) -> None:
    lab = ToyLab(START)
    key = picture_key(lab)
    lab.update(**{knob: CHANGES[knob]})
    assert picture_key(lab) == key
