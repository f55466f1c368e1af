"""No more visitors than fit: the idle make room for the new, and whoever leaves stops what runs."""

import dataclasses
import threading

import pytest
import torch

from playground.sessions import FullHouse, Gone, Sessions
from playground.settings import SETTINGS
from playground.toy import ToyLab
from playground.toy.live import Control, live
from tests.visitors import FEW, PATIENCE, SMALL, Clock, arrive, in_threads, train

pytest_plugins = ["tests.visitors"]

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
