"""Live training: frames come, no loss is lost between them, and a run ends when and as it should."""

import contextlib
import dataclasses
import itertools
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any

import pytest
import torch

from playground.diffusion.metrics import sliced_wasserstein
from playground.fair_lock import FairLock
from playground.settings import SETTINGS, Settings
from playground.toy import PRESETS, ToyConfig, ToyLab
from playground.toy.live import (
    FIELD_GRID,
    FIELD_LEVELS,
    START_SEED,
    Control,
    DistanceMeter,
    Frame,
    Study,
    _states,
    live,
    look,
    study,
    warm_up,
)
from playground.toy.network import NetworkConfig
from tests.toy.fields import field_of

SMALL = ToyConfig(n_points=300, network=NetworkConfig(width=16, depth=2, fourier_features=8))
SHORT = dataclasses.replace(SETTINGS, preview_points=40, max_training_steps=30)
PATIENCE = 60.0  # seconds, for what takes a fraction of one unless the machine is busy


@pytest.fixture
def lab() -> ToyLab:
    return ToyLab(SMALL)


def run(lab: ToyLab, control: Control | None = None, settings: Settings = SHORT) -> Iterator[Frame]:
    return live(lab, control or Control(gentle=False), DistanceMeter(settings.preview_points), settings)


def studied(lab: ToyLab, steps: int, exact: bool = False, settings: Settings = SETTINGS) -> Study:
    """A study of a path of at most `steps` steps, under a lock of its own."""
    now = lab.now()
    with FairLock().work() as turn:
        return study(now, _states(now, steps, settings, turn), turn, exact)


def looked(lab: ToyLab, settings: Settings = SHORT, exact: bool = False, note: str = "") -> Frame:
    with FairLock().work() as turn:
        return look(lab, DistanceMeter(settings.preview_points), turn, exact, note, settings)


def one_by_one(settings: Settings = SHORT) -> dict[str, Any]:
    """Control and settings for a run that yields a frame after every step."""
    fast = dataclasses.replace(settings, frames_per_second=1000.0, study_seconds=0.0)
    return {"control": Control(steps_per_second=1000.0, gentle=False), "settings": fast}


# ---- What a run hands out


def test_frames_come_and_the_last_one_has_stopped(lab: ToyLab) -> None:
    *running, last = run(lab, **one_by_one())
    assert [frame.step for frame in running] == list(range(1, 31))
    assert all(frame.running and not frame.note for frame in running)
    assert running[0].study is not None, "the first frame has everything"
    assert running[0].distance is not None
    assert not last.running
    assert last.study is not None
    assert last.distance is not None
    assert (last.step, last.run) == (lab.step, lab.run) == (30, 1)
    for frame in (*running, last):
        assert frame.x.shape == (40, 2)
        assert frame.x.isfinite().all()
        assert frame.steps_per_second >= 0
    assert [c.step for c in lab.timeline][-1] == 30, "where it stopped can be returned to"


@pytest.mark.parametrize("every_step", [True, False])
def test_losses_cover_every_step_once(lab: ToyLab, every_step: bool) -> None:
    alone = [step.loss for step in ToyLab(SMALL).train(steps=30)]
    frames = list(run(lab, **one_by_one()) if every_step else run(lab))
    points = [point for frame in frames for point in frame.losses]
    ends = [step for step, _ in points]
    assert ends[-1] == 30
    groups = [alone[start:end] for start, end in itertools.pairwise([0, *ends])]
    assert all(groups)
    assert [loss for _, loss in points] == pytest.approx([sum(group) / len(group) for group in groups])
    assert len(points) == 30 if every_step else len(points) < 30


def test_watching_changes_nothing(lab: ToyLab) -> None:
    for _ in run(lab, **one_by_one()):
        pass
    alone = ToyLab(SMALL)
    for _ in alone.train(steps=30):
        pass
    assert torch.equal(lab.sample(20).x, alone.sample(20).x)


def test_the_start_noise_is_fixed(lab: ToyLab) -> None:
    assert torch.equal(looked(lab).x, looked(lab).x)
    path = studied(lab, 10).path_x
    assert torch.equal(path[0], studied(lab, 7).path_x[0])
    first = next(run(lab))
    assert first.study is not None
    torch.testing.assert_close(first.study.path_x[0], path[0, :40])
    other = ToyLab(SMALL.changed(seed=5))
    scaled = [(s.path_x[0] - o.mean) / o.std for o, s in ((lab, studied(lab, 5)), (other, studied(other, 5)))]
    torch.testing.assert_close(scaled[0], scaled[1])


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_preview_takes_few_steps(name: str) -> None:
    lab = ToyLab(PRESETS[name].config.changed(n_points=100))
    seen = studied(lab, SETTINGS.preview_steps)
    assert len(seen.path_t) == min(lab.config.sampling.steps, SETTINGS.preview_steps) + 1
    lab.update(**{"sampling.steps": 3})
    assert len(studied(lab, SETTINGS.preview_steps).path_t) == 4


def test_a_study_fits_together(lab: ToyLab) -> None:
    seen = studied(lab, 100, exact=True)
    states = len(seen.path_t)
    assert seen.path_x.shape == seen.path_x0.shape == (states, 500, 2)
    assert (seen.path_t.diff() <= 0).all()
    assert seen.path_t[-1] == 0
    levels = [round(k * 999 / (FIELD_LEVELS - 1)) for k in range(FIELD_LEVELS)]
    assert seen.field_t.tolist() == levels
    assert seen.exact is not None
    assert seen.learned.shape == seen.exact.shape == (FIELD_LEVELS, FIELD_GRID**2, 2)
    assert torch.equal(seen.learned[3], field_of(lab.now(), levels[3], FIELD_GRID).learned)
    assert studied(lab, 5).exact is None


def test_a_look_is_a_frame_that_stands_still(lab: ToyLab) -> None:
    for _ in lab.train(steps=4):
        pass
    frame = looked(lab, exact=True, note="words")
    assert (frame.step, frame.run, frame.running, frame.note, frame.losses) == (4, 1, False, "words", [])
    assert frame.study is not None
    assert frame.study.exact is not None
    assert lab.step == 4


@pytest.mark.parametrize(("asked", "taken"), [(7, 7), (60, 60), (500, 100)])
def test_a_lab_at_rest_is_drawn_in_the_steps_asked_for_up_to_a_limit(lab: ToyLab, asked: int, taken: int) -> None:
    lab.update(**{"sampling.steps": asked, "sampling.sampler": "ddim"})
    assert SETTINGS.still_steps == 100
    frame = looked(lab)
    assert frame.calls == taken
    assert frame.study is not None
    assert torch.equal(frame.study.path_x[-1], frame.x), "what is shown is the end of the very path that is scrubbed"
    torch.testing.assert_close(frame.x, lab.sample(40, steps=taken, seed=START_SEED).x[-1])
    assert len(frame.study.path_t) == min(taken + 1, 40)
    *running, last = run(lab, **one_by_one())
    assert {f.calls for f in running} == {min(asked, SETTINGS.preview_steps)}
    assert last.calls == taken
    for seen in (running[0], last):
        assert seen.study is not None
        assert torch.equal(seen.study.path_x[-1], seen.x)


def test_the_distance_meter_measures_against_fresh_data_and_notices_new_ones(lab: ToyLab) -> None:
    meter = DistanceMeter(200)
    distance, floor = meter.measure(lab.now(), lab.now().fresh(200, 50))
    assert 0 < floor < 0.15
    assert distance < 2 * floor, "a draw of the data is at the floor"
    far, same_floor = meter.measure(lab.now(), lab.now().fresh(200, 50) + 1)
    assert same_floor == floor
    # A shift by (1, 1) is one of √2 along itself, and on average over all directions the root of half its square.
    assert far == pytest.approx(1, abs=3 * floor)
    assert meter.measure(lab.now(), lab.now().fresh(200, 50)) == (distance, floor)
    lab.update(dataset="heart")
    assert meter.measure(lab.now(), lab.now().fresh(200, 50))[1] != floor
    single = sliced_wasserstein(lab.now().fresh(200, 50), lab.now().fresh(200, 0), 64)
    assert meter.measure(lab.now(), lab.now().fresh(200, 50))[0] == pytest.approx(single, rel=0.7)


def test_warming_up_trains_no_one_elses_lab(lab: ToyLab) -> None:
    before = torch.get_rng_state()
    warm_up()
    assert torch.equal(torch.get_rng_state(), before)
    assert lab.step == 0


# ---- Pausing, pacing


def test_a_pause_between_two_frames_ends_the_run_at_once(lab: ToyLab) -> None:
    control = Control(gentle=False)
    frames = run(lab, control)
    first = next(frames)
    control.paused = True
    rest = list(frames)
    assert len(rest) == 1
    assert (rest[0].running, rest[0].step, lab.step) == (False, first.step, first.step)
    assert rest[0].note == ""
    assert rest[0].losses == []


def test_a_run_that_is_paused_before_it_begins_is_one_step(lab: ToyLab) -> None:
    *_, last = run(lab, Control(paused=True))
    assert lab.step == 1
    assert not last.running


@pytest.mark.parametrize("control", [Control(steps_per_second=0.001, gentle=False), Control(gentle=True)], ids=str)
def test_a_pause_is_noticed_while_it_waits(lab: ToyLab, control: Control) -> None:
    # At a step in 1,000 s, or, gently, a frame in 1,000 s.
    settings = dataclasses.replace(SHORT, frames_per_second=0.001)
    frames: list[Frame] = []
    thread = threading.Thread(target=lambda: frames.extend(run(lab, control, settings)), daemon=True)
    thread.start()
    deadline = time.monotonic() + PATIENCE
    while lab.step == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)  # into the nap; if that has not begun, the pause is noticed all the sooner
    control.paused = True
    thread.join(timeout=PATIENCE)
    assert not thread.is_alive()
    assert not frames[-1].running
    assert lab.step <= 3


def test_slow_motion_draws_every_step_as_long_as_frames_can_follow(lab: ToyLab) -> None:
    settings = dataclasses.replace(SHORT, frames_per_second=20.0, max_training_steps=6)
    *slow, _ = run(lab, Control(steps_per_second=20.0, gentle=False), settings)
    assert [frame.step for frame in slow] == [1, 2, 3, 4, 5, 6]
    lab.reset()
    settings = dataclasses.replace(settings, frames_per_second=0.5, max_training_steps=20)
    *fast, _ = run(lab, Control(steps_per_second=500.0, gentle=False), settings)
    assert len(fast) < 20


def test_gentle_shows_every_early_step(lab: ToyLab) -> None:
    settings = dataclasses.replace(SHORT, frames_per_second=50.0, sampling_share=1.0, max_training_steps=12)
    *frames, _ = run(lab, Control(gentle=True), settings)
    steps = [frame.step for frame in frames]
    assert steps[0] == 1
    assert all(after <= 1.25 * before + 2 for before, after in itertools.pairwise(steps))


def test_gentle_begins_anew_with_a_new_experiment(lab: ToyLab) -> None:
    for _ in lab.train(steps=400):
        pass
    settings = dataclasses.replace(SHORT, frames_per_second=1000.0, max_training_steps=410)
    frames = run(lab, Control(gentle=True), settings)
    assert next(frames).step == 401
    lab.update(dataset="heart")
    steps = [frame.step for frame in itertools.islice(frames, 8)]
    assert steps[0] == 1
    assert all(after <= 1.25 * before + 2 for before, after in itertools.pairwise(steps))


def test_a_run_takes_turns_and_yields_frames_without_the_lock(lab: ToyLab) -> None:
    lock = FairLock()
    frames = live(lab, Control(gentle=False), DistanceMeter(40), SHORT, lock)
    assert isinstance(frames, Generator)
    next(frames)
    with lock.work():  # free while the run rests; and a run that is closed now does not wait for it
        frames.close()
        assert not lock.wanted
    with lock.work():
        assert lab.step >= 1


def test_the_speed_may_change_while_it_runs(lab: ToyLab) -> None:
    control = Control(steps_per_second=0.001, gentle=False)
    frames = run(lab, control)
    next(frames)
    control.steps_per_second = None
    assert [frame.step for frame in frames][-1] == 30


# ---- The end


def test_a_run_has_a_limit_of_steps(lab: ToyLab) -> None:
    *_, last = run(lab)
    assert lab.step == 30
    assert "30 steps" in last.note
    *_, again = run(lab)
    assert lab.step == 31, "pressing Train again does one more and says so again"
    assert "31 steps" in again.note


def test_a_run_has_a_limit_of_time(lab: ToyLab) -> None:
    *_, last = run(lab, settings=dataclasses.replace(SHORT, max_training_seconds=0.0))
    assert "Press Train to go on" in last.note
    assert lab.step < 30
    step = lab.step
    *_, last = run(lab, settings=dataclasses.replace(SHORT, max_training_seconds=0.0))
    assert lab.step > step


@pytest.mark.parametrize("rate", [1.0, 100.0])
def test_divergence_is_told_and_undone(lab: ToyLab, rate: float) -> None:
    lab = ToyLab()
    for _ in lab.train(steps=30):
        pass
    lab.keep()
    good = lab.sample(20).x
    lab.update(**{"training.learning_rate": rate, "training.warmup_steps": 0})
    *running, last = run(lab, settings=dataclasses.replace(SHORT, max_training_steps=5000))
    assert "diverged" in last.note
    assert f"{rate:g}" in last.note
    assert not last.running
    for frame in (*running, last):
        assert frame.x.isfinite().all()
        assert frame.study is None or frame.study.learned.isfinite().all()
    assert lab.sample(20).x.isfinite().all()
    assert lab.timeline[-1].step < lab.step, "the step that went wrong is not on the timeline"
    assert lab.rewind(30) == 30
    assert torch.equal(lab.sample(20).x, good)
    lab.update(**{"training.learning_rate": 0.01})
    assert [frame.step for frame in run(lab, settings=dataclasses.replace(SHORT, max_training_steps=40))][-1] == 40
    assert lab.sample(20).x.isfinite().all()


def test_closing_a_run_stops_the_training(lab: ToyLab) -> None:
    frames = run(lab)
    assert isinstance(frames, Generator)
    with contextlib.closing(frames):
        step = next(frames).step
    time.sleep(0.05)
    assert lab.step == step
    assert list(frames) == []
    assert [frame.step for frame in run(lab)][-1] == 30


# ---- A new experiment under a run


def test_frames_know_their_experiment(lab: ToyLab) -> None:
    frames = run(lab, **one_by_one())
    first = next(frames)
    lab.update(dataset="heart")
    second = next(frames)
    assert (first.run, second.run) == (1, 2)
    assert (second.step, second.losses[0][0]) == (1, 1)


def test_losses_of_the_old_experiment_are_not_the_new_ones(lab: ToyLab) -> None:
    settings = dataclasses.replace(SHORT, frames_per_second=0.001)
    other = SMALL.changed(dataset="heart", seed=7)
    steps = 0

    def exchange_in_step_9(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == 9:
            lab.restart(other)

    old, new = ([step.loss for step in ToyLab(config).train(steps=30)] for config in (SMALL, other))
    lab.trainer.network.register_forward_pre_hook(exchange_in_step_9)
    *_, last = run(lab, settings=settings)
    assert last.run == 2
    ((step, loss),) = last.losses
    assert step == 30
    # The ninth step was under way and counts; the first had a frame, and 2 to 8 are gone.
    assert loss == pytest.approx((old[8] + sum(new)) / 31)


def test_knobs_may_be_turned_from_another_thread_while_it_is_studied(lab: ToyLab) -> None:
    """A schedule that gets shorter, between the choice of the levels to show and their use."""
    faults: list[BaseException] = []
    done = threading.Event()

    def turn() -> None:
        try:
            for timesteps in itertools.cycle((1000, 30)):
                if done.is_set():
                    return
                lab.update(**{"schedule.timesteps": timesteps})
        except BaseException as fault:
            faults.append(fault)

    thread = threading.Thread(target=turn, daemon=True)
    thread.start()
    try:
        for _ in range(15):
            studied(lab, 5)
    finally:
        done.set()
        thread.join(timeout=PATIENCE)
    assert not faults
