"""Visitors: each has labs of their own, which no one else touches."""

import dataclasses
import itertools

import torch

from playground.fair_lock import FairLock
from playground.mnist.live import LiveConfig, watch
from playground.mnist.networks import NetworkConfig as ImageNetwork
from playground.sessions import Sessions, Visitor
from playground.toy import ToyLab
from tests.visitors import FEW, SMALL, Clock, arrive

pytest_plugins = ["tests.visitors"]

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
    assert len(sessions) == 2, "asking does not open a session"


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


def test_everybody_has_a_session_of_their_own(sessions: Sessions, clock: Clock) -> None:
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


def test_interleaved_sessions_do_not_touch_each_other(sessions: Sessions, clock: Clock) -> None:
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
