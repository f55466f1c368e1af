"""A toy lab's knobs, its timeline, and several threads at it."""

import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.training import TrainingConfig
from playground.settings import SETTINGS
from playground.storage import decode
from playground.toy import ToyConfig, ToyLab
from playground.toy.lab import FORMAT
from playground.toy.network import NetworkConfig
from tests.toy.labs import SMALL, TRIANGLE, losses, samples

# ---- Knobs

LIVE: list[dict[str, Any]] = [
    {"training.learning_rate": 0.001},
    {"training.batch_size": 17},
    {"training.noise_levels": "uniform"},
    {"training.ema_decay": 0.5},
    {"sampling.sampler": "ddim", "sampling.steps": 7},
    {"guidance_scale": 3.0},
    {"schedule.name": "cosine", "schedule.timesteps": 50},
    {"schedule": ScheduleConfig("linear", 60, beta_end=0.1)},
    {"schedule.rho": 3.0},
    {"schedule.rescale_betas_zero_snr": True},
]
RESTART: list[dict[str, Any]] = [
    {"dataset": "rings"},
    {"n_points": 200},
    {"seed": 9},
    {"conditional": True},
    {"network.width": 8},
    {"network": NetworkConfig(width=8)},
    {"training.prediction": "x0"},
    {"training": TrainingConfig(prediction="flow")},
    {"points": TRIANGLE},
    {"dataset": "heart", "training.learning_rate": 0.1},
]


@pytest.mark.parametrize("changes", LIVE, ids=str)
def test_a_live_knob_keeps_the_network(changes: dict[str, Any]) -> None:
    lab = ToyLab(SMALL)
    losses(lab, 5)
    weights = lab.trainer.network.state_dict()["point.weight"].clone()
    assert lab.update(**changes) == "live"
    assert lab.step == 5
    assert torch.equal(lab.trainer.network.state_dict()["point.weight"], weights)
    assert lab.config == SMALL.changed(**changes)
    losses(lab, 2)
    samples(lab)


@pytest.mark.parametrize("changes", RESTART, ids=str)
def test_a_restart_is_a_new_experiment(changes: dict[str, Any]) -> None:
    lab = ToyLab(SMALL)
    losses(lab, 5)
    run = lab.run
    assert lab.update(**changes) == "restart"
    assert (lab.step, lab.run) == (0, run + 1)
    assert losses(lab, 5) == losses(ToyLab(SMALL.changed(**changes)), 5)


def test_a_knob_turned_to_where_it_stands_restarts_nothing() -> None:
    lab = ToyLab(ToyConfig(points=TRIANGLE, seed=1000))
    losses(lab, 5)
    values = ToyConfig.from_dict(lab.config.to_dict()).to_dict()
    same = {k: v for k, v in values.items() if not isinstance(v, dict)}
    same |= {f"{part}.{k}": v for part in ("schedule", "network") for k, v in values[part].items()}
    same |= {"n_points": int("5000"), "seed": int("1000")}
    assert lab.update(**same, points=lab.config.points, training=TrainingConfig()) == "live"
    assert lab.step == 5


def test_rate_and_batch_size_act_on_the_next_step() -> None:
    lab = ToyLab(SMALL)
    sizes: list[int] = []
    lab.trainer.network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    run = lab.train()
    rates = [next(run).learning_rate for _ in range(25)]
    lab.update(**{"training.learning_rate": 0.5, "training.batch_size": 13})
    rates.append(next(run).learning_rate)
    assert rates[-2:] == [0.01, 0.5]
    assert sizes == [256] * 25 + [13]


def test_a_new_schedule_is_trained_and_sampled_on_at_once() -> None:
    lab = ToyLab(SMALL.changed(**{"training.noise_levels": "uniform"}))
    ratios: list[Tensor] = []
    lab.trainer.network.register_forward_pre_hook(lambda _, inputs: ratios.append(inputs[2] / inputs[1]))
    losses(lab, 1)
    lab.update(schedule=ScheduleConfig("linear", 30))
    losses(lab, 1)
    known = (lab.schedule.sigmas / lab.schedule.alphas).float()
    assert torch.cdist(ratios[1], known[:, None]).amin(1).max() < 1e-3
    assert torch.cdist(ratios[0], known[:, None]).amin(1).max() > 1
    path = lab.sample(5)
    assert path.t[0] == pytest.approx(29, abs=1e-3)
    assert path.sigma[0] / path.alpha[0] == pytest.approx(float(known[-1]), rel=1e-4)


def test_a_refused_change_leaves_the_lab_untouched() -> None:
    lab = ToyLab(SMALL)
    losses(lab, 5)
    (_, before, _), config, run = decode(lab.to_bytes(), FORMAT, ""), lab.config, lab.run
    refused: list[dict[str, Any]] = [
        {"dataset": "heart", "conditional": True},
        {"points": TRIANGLE, "conditional": True},
        {"points": [[0.0, 0.0]]},
        {"points": "junk"},
        {"seed": 1.5},
        {"n_points": 10**9},
        {"network.width": 64.5},
        {"network.width": 7, "network.nonsense": 1},
        {"training.learning_rate": math.nan},
        {"training.batch_size": "16"},
        {"sampling.steps": 5000},
        {"schedule": "straight"},
        {"schedule.name": "straight"},
        {"schedule.name": "drawn"},
        {"schedule.rescale_betas_zero_snr": True, "training.prediction": "noise"},
        {"network": None},
        {"nonsense": 1},
    ]
    for changes in refused:
        with pytest.raises(ValueError):  # noqa: PT011 (each part has its own, see test_config.py)
            lab.update(**changes)
        assert lab.config is config
        assert lab.run == run
        assert all(torch.equal(now, before[name]) for name, now in decode(lab.to_bytes(), FORMAT, "")[1].items())
    assert losses(lab, 3) == losses(ToyLab(SMALL), 8)[5:]


def test_reset_starts_the_same_experiment_again() -> None:
    lab = ToyLab(SMALL)
    first, picture = losses(lab, 10), samples(lab)
    lab.reset()
    assert lab.step == 0
    assert losses(lab, 10) == first
    assert torch.equal(samples(lab), picture)


def test_take_over_becomes_the_other_lab() -> None:
    mine, theirs = ToyLab(SMALL), ToyLab(SMALL.changed(dataset="rings", seed=3))
    losses(theirs, 6)
    expected, run = samples(theirs), mine.run
    mine.take_over(theirs)
    assert (mine.step, mine.run) == (6, run + 1)
    assert torch.equal(samples(mine), expected)
    assert losses(mine, 2) == losses(ToyLab(mine.config), 8)[6:]


# ---- The timeline


def test_training_goes_on_from_a_checkpoint_bit_by_bit() -> None:
    lab = ToyLab(SMALL)
    first = losses(lab, 40)
    picture = samples(lab, sampler="ddpm")
    steps = [checkpoint.step for checkpoint in lab.timeline]
    assert steps[0] == 0
    for step in (steps[-1], steps[len(steps) // 2], 0):
        assert lab.rewind(step) == step == lab.step == lab.timeline[-1].step
        assert losses(lab, 40 - step) == first[step:]
        assert torch.equal(samples(lab, sampler="ddpm"), picture)


def test_rewind_goes_to_the_place_before_and_forks() -> None:
    lab = ToyLab(SMALL)
    losses(lab, 40)
    steps = [checkpoint.step for checkpoint in lab.timeline]
    assert lab.rewind(steps[3] - 1) == steps[2]
    assert [checkpoint.step for checkpoint in lab.timeline] == steps[:3]
    assert lab.rewind(10**9) == steps[2]
    lab.update(**{"training.learning_rate": 0.1})
    losses(lab, 40 - steps[2])
    assert not torch.equal(samples(lab), samples(ToyLab(SMALL)))
    assert lab.rewind(-5) == 0
    assert len(lab.timeline) == 1


def test_keep_puts_this_very_step_on_the_timeline() -> None:
    lab = ToyLab(SMALL)
    losses(lab, 39)
    lab.keep()
    lab.keep()
    assert [checkpoint.step for checkpoint in lab.timeline][-1] == 39
    assert len({checkpoint.step for checkpoint in lab.timeline}) == len(lab.timeline)
    picture = samples(lab)
    losses(lab, 1)
    assert lab.rewind(39) == 39
    assert torch.equal(samples(lab), picture)


def test_a_loaded_lab_has_nothing_before_its_step() -> None:
    lab = ToyLab(SMALL)
    losses(lab, 10)
    again = ToyLab.from_bytes(lab.to_bytes())
    assert again.rewind(3) == 10
    assert losses(again, 2) == losses(lab, 2)


def state_bytes(state: Any) -> int:
    if isinstance(state, Tensor):
        return state.nbytes
    return sum(map(state_bytes, state.values())) if isinstance(state, dict) else 0


@pytest.mark.parametrize(("width", "depth"), [(256, 3), (256, 6)])
def test_the_timeline_is_thinned(width: int, depth: int) -> None:
    lab = ToyLab(SMALL.changed(network=NetworkConfig(width, depth, fourier_features=0), **{"training.batch_size": 1}))
    for _ in range(20):
        losses(lab, 1)
        lab.keep()
        assert (lab.timeline[0].step, lab.timeline[-1].step) == (0, lab.step)
    steps = [checkpoint.step for checkpoint in lab.timeline]
    assert steps == sorted(set(steps))
    assert 3 <= len(steps) < 21
    size = sum(state_bytes(checkpoint.state) for checkpoint in lab.timeline)
    assert size < 1.01 * SETTINGS.timeline_bytes or len(steps) == 3, "three, where even they are more"


# ---- Threads


def test_several_threads_may_use_one_lab() -> None:
    """One trains, others sample, look inside and turn knobs that change classes, shapes and the schedule's length."""
    lab = ToyLab(SMALL.changed(dataset="disc_grid", conditional=True))
    faults: list[BaseException] = []

    def turn(k: int) -> None:
        lab.update(dataset=("rings", "disc_grid")[k % 2], **{"schedule.timesteps": (1000, 25)[k % 2]})
        lab.update(**{"network.width": (16, 24)[k % 2], "training.batch_size": 10 + k})

    jobs: list[Callable[[int], object]] = [
        lambda _: losses(lab, 3),
        lambda k: samples(lab, 30, seed=k),
        lambda k: samples(lab, 30, seed=k, exact=True, guidance_scale=2.0),
        lambda _: lab.now().loss_by_timestep(20, 5),
        lambda k: lab.rewind(k),
        lambda _: lab.to_bytes(),
        turn,
    ]

    def work(job: Callable[[int], object]) -> None:
        try:
            for k in range(25):
                job(k)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not faults
    losses(lab, 2)


def test_no_turn_of_a_knob_is_lost_among_threads() -> None:
    lab = ToyLab(SMALL)
    knobs = ("training.learning_rate", "training.ema_decay", "guidance_scale", "sampling.eta")

    def turn(knob: str) -> None:
        for k in range(1, 60):
            lab.update(**{knob: k / 60})

    threads = [threading.Thread(target=turn, args=(knob,), daemon=True) for knob in knobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    config = lab.config
    assert (config.training.learning_rate, config.training.ema_decay) == (59 / 60, 59 / 60)
    assert (config.guidance_scale, config.sampling.eta) == (59 / 60, 59 / 60)
