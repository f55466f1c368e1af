"""MnistLab as its documentation shows it; kept and read again; hostile files; labs side by side."""

from __future__ import annotations

import pytest
import torch

from playground.diffusion.noise_schedule import ScheduleError
from playground.diffusion.sampling import collect
from playground.diffusion.schedule_config import ScheduleConfig
from playground.mnist import MnistLab, generate
from playground.mnist.data import mnist
from playground.mnist.generate import GenerateError, Request
from tests.mnist.lab_cases import FEW, config, trained

# As the documentation shows it


def test_the_example_works_as_written() -> None:
    lab = MnistLab()
    path = lab.sample(labels=[7] * 16, sampler="dpm++", steps=20, guidance_scale=2.0, seed=0)
    assert path.x.shape == path.x0.shape == path.eps.shape == (21, 16, 1, 28, 28)
    assert path.x[-1].abs().max() <= 1 + 1e-5
    assert path.x.isfinite().all()
    assert path.labels is not None
    assert path.labels.tolist() == [7] * 16
    assert (path.calls, path.seed) == (40, 0)
    alpha, sigma = (level.reshape(-1, 1, 1, 1, 1) for level in (path.alpha, path.sigma))
    torch.testing.assert_close(path.x, alpha * path.x0 + sigma * path.eps, rtol=0, atol=1e-5)
    # black paper, white ink: most of a digit is paper, and no two are alike
    assert (path.x[-1] < -0.9).float().mean() > 0.5
    assert (path.x[-1].flatten(1).max(1).values > 0.5).all()
    assert len(path.x[-1].flatten(1).unique(dim=0)) == 16


def test_every_other_way_to_draw() -> None:
    lab = MnistLab()
    x0, _ = lab.real(n=1)
    mask = torch.zeros(1, 28, 28, dtype=torch.bool)
    mask[:, 14:] = True
    model = lab.model
    edited = generate.edit(model, Request.of(None, 2, steps=10), x0[0], 0.3)
    assert collect(list(edited), None, 0).x.shape == (4, 2, 1, 28, 28)
    inpainted = generate.inpaint(model, Request.of([3], steps=3), x0[0], mask, 1)
    assert collect(list(inpainted), None, 0).x.shape == (4, 1, 1, 28, 28)
    for between in (
        generate.between_noises(model, Request.of([3] * 2, 2, steps=2), 1),
        generate.between_classes(model, Request.of([0] * 2, steps=2), 0, 8),
    ):
        assert collect(list(between), None, 0).x.shape == (3, 2, 1, 28, 28)
    with pytest.raises(GenerateError, match="No such knob: colour"):
        lab.sample(colour=1)


# Forward


def test_the_forward_table_has_one_noise_for_all_t() -> None:
    table = MnistLab().forward(seed=3, n=5, schedule="linear", timesteps=200)
    schedule = ScheduleConfig("linear", 200).make()
    assert table.x0.shape == table.eps.shape == (5, 1, 28, 28)
    for t in (0, 57, 199):
        expected = schedule.alphas[t] * table.x0 + schedule.sigmas[t] * table.eps
        torch.testing.assert_close(table.at(t), expected.float(), rtol=0, atol=1e-6)
    assert float(table.eps.std()) == pytest.approx(1, abs=0.05)


def test_real_digits_are_test_digits_with_their_labels() -> None:
    x0, labels = MnistLab().real(seed=5, n=30)
    digits = mnist("test")
    assert digits.labels is not None
    assert x0.abs().max() == 1
    for image, label in zip(x0[:5], labels, strict=False):
        (index,) = (digits[:] == image).flatten(1).all(1).nonzero()[:, 0].tolist()
        assert digits.labels[index] == label
    again, other = MnistLab().real(seed=5, n=30)[0], MnistLab().real(seed=6, n=30)[0]
    assert torch.equal(x0, again)
    assert not torch.equal(x0, other)


def test_what_the_forward_table_refuses() -> None:
    lab = MnistLab()
    for t in (-1, 1_000):
        with pytest.raises(GenerateError, match="0 to 999"):
            lab.forward().at(t)
    with pytest.raises(ScheduleError, match="no such knob"):
        lab.forward(colour=1)


# Training and who draws


def test_the_trained_network_draws_when_asked() -> None:
    lab = MnistLab()
    with pytest.raises(GenerateError, match="press Train"):
        lab.use_trained()
    lab.begin(config())
    with pytest.raises(GenerateError, match="press Train"):
        lab.use_trained()
    before = lab.sample(**FEW).x
    assert len(list(lab.train(3))) == 3
    assert lab.draws_shipped
    assert torch.equal(lab.sample(**FEW).x, before), "training alone changes nothing that is drawn"
    lab.use_trained()
    assert lab.model is not lab.shipped
    mine = lab.sample(**FEW).x
    assert mine.shape == (3, 3, 1, 14, 14)
    list(lab.train(2))
    assert torch.equal(lab.sample(**FEW).x, mine), "apart from further training"
    lab.use_shipped()
    assert lab.draws_shipped
    assert torch.equal(lab.sample(**FEW).x, before)


def test_interleaved_labs_do_not_disturb_each_other() -> None:
    configs = [config(seed=0), config(seed=1), config(28)]
    alone = [[step.loss for step in trained(one, 6).run.train(2)] for one in configs]  # type: ignore[union-attr]
    labs = [MnistLab() for _ in configs]
    for lab, one in zip(labs, configs, strict=True):
        lab.begin(one)
    runs = [lab.train() for lab in labs]
    losses: list[list[float]] = [[], [], []]
    for k in range(8):
        for which in (k % 3, (k + 1) % 3, (k + 2) % 3):
            losses[which].append(next(runs[which]).loss)
            torch.manual_seed(k)  # nobody draws from the generator that all of torch shares
    assert [each[6:] for each in losses] == alone
    assert torch.equal(labs[0].sample(**FEW).x, MnistLab().sample(**FEW).x)
