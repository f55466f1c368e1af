"""The toy lab: it is determined by its seed, its knobs do what they say, and above all it learns the data."""

import dataclasses
import itertools
import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from playground.diffusion.exact import ExactDenoiser
from playground.diffusion.prediction import PREDICTIONS, target, to_eps
from playground.diffusion.sampling import SAMPLERS, SamplerError
from playground.diffusion.training import TrainingConfig
from playground.settings import SETTINGS
from playground.toy import PRESETS, LabError, ToyConfig, ToyLab
from playground.toy.data import DataError, make_cloud
from playground.toy.network import NetworkConfig
from playground.toy.storage import decode

SMALL = ToyConfig(n_points=300, network=NetworkConfig(width=16, depth=2, fourier_features=8))
TRIANGLE = [[0.0, 0.9], [-0.8, -0.5], [0.8, -0.4]]


def losses(lab: ToyLab, steps: int) -> list[float]:
    return [step.loss for step in lab.train(steps=steps)]


def samples(lab: ToyLab, n: int = 50, **knobs: Any) -> Tensor:
    return lab.sample(n, **knobs).x[-1]


def standard(lab: ToyLab) -> Tensor:
    """The training points with mean 0 and one common scale of variance 1, (N, 2) float64, worked out anew."""
    points = lab.cloud.points.double()
    centred = points - points.mean(0)
    return centred / math.sqrt(float((points - points.mean()).square().sum() / (points.numel() - 1)))


@pytest.fixture(scope="module")
def trained_bytes() -> bytes:
    lab = ToyLab()
    losses(lab, 800)
    return lab.to_bytes()


@pytest.fixture
def trained(trained_bytes: bytes) -> ToyLab:
    """The default experiment after 800 steps."""
    return ToyLab.from_bytes(trained_bytes)


# ---- It learns the distribution

# Largest excess sliced Wasserstein-2 distance and share off the support that 2,000 samples after 800 steps may have.
# Beside each, what was measured: the worst of seeds 0 to 3, then an untrained network's least. The dinosaur's lines are
# 0.03 wide, 1 % of the picture: most of what is off them is off by a hair. The distance's own noise is about 0.02.
LIMITS = {
    "spiral": (0.042, 0.20),  # 0.035, 0.107; untrained 0.086, 0.744
    "disc_grid": (0.053, 0.35),  # 0.049, 0.204; untrained 0.107, 0.936
    "checkerboard": (0.042, 0.19),  # 0.029, 0.104; untrained 0.086, 0.570
    "two_moons": (0.055, 0.18),  # 0.030, 0.099; untrained 0.121, 0.769
    "rings": (0.024, 0.32),  # 0.015, 0.190; untrained 0.049, 0.769
    "dinosaur": (0.055, 0.465),  # 0.028, 0.433; untrained 0.155, 0.939
}


@pytest.mark.parametrize("name", list(LIMITS))
@pytest.mark.parametrize("seed", [0, 1])
def test_it_learns_the_distribution(name: str, seed: int) -> None:
    excess, off = LIMITS[name]
    lab = ToyLab(ToyConfig(dataset=name, seed=seed))
    before = lab.quality(n=2000)
    assert before.off is not None
    assert before.excess >= 2 * excess, "an untrained network fails, by far"
    assert before.off >= 2 * off
    losses(lab, 800)
    after = lab.quality(n=2000)
    assert after.off is not None
    assert after.off_floor == 0
    assert after.excess <= excess
    assert after.off <= off


def test_the_original_recipe_trains() -> None:
    lab = ToyLab(PRESETS["minidiffusion"].config)
    all_losses = losses(lab, 300)
    # Measured: 0.58 and 0.25; predicting no noise at all costs 1.
    assert np.mean(all_losses[-50:]) < 0.65 * np.mean(all_losses[:50]) < 0.65


@pytest.mark.parametrize("seed", [0, 1])
def test_a_schedule_that_is_too_short_spoils_the_samples_and_not_the_network(seed: int) -> None:
    fast, short = (ToyLab(PRESETS[name].config.changed(seed=seed)) for name in ("fast", "too_short"))
    assert short.schedule.warning
    assert not fast.schedule.warning
    for lab in (fast, short):
        losses(lab, 400)
        by_timestep = lab.loss_by_timestep()
        late = by_timestep.t > 0.15 * len(lab.schedule)
        # Both networks err about as little as can be. Measured: at most 1.3 times the floor.
        assert (by_timestep.loss[late] < 1.5 * by_timestep.floor[late]).all()
    good, bad = fast.quality(2000), short.quality(2000)
    assert good.off is not None
    assert bad.off is not None
    # Measured: distances 0.020 and 0.037 against 0.128 and 0.105, off the support 0.13 against 0.28.
    assert bad.distance > 2 * good.distance
    assert bad.off > 1.5 * good.off
    # It is the way there that is wrong: the perfect denoiser in the network's place does no better.
    assert short.quality(2000, exact=True).distance > 2 * fast.quality(2000, exact=True).distance


# ---- Determinism, pausing


def test_the_same_seed_gives_the_same_experiment() -> None:
    torch.manual_seed(1)
    one, two, other = ToyLab(SMALL), ToyLab(SMALL), ToyLab(SMALL.changed(seed=1))
    first = losses(one, 30)
    torch.manual_seed(2)  # nothing hangs on the generator that all of torch shares
    assert losses(two, 30) == first
    assert losses(other, 30) != first
    for sampler in SAMPLERS:
        a, b = (lab.sample(20, sampler=sampler, seed=5) for lab in (one, two))
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.eps, b.eps)
    assert not torch.equal(samples(one, seed=5), samples(one, seed=6))


def test_nothing_draws_from_the_shared_generator() -> None:
    before = torch.get_rng_state()
    lab = ToyLab(SMALL.changed(dataset="disc_grid", conditional=True))
    losses(lab, 5)
    for sampler in SAMPLERS:
        samples(lab, sampler=sampler, eta=0.5 if sampler == "ddim" else 0)
    lab.quality(50)
    lab.loss_by_timestep()
    assert torch.equal(torch.get_rng_state(), before)


def test_two_labs_step_by_step_are_as_each_alone() -> None:
    configs = (SMALL, SMALL.changed(dataset="rings", conditional=True, seed=4))
    alone = [losses(ToyLab(config), 20) for config in configs]
    labs = [ToyLab(config) for config in configs]
    runs = [lab.train() for lab in labs]
    together = [[next(run).loss for run in runs] for _ in range(20)]
    assert [list(column) for column in zip(*together, strict=True)] == alone


def test_to_pause_is_to_stop_pulling() -> None:
    expected = losses(ToyLab(SMALL), 20)
    lab = ToyLab(SMALL)
    run = lab.train()
    found = [next(run).loss for _ in range(7)]
    assert lab.step == 7
    samples(lab)  # a look changes nothing
    found += [next(run).loss for _ in range(3)]
    found += [step.loss for step in itertools.islice(lab.train(), 4)] + losses(lab, 6)
    assert found == expected
    assert lab.step == 20
    assert losses(lab, 0) == []


def test_steps_are_counted_from_one_with_the_rate_they_used() -> None:
    lab = ToyLab(SMALL)
    steps = list(lab.train(steps=25))
    assert [step.step for step in steps] == list(range(1, 26))
    warm_up = SMALL.training.warmup_steps + 1
    assert [s.learning_rate for s in steps] == pytest.approx([0.01 * min(1, s.step / warm_up) for s in steps])
    assert all(math.isfinite(step.loss) and step.seconds > 0 for step in steps)


def test_the_cosine_rate_falls_to_nothing_at_the_planned_end() -> None:
    lab = ToyLab(SMALL.changed(**{"training.decay": "cosine", "training.warmup_steps": 0}))
    rates = [step.learning_rate for step in lab.train(steps=10)]
    assert rates == pytest.approx([0.005 * (1 + math.cos(math.pi * k / 10)) for k in range(1, 11)], abs=1e-9)


# ---- Knobs

LIVE: list[dict[str, Any]] = [
    {"training.learning_rate": 0.001},
    {"training.batch_size": 17},
    {"training.noise_levels": "uniform"},
    {"training.ema_decay": 0.5},
    {"sampling.sampler": "ddim", "sampling.steps": 7},
    {"guidance_scale": 3.0},
    {"schedule": "cosine", "timesteps": 50},
    {"rescale_betas_zero_snr": True},
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
    same |= {f"network.{k}": v for k, v in values["network"].items()} | {"n_points": int("5000"), "seed": int("1000")}
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
    lab.update(schedule="linear", timesteps=30)
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
    (_, before, _), config, run = decode(lab.to_bytes()), lab.config, lab.run
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
        {"rescale_betas_zero_snr": True, "training.prediction": "noise"},
        {"network": None},
        {"nonsense": 1},
    ]
    for changes in refused:
        with pytest.raises(ValueError):  # noqa: PT011 (each part has its own, see test_config.py)
            lab.update(**changes)
        assert lab.config is config
        assert lab.run == run
        assert all(torch.equal(now, before[name]) for name, now in decode(lab.to_bytes())[1].items())
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


@pytest.mark.parametrize(("width", "depth"), [(256, 3), (512, 5)])
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


# ---- Sampling


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_a_path_has_a_place_for_every_state(sampler: str) -> None:
    lab = ToyLab(SMALL)
    path = lab.sample(11, sampler=sampler, steps=6, seed=3)
    states = {"pndm": 8}.get(sampler, 7)  # PNDM takes its second step twice
    for tensor in (path.x, path.x0, path.eps):
        assert tensor.shape == (states, 11, 2)
        assert tensor.isfinite().all()
    for row in (path.t, path.alpha, path.sigma):
        assert row.shape == (states,)
    assert path.labels is None
    assert path.seed == 3
    assert path.calls == {"heun": 11, "annealed_langevin": 30, "langevin": 7, "pndm": 7}.get(sampler, 6)
    assert (path.t.diff() <= 0).all()
    if sampler != "langevin":
        assert path.t[-1] == -1
        assert torch.equal(path.x[-1], path.x0[-1])


@pytest.mark.parametrize("n", [1, 5, 8, 13, 40])
def test_the_first_state_is_noise_and_the_same_for_any_number(n: int) -> None:
    lab = ToyLab(SMALL)
    few, many = lab.sample(n, seed=2), lab.sample(48, seed=2)
    noise = torch.randn(48, 2, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(few.x[0], noise[:n] * lab.std + lab.mean)
    torch.testing.assert_close(few.x, many.x[:, :n], atol=1e-5, rtol=1e-4)


def test_states_are_made_of_their_parts() -> None:
    lab = ToyLab(SMALL)
    losses(lab, 20)
    for schedule in ("karras", "flow"):
        lab.update(schedule=schedule)
        path = lab.sample(9)
        for k in range(len(path.t) - 1):
            x, x0 = ((states[k] - lab.mean) / lab.std for states in (path.x, path.x0))
            torch.testing.assert_close(x, path.alpha[k] * x0 + path.sigma[k] * path.eps[k], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("n", [0, -1, SETTINGS.max_samples + 1])
def test_the_number_of_samples_is_limited(n: int) -> None:
    with pytest.raises(LabError, match="number of samples"):
        ToyLab(SMALL).sample(n)


def test_too_much_to_keep_or_too_many_steps_is_refused() -> None:
    lab = ToyLab(SMALL.changed(timesteps=4000))
    with pytest.raises(LabError, match="too many to keep"):
        lab.sample(10_000, steps=4000)
    with pytest.raises(SamplerError, match="do not fit"):
        lab.sample(5, steps=4001)
    with pytest.raises(SamplerError, match="spacing"):
        lab.sample(5, sampler="ddpm", spacing="karras")
    assert samples(lab, 5, sampler="ddim", steps=4000).isfinite().all()


def test_paths_run_from_the_same_noise_learned_or_exact() -> None:
    lab = ToyLab(SMALL)
    learned, exact = lab.paths(7), lab.paths(7, exact=True)
    assert learned.x.shape == exact.x.shape == (51, 7, 2)
    assert torch.equal(learned.x[0], exact.x[0])
    assert not torch.equal(learned.x[-1], exact.x[-1])
    lab.update(timesteps=20)
    assert lab.paths(7).x.shape == (21, 7, 2)


@pytest.mark.parametrize(
    "sampler", [name for name in SAMPLERS if name not in ("pndm", "annealed_langevin", "langevin")]
)
def test_the_exact_denoiser_gives_the_training_points_back(sampler: str) -> None:
    # Not so PNDM, whose average over past steps overshoots, and Langevin dynamics, which add noise.
    lab = ToyLab(ToyConfig(points=[*TRIANGLE, [0.0, 0.1], [0.2, 0.2]]))
    distance = torch.cdist(samples(lab, 400, exact=True, sampler=sampler), lab.cloud.points)
    assert distance.amin(1).max() < 1e-3
    counts = torch.bincount(distance.argmin(1), minlength=5)
    assert (counts > 400 / 5 / 3).all(), "each about as often as the others"


# ---- Nothing leaves the box


def wreck(lab: ToyLab, seed: int, nan: bool) -> None:
    """Random weights a hundred times as large as at the start, or those with holes."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in lab.trainer.ema.parameters():
            weights.copy_(100 * torch.randn(weights.shape, generator=rng) / math.sqrt(weights.shape[-1]))
            if nan:
                weights.view(-1)[:: 1 + seed % 7] = (math.nan, math.inf)[seed % 2]


def langevin_reach(path: Any, box: float, step: float, inner: int) -> float:
    """The furthest that |x / α| can get with |x̂0| ≤ box and no normal draw beyond 6: the update in its worst case."""
    reach = 6 / float(path.alpha[0])
    for alpha, sigma in zip(path.alpha[:-1].tolist(), path.sigma[:-1].tolist(), strict=True):
        for _ in range(inner):
            reach = abs(1 - step / 2) * reach + step / 2 * box + 6 * math.sqrt(step) * sigma / alpha
    return reach


@pytest.mark.parametrize("sampler", list(SAMPLERS))
@settings(max_examples=12, phases=[Phase.generate])  # to shrink an example would take a minute
@given(
    seed=st.integers(0, 10**6),
    nan=st.booleans(),
    prediction=st.sampled_from(PREDICTIONS),
    steps=st.integers(2, 25),
    schedule=st.sampled_from(["karras", "linear", "cosine", "flow"]),
    guidance_scale=st.sampled_from([0.0, 1.0, 20.0]),
)
def test_nothing_leaves_the_box(
    sampler: str, seed: int, nan: bool, prediction: str, steps: int, schedule: str, guidance_scale: float
) -> None:
    config = SMALL.changed(dataset="two_moons", conditional=True, schedule=schedule, guidance_scale=guidance_scale)
    lab = ToyLab(config.changed(**{"training.prediction": prediction}))
    wreck(lab, seed, nan)
    path = lab.sample(60, sampler=sampler, steps=steps, seed=seed)
    for states in (path.x, path.x0, path.eps):
        assert states.isfinite().all()
    last, box = (path.x[-1] - lab.mean) / lab.std, torch.stack(lab.box)
    assert box.abs().max() < 4
    margin = 0.1 * (box[1] - box[0]).max() / 1.2
    torch.testing.assert_close(
        box.double(), torch.stack([standard(lab).amin(0) - margin, standard(lab).amax(0) + margin])
    )
    x0 = (path.x0[:-1] - lab.mean) / lab.std
    assert ((x0 > box[0] - 1e-4) & (x0 < box[1] + 1e-4)).all(), "what the network claims is always in the box"
    if sampler == "pndm":  # extrapolates: the box bounds what it is made of, not the sum. Measured: at most 45.
        assert last.abs().max() < 100
    elif sampler == "annealed_langevin":
        assert last.abs().max() < langevin_reach(path, float(box.abs().max()), 0.2, 5)
    elif sampler == "langevin":
        assert last.abs().max() < langevin_reach(path, float(box.abs().max()), 0.2, 1)
    else:  # Heun computes at σ/α scale, in numbers of thousands: float32 leaves 0.002 of those
        slack = 0.01 if sampler == "heun" else 1e-4
        assert ((last > box[0] - slack) & (last < box[1] + slack)).all()


# ---- Classes


@pytest.mark.parametrize(
    ("name", "least", "guided_least"),
    [("disc_grid", 0.9, 0.97), ("two_moons", 0.95, 0.98)],  # measured: 0.963 and 1, 0.990 and 1
)
def test_samples_of_a_class_lie_in_it_and_guidance_sharpens(name: str, least: float, guided_least: float) -> None:
    lab = ToyLab(ToyConfig(dataset=name, conditional=True))
    losses(lab, 600)
    assert lab.cloud.labels is not None
    off = []
    for scale, wanted in ((1.0, least), (2.0, guided_least)):
        for label in range(len(lab.cloud.classes)):
            x = samples(lab, 200, labels=label, guidance_scale=scale, seed=label)
            nearest = lab.cloud.labels[torch.cdist(x, lab.cloud.points).argmin(1)]
            assert (nearest == label).double().mean() >= wanted
        quality = lab.quality(2000, guidance_scale=scale)
        assert quality.off is not None
        off.append(quality.off)
    assert off[1] < 0.75 * off[0]  # measured: 0.17 → 0.06 and 0.11 → 0.065


def test_labels_may_be_one_or_one_for_each_or_left_to_chance() -> None:
    lab = ToyLab(SMALL.changed(dataset="disc_grid", conditional=True))
    assert lab.cloud.labels is not None
    one, each = lab.sample(4, labels=7), lab.sample(4, labels=[7, 0, 15, 7])
    assert one.labels is not None
    assert each.labels is not None
    assert one.labels.tolist() == [7] * 4
    assert each.labels.tolist() == [7, 0, 15, 7]
    drawn = lab.sample(8000, steps=2, seed=1).labels
    assert drawn is not None
    share = torch.bincount(drawn, minlength=16) / 8000
    wanted = torch.bincount(lab.cloud.labels, minlength=16) / len(lab.cloud.labels)
    assert (share - wanted).abs().max() < 5 * math.sqrt(0.1 / 8000)
    wrong: list[Any] = [16, -1, [0, 1], [0.0] * 4, torch.zeros(4, 1, dtype=torch.int64)]
    for labels in wrong:
        with pytest.raises(LabError):
            lab.sample(4, labels=labels)
    with pytest.raises(LabError, match="not taught"):
        ToyLab(SMALL).sample(4, labels=0)


def test_the_exact_denoiser_knows_the_classes() -> None:
    lab = ToyLab(SMALL.changed(dataset="two_moons", conditional=True))
    assert lab.cloud.labels is not None
    labels = [0, 1] * 20
    nearest = torch.cdist(samples(lab, 40, exact=True, labels=labels), lab.cloud.points).argmin(1)
    assert lab.cloud.labels[nearest].tolist() == labels


def test_the_guidance_scale_is_diffusers() -> None:
    lab = ToyLab(SMALL.changed(dataset="two_moons", conditional=True))
    losses(lab, 30)
    x, alpha, sigma = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)), *lab._level(500)
    labels = torch.arange(50) % 2
    with torch.no_grad():
        none, unconditional, conditional = (
            lab.denoiser(given, scale)(x, alpha, sigma) for given, scale in ((None, 3.0), (labels, 0.0), (labels, 1.0))
        )
        guided = lab.denoiser(labels, 1.5)(x, alpha, sigma)
    assert torch.equal(none, unconditional), "0 is without the class, and without a class there is nothing to guide"
    assert (conditional - unconditional).abs().max() > 1e-3
    w = 0.5  # the paper's: (1 + w) x̂_c - w x̂_u, before the box
    expected = (1 + w) * conditional - w * unconditional
    inside = ((expected > lab.box[0]) & (expected < lab.box[1])).all(1)
    assert inside.sum() > 25
    torch.testing.assert_close(guided[inside], expected[inside], atol=1e-5, rtol=1e-5)
    lab.update(guidance_scale=1.5)
    assert torch.equal(samples(lab), samples(lab, guidance_scale=1.5))
    assert not torch.equal(samples(lab), samples(lab, guidance_scale=1.0))


# ---- The score field


@pytest.mark.parametrize("schedule", ["karras", "flow"])
def test_the_exact_field_is_the_gradient_of_the_log_density(schedule: str) -> None:
    lab = ToyLab(SMALL.changed(schedule=schedule))
    exact, points, h = ExactDenoiser(standard(lab)), lab.cloud.points.double(), 1e-5
    std = math.sqrt(float((points - points.mean()).square().sum() / (points.numel() - 1)))
    for t in (150, 500, 999):
        field = lab.field(t, grid=7)
        assert field.points.shape == field.exact.shape == field.learned.shape == (49, 2)
        ratio = float(lab.schedule.sigmas[t] / lab.schedule.alphas[t])
        alpha, sigma = 1 / math.hypot(1, ratio), ratio / math.hypot(1, ratio)
        scale = math.hypot(float(lab.schedule.alphas[t]), float(lab.schedule.sigmas[t]))
        x = (field.points.double() - points.mean(0)) / std / scale
        for axis in (0, 1):
            step = torch.zeros(2, dtype=torch.float64)
            step[axis] = h
            slope = (exact.log_density(x + step, alpha, sigma) - exact.log_density(x - step, alpha, sigma)) / (2 * h)
            torch.testing.assert_close(field.exact[:, axis].double(), sigma * slope, atol=2e-3, rtol=2e-3)


def test_the_lattice_runs_row_by_row_from_the_lower_left_over_the_window() -> None:
    lab = ToyLab(SMALL)
    x, y, half = lab.window
    points = lab.field(10, grid=3).points
    expected = [(x + i * half, y + j * half) for j in (-1, 0, 1) for i in (-1, 0, 1)]
    torch.testing.assert_close(points, torch.tensor(expected))
    assert ((lab.cloud.points - torch.tensor([x, y])).abs() < half).all(), "the window shows all the data"
    for grid in (1, 65):
        with pytest.raises(LabError, match="grid"):
            lab.field(10, grid=grid)
    for t in (-1, 1000):
        with pytest.raises(LabError, match="999"):
            lab.field(t)


# Root mean square of learned minus exact, in units of the noise, where the density is above a tenth of its peak.
# Measured: 0.154, 0.038, 0.010; an untrained network has 0.859, 0.153 (and at 700, where all is Gaussian, 0.010).
@pytest.mark.parametrize(("t", "limit"), [(300, 0.28), (500, 0.07), (700, 0.025)])
def test_the_learned_field_is_the_exact_one_where_the_data_are(trained: ToyLab, t: int, limit: float) -> None:
    def error(lab: ToyLab) -> float:
        field = lab.field(t)
        alpha = float(lab.schedule.alphas[t])
        x = (field.points - lab.mean) / lab.std
        density = ExactDenoiser(standard(lab)).log_density(x.double(), alpha, math.sqrt(1 - alpha**2)).exp()
        dense = density > 0.1 * density.max()
        assert dense.sum() > 100
        return float((field.learned - field.exact)[dense].square().sum(1).mean().sqrt())

    assert error(trained) < limit
    assert error(ToyLab()) > 2 * limit or t == 700


def test_many_fields_are_each_field() -> None:
    lab = ToyLab(SMALL)
    losses(lab, 10)
    learned, exact = lab.learned_fields([5, 700], 6), lab.exact_fields([5, 700], 6)
    assert learned.shape == exact.shape == (2, 36, 2)
    for k, t in enumerate((5, 700)):
        assert torch.equal(learned[k], lab.field(t, 6).learned)
        assert torch.equal(exact[k], lab.field(t, 6).exact)


# ---- Loss by timestep


def squared_errors(lab: Any, t: Tensor, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the exact posterior mean as the network, on the lab's own draws: squared errors of the prediction, and what
    they are on average given x_t; both (bins, n), by brute force in float64.
    """
    *draws, labels = lab._probe(t, n)
    alpha, sigma, x0, eps = (draw.double() for draw in draws)
    x, points = alpha * x0 + sigma * eps, standard(lab)
    squares = (x[:, None] - alpha[:, :, None] * points).square().sum(2)  # (bins * n, N)
    if labels is not None and lab.cloud.labels is not None:
        squares[labels[:, None] != lab.cloud.labels] = math.inf
    weights = (-squares / (2 * sigma**2)).softmax(1)
    x0_hat = weights @ points
    spread = (weights @ points.square() - x0_hat.square()).mean(1)
    prediction = lab.config.training.prediction
    wanted = target(prediction, x0, eps, alpha, sigma)
    found = target(prediction, x0_hat, to_eps(x0_hat, x, alpha, sigma), alpha, sigma)
    # The prediction is affine in x0 given x_t, so its variance is that of x0 times the squared slope.
    slope = target(prediction, x0 + 1, to_eps(x0 + 1, x, alpha, sigma), alpha, sigma) - wanted
    errors = (found - wanted).square().mean(1)
    return errors.reshape(-1, n).numpy(), (slope[:, 0].square() * spread).reshape(-1, n).numpy()


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("conditional", [False, True])
def test_the_floor_is_the_exact_denoisers_loss(prediction: str, conditional: bool) -> None:
    lab = ToyLab(SMALL.changed(conditional=conditional, **{"training.prediction": prediction}))
    n, bins = 2000, 7
    by_timestep = lab.loss_by_timestep(n, bins)
    assert by_timestep.t.tolist() == [0, 166, 333, 500, 666, 832, 999]
    errors, expected = squared_errors(lab, by_timestep.t, n)
    np.testing.assert_allclose(by_timestep.floor.numpy(), expected.mean(1), rtol=1e-3, atol=1e-6)
    # What the floor stands for: the best network's loss. Each draw's error is its mean given x_t, plus chance.
    chance = (errors - expected).std(1) / math.sqrt(n)
    assert (np.abs(errors.mean(1) - expected.mean(1)) < 4.5 * chance + 1e-6).all()


@pytest.mark.parametrize("conditional", [False, True])
def test_no_loss_is_below_the_floor(conditional: bool) -> None:
    lab = ToyLab(ToyConfig(dataset="disc_grid", n_points=1000, conditional=conditional))
    losses(lab, 400)
    n, bins = 1000, 8
    by_timestep = lab.loss_by_timestep(n, bins)
    chance = squared_errors(lab, by_timestep.t, n)[0].std(1) / math.sqrt(n)
    assert (by_timestep.loss.numpy() > by_timestep.floor.numpy() - 4.5 * chance).all()


def test_a_trained_network_comes_close_to_the_floor(trained: ToyLab) -> None:
    by_timestep = trained.loss_by_timestep(n=2000, bins=8)
    # At t = 0 only a network that knows all points by heart would: measured 4.6, then 1.08 and at most 1.04.
    assert (by_timestep.loss[1:] < 1.2 * by_timestep.floor[1:]).all()
    untrained = ToyLab().loss_by_timestep(n=2000, bins=8)
    assert torch.equal(untrained.floor, by_timestep.floor)
    assert (untrained.loss[:4] > 1.1 * untrained.floor[:4]).all()


def test_the_floor_follows_the_knobs() -> None:
    lab = ToyLab(SMALL)
    for k in range(100):
        lab.loss_floor(20, 4)
        place = id(lab.schedule)
        for timesteps in range(300 + 7 * k, 304 + 7 * k):  # until a schedule gets the first one's place in memory
            lab.update(timesteps=timesteps)
            if id(lab.schedule) == place:
                assert torch.equal(lab.loss_floor(20, 4), ToyLab(lab.config).loss_floor(20, 4))
    for changes in ({"training.prediction": "x0"}, {"dataset": "heart"}, {"schedule": "linear"}):
        lab.update(**changes)
        assert torch.equal(lab.loss_floor(20, 4), ToyLab(lab.config).loss_floor(20, 4))


# ---- Quality, fresh data, own points


def rows(points: Tensor) -> set[tuple[float, ...]]:
    return {tuple(point) for point in points.tolist()}


def test_fresh_data_are_new_draws_of_the_same_law() -> None:
    lab = ToyLab(SMALL)
    fresh = lab.fresh(1000, 0)
    assert fresh.shape == (1000, 2)
    assert lab.cloud.support is not None
    assert lab.cloud.support(fresh).all()
    assert torch.equal(fresh, lab.fresh(1000, 0))
    assert not torch.equal(fresh, lab.fresh(1000, 1))
    assert not rows(fresh) & rows(lab.cloud.points), "training has seen none of them"
    assert ToyLab(SMALL.changed(seed=2**32 - 1)).fresh(5, 3).shape == (5, 2)


def test_of_own_points_fresh_is_a_random_part() -> None:
    points = make_cloud("heart", 50, 0).points
    lab = ToyLab(ToyConfig(points=points))
    part = lab.fresh(20, 0)
    assert part.shape == (20, 2)
    assert len(rows(part)) == 20
    assert rows(part) < rows(points)
    assert rows(lab.fresh(20, 1)) != rows(part)
    many = lab.fresh(120, 1)
    assert many.shape == (120, 2)
    assert rows(many) == rows(points)


def test_quality_reads_against_its_floor() -> None:
    lab = ToyLab()
    exact = lab.quality(1000, exact=True)
    assert exact.n == 1000
    assert exact.off is not None
    assert exact.distance < 3 * exact.distance_floor
    assert exact.off < 0.05
    assert lab.quality(500) == lab.quality(500)
    assert lab.quality(500) == lab.judge(samples(lab, 500))
    assert lab.quality(500, seed=1) != lab.quality(500)
    own = ToyLab(ToyConfig(points=TRIANGLE)).quality(9)
    assert own.off is None
    assert own.distance_floor == pytest.approx(0, abs=1e-6), "three points repeated are the same three points"


@pytest.mark.parametrize(
    "points", [TRIANGLE, TRIANGLE[:2], np.array(TRIANGLE), torch.tensor(TRIANGLE), tuple(TRIANGLE)]
)
def test_own_points_are_learned(points: Any) -> None:
    lab = ToyLab(ToyConfig(points=points, network=SMALL.network))
    assert lab.cloud.points.tolist() == torch.tensor(TRIANGLE)[: len(points)].tolist()
    losses(lab, 300)
    x = samples(lab, 200)
    before = samples(ToyLab(lab.config), 200)
    near, far = (torch.cdist(s, lab.cloud.points).amin(1).median() for s in (x, before))
    assert near < 0.5 * far
    lab.window  # noqa: B018 (it can be drawn)
    lab.field(500, 4)
    lab.loss_by_timestep(8, 3)


def test_labelled_points_of_ones_own_are_learned_by_class() -> None:
    cloud = make_cloud("two_discs", 400, 0)
    lab = ToyLab(ToyConfig(points=dataclasses.replace(cloud, name="mine"), conditional=True))
    losses(lab, 300)
    small, large = (samples(lab, 200, labels=k) for k in (0, 1))
    assert (small.sum(1) < 0).double().mean() > 0.95
    assert (large.sum(1) > 0).double().mean() > 0.95


@pytest.mark.parametrize("points", [[], [[0.0, 0.0]], [[1.0, 1.0]] * 5, [[0.0, math.nan], [1.0, 1.0]], "junk", 3])
def test_points_that_cannot_be_learned(points: Any) -> None:
    with pytest.raises(DataError):
        ToyLab(ToyConfig(points=points))


# ---- Threads


def test_several_threads_may_use_one_lab() -> None:
    """One trains, others sample, look inside and turn knobs that change classes, shapes and the schedule's length."""
    lab = ToyLab(SMALL.changed(dataset="disc_grid", conditional=True))
    faults: list[BaseException] = []

    def turn(k: int) -> None:
        lab.update(dataset=("rings", "disc_grid")[k % 2], timesteps=(1000, 25)[k % 2])
        lab.update(**{"network.width": (16, 24)[k % 2], "training.batch_size": 10 + k})

    jobs: list[Callable[[int], object]] = [
        lambda _: losses(lab, 3),
        lambda k: samples(lab, 30, seed=k),
        lambda k: samples(lab, 30, seed=k, exact=True, guidance_scale=2.0),
        lambda _: lab.loss_by_timestep(20, 5),
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
