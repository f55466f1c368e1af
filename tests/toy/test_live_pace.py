"""Pause, pace and end of a run that is watched, and a new experiment under it."""

import contextlib
import dataclasses
import itertools
import threading
import time
from collections.abc import Generator

import pytest
import torch

from playground.fair_lock import FairLock
from playground.toy import ToyLab
from playground.toy.live import (
    Control,
    DistanceMeter,
    Frame,
    live,
)
from tests.toy.live_cases import SHORT, SMALL, one_by_one, run, studied

pytest_plugins = ["tests.toy.live_cases"]


PATIENCE = 60.0  # seconds, for what takes a fraction of one unless the machine is busy


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
