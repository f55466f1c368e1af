"""The training loop of the tiny model's parts: rates, checkpoints, going on."""

import dataclasses

import pytest
import torch
from torch import nn

from playground.stable_diffusion.digits.run import Chance, Recipe, Training
from playground.training_run import RunError

RECIPE = Recipe(steps=12, batch_size=8, learning_rate=1e-2, warmup_steps=3, optimizer="muon")


def training(folder, recipe=RECIPE):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1), nn.SiLU(), nn.Conv2d(16, 16, 1))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss(chance):
        x = torch.randn(recipe.batch_size, 16, 4, 4, generator=chance.torch)
        return (network(x) - x.flip(1) * (1 + chance.words.random() / 10)).square().mean()

    return Training("part", network, loss, recipe, folder)


def test_the_rate_rises_holds_and_falls():
    rates = [dataclasses.replace(RECIPE, steps=100, warmup_steps=10).learning_rate_at(k) for k in range(100)]
    assert rates[0] == pytest.approx(1e-3)
    assert rates[10:40] == pytest.approx([1e-2] * 30)
    assert rates[70] == pytest.approx(0.5e-2)
    assert rates[-1] < 1e-5


def test_a_run_cut_off_goes_on_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setattr("playground.stable_diffusion.digits.run.CHECKPOINT_EVERY", 5)
    whole = training(tmp_path / "whole")
    losses = [step.loss for step in whole.steps()]
    cut = training(tmp_path / "cut")
    for step in cut.steps():
        if step.step == 7:  # killed two steps after a checkpoint
            break
    again = training(tmp_path / "cut")
    assert again.step == 5
    assert [step.loss for step in again.steps()] == losses[5:]
    for one, two in zip(whole.average.parameters(), again.average.parameters(), strict=True):
        assert torch.equal(one, two)


def test_another_recipe_is_refused(tmp_path):
    list(training(tmp_path).steps())
    with pytest.raises(RunError, match="another recipe"):
        training(tmp_path, dataclasses.replace(RECIPE, learning_rate=1e-3))


def test_a_finished_run_has_nothing_left_to_do(tmp_path):
    list(training(tmp_path).steps())
    assert list(training(tmp_path).steps()) == []


def test_the_loss_falls(tmp_path):
    losses = [s.loss for s in training(tmp_path, dataclasses.replace(RECIPE, steps=60)).steps()]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_chance_follows_from_seed_and_step_alone():
    one, two = Chance.of(3, 5), Chance.of(3, 5)
    assert torch.equal(torch.rand(3, generator=one.torch), torch.rand(3, generator=two.torch))
    assert one.words.random() == two.words.random()
    assert Chance.of(3, 6).words.random() != Chance.of(3, 5).words.random()
