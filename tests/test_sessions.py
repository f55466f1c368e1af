"""Visitors: each with a lab of their own, no more than fit, and the idle make room for the new."""

import dataclasses
import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from playground.fair_lock import FairLock
from playground.mnist.live import LiveConfig, watch
from playground.mnist.networks import NetworkConfig as ImageNetwork
from playground.sessions import FullHouse, Gone, Sessions, Visitor
from playground.settings import SETTINGS
from playground.toy import ToyConfig, ToyLab
from playground.toy.live import Control, live
from playground.toy.network import NetworkConfig

FEW = dataclasses.replace(SETTINGS, max_visitors=3, max_idle_seconds=100.0, preview_points=40, max_training_steps=20)
SMALL = ToyConfig(n_points=100, network=NetworkConfig(width=8, depth=1, fourier_features=4))
PATIENCE = 60.0  # seconds for what takes a fraction of one, on a machine that has much else to do


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(FEW, clock)


def arrive(sessions: Sessions, clock: Clock, *names: str) -> list[Visitor]:
    """Visitors who come one second after the other."""
    visitors = []
    for name in names:
        clock.now += 1
        visitors.append(sessions.visitor(name))
    return visitors


def train(visitor: Visitor, steps: int = 5) -> list[float]:
    return [step.loss for step in visitor.lab.train(steps=steps)]


def in_threads(jobs: list[Callable[[], Any]]) -> None:
    """Run all at once; raise what any of them raised."""
    faults: list[BaseException] = []
    start = threading.Barrier(len(jobs))

    def work(job: Callable[[], Any]) -> None:
        try:
            start.wait(timeout=PATIENCE)
            job()
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=PATIENCE)
        assert not thread.is_alive()
    if faults:
        raise faults[0]


# ---- A visitor


def test_a_visitor_is_welcomed_once(sessions: Sessions, clock: Clock) -> None:
    ada, ben = arrive(sessions, clock, "ada", "ben")
    assert sessions.visitor("ada") is ada
    assert ada.lab is not ben.lab
    assert ada.meter is not ben.meter
    assert ada.lab.step == 0
    assert not ada.training
    assert len(sessions) == 2
    assert "ada" in sessions
    assert "eve" not in sessions
    assert len(sessions) == 2, "to ask is not to come"


def test_interleaved_visitors_do_not_touch_each_other(sessions: Sessions, clock: Clock) -> None:
    configs = {"ada": SMALL, "ben": SMALL.changed(dataset="rings", conditional=True), "cem": SMALL.changed(seed=9)}
    alone = {}
    for name, config in configs.items():
        lab = ToyLab(config)
        alone[name] = [step.loss for step in lab.train(steps=12)], lab.sample(20).x
    for name, config in configs.items():
        sessions.visitor(name).lab.restart(config)
    runs = {name: sessions.visitor(name).lab.train() for name in configs}
    losses: dict[str, list[float]] = {name: [] for name in configs}
    for k in range(12):
        for name in itertools.islice(itertools.cycle(configs), k, k + 3):  # in changing order
            losses[name].append(next(runs[name]).loss)
            sessions.visitor(name).lab.sample(3)
    for name in configs:
        assert losses[name] == alone[name][0]
        assert torch.equal(sessions.visitor(name).lab.sample(20).x, alone[name][1])


def test_a_new_run_ends_the_one_before_and_keeps_the_speed(sessions: Sessions) -> None:
    visitor = sessions.visitor("ada")
    visitor.control.steps_per_second, visitor.control.gentle = 20.0, False
    first = visitor.begin()
    assert visitor.training
    second = visitor.begin()
    assert first.paused
    assert not second.paused
    assert visitor.control is second
    assert (second.steps_per_second, second.gentle) == (20.0, False)


# ---- A visitor's digits


def digits(seed: int) -> LiveConfig:
    """A live run on digits, small enough for many."""
    config = LiveConfig.scratch(14, seed, batch_size=4)
    return dataclasses.replace(config, network=ImageNetwork(channels=(8,), patch=2))


def test_everybody_has_a_desk_of_their_own(sessions: Sessions, clock: Clock) -> None:
    ada, ben = arrive(sessions, clock, "ada", "ben")
    ada.mnist.teach(torch.zeros(1, 28, 28), 3)
    ada.mnist.real_seed = 5
    ada.mnist.ask()
    assert ada.mnist.lab is ada.mnist.lab
    assert ada.mnist.lab is not ben.mnist.lab
    assert (len(ben.mnist.drawn), ben.mnist.real_seed, ben.mnist.asked) == (0, 0, 0)
    assert ada.mnist.busy
    assert not ben.mnist.busy
    assert not torch.equal(ada.mnist.images()[0], ben.mnist.images()[0])


def test_interleaved_desks_do_not_touch_each_other(sessions: Sessions, clock: Clock) -> None:
    visitors = arrive(sessions, clock, "ada", "ben", "cem")
    alone = []
    for seed in range(3):
        lab = Visitor(ToyLab(SMALL), visitors[0].meter).mnist.lab
        lab.begin(digits(seed))
        straight = [step.loss for step in lab.train(6)]
        lab.use_trained()
        alone.append((straight, lab.sample(n=2, steps=3).x))
    for seed, visitor in enumerate(visitors):
        visitor.mnist.lab.begin(digits(seed))
    runs = [visitor.mnist.lab.train() for visitor in visitors]
    losses: list[list[float]] = [[], [], []]
    for k in range(6):
        for which in (k % 3, (k + 1) % 3, (k + 2) % 3):
            losses[which].append(next(runs[which]).loss)
    for visitor, mine, (steps, x) in zip(visitors, losses, alone, strict=True):
        visitor.mnist.lab.use_trained()
        assert mine == steps
        assert torch.equal(visitor.mnist.lab.sample(n=2, steps=3).x, x)


def test_who_trains_digits_trains(sessions: Sessions, clock: Clock) -> None:
    ada, ben, _ = arrive(sessions, clock, "ada", "ben", "cem")
    ada.mnist.begin()
    assert ada.training
    assert sessions.training == 1
    ada.begin()
    assert sessions.training == 1, "both labs, one visitor"
    ada.control.paused = True
    assert sessions.training == 1
    ben.begin()
    assert sessions.training == 2
    clock.now += 1
    arrive(sessions, clock, "dot", "eve")
    assert [name in sessions for name in ("ada", "ben", "cem")] == [True, True, False], "who trains stays"
    ada.mnist.control.paused = True
    assert sessions.training == 1


def test_who_drew_digits_has_something_to_lose(sessions: Sessions, clock: Clock) -> None:
    ada, _, _ = arrive(sessions, clock, "ada", "ben", "cem")
    ada.mnist.teach(torch.zeros(1, 28, 28), 3)
    arrive(sessions, clock, "dot")
    assert [name in sessions for name in ("ada", "ben", "cem")] == [True, False, True]


def test_leaving_stops_both_labs(sessions: Sessions) -> None:
    visitor = sessions.visitor("ada")
    toy, control = visitor.begin(), visitor.mnist.begin()
    run = visitor.mnist.lab.begin(digits(0))
    previews = watch(run, control, dataclasses.replace(FEW, max_training_steps=10**9), FairLock())
    at = next(previews).step
    sessions.leave("ada")
    assert toy.paused
    assert control.paused
    assert [preview.running for preview in previews] == [False]
    assert run.step == at


# ---- Making room


def test_the_one_who_stood_still_the_longest_leaves(sessions: Sessions, clock: Clock) -> None:
    arrive(sessions, clock, "ada", "ben", "cem", "ada")  # ada was seen again: ben is the oldest now
    arrive(sessions, clock, "dot")
    assert [name in sessions for name in ("ada", "ben", "cem", "dot")] == [True, False, True, True]
    arrive(sessions, clock, "eve")
    assert [name in sessions for name in ("ada", "cem", "dot", "eve")] == [True, False, True, True]
    assert len(sessions) == 3


def test_who_trains_stays(sessions: Sessions, clock: Clock) -> None:
    ada, _, _ = arrive(sessions, clock, "ada", "ben", "cem")
    ada.begin()
    arrive(sessions, clock, "dot", "eve")
    assert [name in sessions for name in ("ada", "ben", "cem", "dot", "eve")] == [True, False, False, True, True]


def test_a_full_house_turns_the_next_one_away_and_nobody_else(sessions: Sessions, clock: Clock) -> None:
    visitors = arrive(sessions, clock, "ada", "ben", "cem")
    for visitor in visitors:
        visitor.begin()
    with pytest.raises(FullHouse, match="try again"):
        sessions.visitor("dot")
    assert len(sessions) == 3
    assert "dot" not in sessions
    assert [sessions.visitor(name) for name in ("ada", "ben", "cem")] == visitors, "who is here stays here"
    visitors[1].control.paused = True
    sessions.visitor("dot")
    assert "ben" not in sessions


def test_the_idle_go_when_somebody_comes(sessions: Sessions, clock: Clock) -> None:
    ada, ben = arrive(sessions, clock, "ada", "ben")
    ada.begin()
    clock.now += 101
    assert len(sessions) == 2
    assert sessions.visitor("ben") is ben, "back just in time"
    clock.now += 101
    arrive(sessions, clock, "cem")
    assert [name in sessions for name in ("ada", "ben", "cem")] == [True, False, True]
    ada.control.paused = True
    clock.now += 99
    arrive(sessions, clock, "dot")
    assert [name in sessions for name in ("ada", "cem", "dot")] == [False, True, True]


def test_who_was_let_go_starts_anew(sessions: Sessions, clock: Clock) -> None:
    (ada,) = arrive(sessions, clock, "ada")
    train(ada)
    for visitor in arrive(sessions, clock, "ben", "cem"):
        train(visitor)
    arrive(sessions, clock, "dot")
    assert "ada" not in sessions
    with pytest.raises(Gone, match="Reload"):
        sessions.known("ada")
    assert "ada" not in sessions, "only a page that opens takes a place"
    assert sessions.visitor("ada").lab.step == 0
    assert ada.lab.step == 5


def test_those_with_nothing_to_lose_leave_first(sessions: Sessions, clock: Clock) -> None:
    ada, _, cem = arrive(sessions, clock, "ada", "ben", "cem")
    train(ada)
    train(cem)
    arrive(sessions, clock, "dot")
    assert [name in sessions for name in ("ada", "ben", "cem", "dot")] == [True, False, True, True]
    arrive(sessions, clock, "eve")
    assert [name in sessions for name in ("ada", "cem", "dot", "eve")] == [True, True, False, True]


def test_who_is_known_is_seen(sessions: Sessions, clock: Clock) -> None:
    ada, ben, _ = arrive(sessions, clock, "ada", "ben", "cem")
    clock.now += 1
    assert sessions.known("ada") is ada
    arrive(sessions, clock, "dot")
    assert [name in sessions for name in ("ada", "ben", "cem", "dot")] == [True, False, True, True]
    clock.now += 99
    assert sessions.known("ada") is ada
    clock.now += 2
    arrive(sessions, clock, "eve")
    assert [name in sessions for name in ("ada", "cem", "dot", "eve")] == [True, False, False, True]
    assert ben.lab.step == 0, "it still holds what its page held"


def test_strangers_are_gone(sessions: Sessions) -> None:
    with pytest.raises(Gone):
        sessions.known("nobody")
    assert len(sessions) == 0


def test_those_who_train_are_counted(sessions: Sessions, clock: Clock) -> None:
    ada, ben, _ = arrive(sessions, clock, "ada", "ben", "cem")
    assert sessions.training == 0
    ada.begin()
    ada.begin()
    ben.begin()
    assert sessions.training == 2
    ada.control.paused = True
    assert sessions.training == 1
    sessions.leave("ben")
    assert sessions.training == 0


# ---- Leaving


def test_leaving_stops_the_run(sessions: Sessions) -> None:
    visitor = sessions.visitor("ada")
    control = visitor.begin()
    frames = live(visitor.lab, control, visitor.meter, dataclasses.replace(FEW, max_training_steps=10**9))
    first = next(frames)
    sessions.leave("ada")
    assert "ada" not in sessions
    assert [frame.running for frame in frames] == [False]
    assert visitor.lab.step == first.step
    assert sessions.visitor("ada") is not visitor


def test_leaving_stops_a_run_in_another_thread(sessions: Sessions) -> None:
    visitor = sessions.visitor("ada")
    visitor.control.gentle = False
    control, started = visitor.begin(), threading.Event()

    def watch() -> None:
        for _ in live(visitor.lab, control, visitor.meter, dataclasses.replace(FEW, max_training_steps=10**9)):
            started.set()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    assert started.wait(timeout=PATIENCE)
    sessions.leave("ada")
    thread.join(timeout=PATIENCE)
    assert not thread.is_alive()


def test_a_stranger_may_leave(sessions: Sessions) -> None:
    sessions.leave("nobody")
    sessions.visitor("ada")
    sessions.leave("ada")
    sessions.leave("ada")
    assert len(sessions) == 0


# ---- Threads


def test_eight_visitors_at_once_are_as_each_alone() -> None:
    sessions, found = Sessions(dataclasses.replace(FEW, max_visitors=8)), {}
    configs = {f"visitor {k}": SMALL.changed(seed=k, dataset=("spiral", "heart")[k % 2]) for k in range(8)}

    def visit(name: str) -> None:
        visitor = sessions.visitor(name)
        visitor.lab.restart(configs[name])
        frames = list(live(visitor.lab, Control(gentle=False), visitor.meter, FEW))
        found[name] = visitor.lab.step, frames[-1].x, visitor.lab.sample(20, sampler="ddpm").x

    in_threads([lambda name=name: visit(name) for name in configs])  # type: ignore[misc]
    assert len(sessions) == 8
    for name, config in configs.items():
        lab = ToyLab(config)
        for _ in lab.train(steps=20):
            pass
        step, preview, path = found[name]
        assert step == 20
        assert preview.shape == (40, 2)
        assert torch.equal(path, lab.sample(20, sampler="ddpm").x)


def test_one_page_in_eight_threads_is_one_visitor() -> None:
    sessions, found = Sessions(FEW), []
    in_threads([lambda: found.append(sessions.visitor("ada")) for _ in range(8)])
    assert len(sessions) == 1
    assert len(found) == 8
    assert all(visitor is found[0] for visitor in found)


def test_coming_and_going_in_eight_threads() -> None:
    sessions = Sessions(FEW)

    def visit(k: int) -> None:
        for turn in range(12):
            name = f"{k} {turn % 3}"
            try:
                visitor = sessions.visitor(name)
            except FullHouse:
                continue
            if turn % 2:
                visitor.begin()
            assert len(sessions) <= FEW.max_visitors
            if turn % 3:
                sessions.leave(name)

    in_threads([lambda k=k: visit(k) for k in range(8)])  # type: ignore[misc]
    assert len(sessions) <= FEW.max_visitors


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_MAX_VISITORS", "5")
    monkeypatch.setenv("PLAYGROUND_FPS", "2.5")
    monkeypatch.delenv("PLAYGROUND_TORCH_THREADS", raising=False)
    settings = type(SETTINGS).from_environment()
    assert (settings.max_visitors, settings.frames_per_second, settings.torch_threads) == (5, 2.5, 1)
    monkeypatch.setenv("PLAYGROUND_MAX_VISITORS", "many")
    with pytest.raises(ValueError, match="many"):
        type(SETTINGS).from_environment()
