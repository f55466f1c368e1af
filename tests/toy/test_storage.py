"""An experiment in a file: it goes on as if nothing had happened, and a file that is no experiment is refused."""

from pathlib import Path

import pytest
import torch

from playground.diffusion.sampling import SamplingConfig
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.training import TrainingConfig
from playground.storage import decode
from playground.toy import PRESETS, ToyConfig, ToyLab
from playground.toy.lab import FORMAT
from playground.toy.network import NetworkConfig
from playground.toy.user_points import cloud_from_strokes, read_points
from tests.toy.stored import GOOD, GOOD_USER_POINTS, TINY, USER_POINTS, trained

# ---- There and back

EXPERIMENTS = {
    **{name: preset.config for name, preset in PRESETS.items()},
    "conditional": ToyConfig(dataset="disc_grid", conditional=True, guidance_scale=2.5, seed=2**32 - 1),
    "user points": TINY.changed(points=[[0.0, 0.1], [1.0, 0.2], [0.4, -0.7]]),
    "user classes": TINY.changed(points=read_points(USER_POINTS, "points.csv"), conditional=True),
    "drawing": TINY.changed(points=cloud_from_strokes([[[-1, 0], [1, 0.5]]], n=100)),
    "other knobs": ToyConfig(
        schedule=ScheduleConfig("linear", 200, True),
        network=NetworkConfig(32, 4, "tanh", "append", 0),
        training=TrainingConfig("x0", "uniform", decay="cosine"),
        sampling=SamplingConfig("ddpm", 50, variance="fixed_large"),
    ),
}


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_an_experiment_goes_on_as_if_nothing_had_happened(name: str, tmp_path: Path) -> None:
    lab = trained(EXPERIMENTS[name], steps=12)
    path = tmp_path / "lab.safetensors"
    lab.save(path)
    for again in (ToyLab.load(path), ToyLab.load(str(path)), ToyLab.from_bytes(lab.to_bytes())):
        assert again.step == lab.step == 12
        assert again.config.to_dict() == lab.config.to_dict()
        assert torch.equal(again.cloud.points, lab.cloud.points)
        assert again.cloud.classes == lab.cloud.classes
        assert [c.step for c in again.timeline] == [12]
        mine, theirs = (x.sample(30, steps=5, seed=4) for x in (lab, again))
        assert torch.equal(mine.x, theirs.x)
        assert torch.equal(mine.eps, theirs.eps)
    expected = [step.loss for step in lab.train(steps=5)]
    assert [step.loss for step in again.train(steps=5)] == expected
    assert torch.equal(again.sample(30, steps=5).x, lab.sample(30, steps=5).x)


def test_classes_of_user_points_keep_their_names() -> None:
    lab = ToyLab.from_bytes(GOOD_USER_POINTS)
    assert lab.cloud.classes == ("3", "7")
    assert lab.cloud.labels is not None
    assert lab.cloud.labels.tolist() == [0, 0, 1, 1]
    x = lab.sample(5, labels=1, exact=True).x[-1]
    assert (x.sum(1) < 0).all()


def test_an_experiment_that_has_not_begun() -> None:
    lab = ToyLab.from_bytes(ToyLab(TINY).to_bytes())
    assert lab.step == 0
    assert [s.loss for s in lab.train(steps=4)] == [s.loss for s in ToyLab(TINY).train(steps=4)]


def test_a_loaded_file_can_be_saved_again() -> None:
    once = ToyLab.from_bytes(GOOD).to_bytes()
    (config, tensors, rest), (config2, tensors2, rest2) = (decode(data, FORMAT, "") for data in (GOOD, once))
    assert (config, rest) == (config2, rest2)
    assert tensors.keys() == tensors2.keys()
    assert all(torch.equal(tensors[name], tensors2[name]) for name in tensors)


def test_opening_a_file_leaves_the_shared_generator_alone() -> None:
    before = torch.get_rng_state()
    ToyLab.from_bytes(GOOD)
    assert torch.equal(torch.get_rng_state(), before)
