"""FairLock: one at a time, handed over in order of asking, given back whatever happens."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from playground.fair_lock import SLICE_SECONDS, FairLock, Turn, in_turns

PATIENCE = 60.0  # seconds for what takes a fraction of one, on a machine that has much else to do


def start(job: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=job, daemon=True)
    thread.start()
    return thread


def finish(*threads: threading.Thread) -> None:
    for thread in threads:
        thread.join(timeout=PATIENCE)
        assert not thread.is_alive()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def free(turns: FairLock) -> bool:
    """Whether a turn can be had without waiting."""
    got = threading.Event()

    def take() -> None:
        with turns.work():
            got.set()

    start(take)
    return got.wait(timeout=PATIENCE)


def use_up(turn: Turn) -> None:
    """Compute for longer than a slice."""
    end = time.perf_counter() + 2 * SLICE_SECONDS
    while time.perf_counter() < end:
        pass


def queue_up(turns: FairLock, count: int, order: list[int]) -> list[threading.Thread]:
    """Threads that wait for a turn, each asking after the one before is in the queue."""
    threads = []
    for k in range(count):

        def work(k: int = k) -> None:
            with turns.work():
                order.append(k)

        threads.append(start(work))
        until(lambda k=k: len(turns._waiting) == k + 1)  # type: ignore[misc]
    return threads


def test_turns_are_handed_over_in_the_order_of_asking() -> None:
    turns, order = FairLock(), list[int]()
    with turns.work():
        assert [turns.wanted] == [False]
        threads = queue_up(turns, 8, order)
        assert [turns.wanted] == [True]
        assert order == [], "nobody works while one does"
    finish(*threads)
    assert order == list(range(8))
    assert free(turns)


def test_a_turn_is_not_free_for_others_to_grab() -> None:
    """Whoever ends a turn and asks again at once is behind those who waited."""
    turns, order = FairLock(), list[int]()
    with turns.work():
        threads = queue_up(turns, 3, order)
    with turns.work():
        order.append(99)
    finish(*threads)
    assert order == [0, 1, 2, 99]


def test_one_at_a_time() -> None:
    turns, inside, most = FairLock(), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with turns.work() as turn:
                inside += 1
                most = max(most, inside)
                time.sleep(0.0002)
                inside -= 1
                with turn.rest():
                    time.sleep(0.0001)
                inside += 1
                most = max(most, inside)
                inside -= 1

    finish(*[start(work) for _ in range(6)])
    assert (inside, most) == (0, 1)
    assert free(turns)


def test_sharing_lets_a_waiter_in_once_the_slice_is_used_up() -> None:
    turns, order = FairLock(), list[int]()
    with turns.work() as turn:
        threads = queue_up(turns, 2, order)
        use_up(turn)
        turn.share()
        assert order == [0, 1], "both were there first"
        order.append(99)
        turn.share()  # nobody waits: the turn goes on
        assert turn._held
    finish(*threads)
    assert order == [0, 1, 99]


def test_sharing_early_keeps_the_turn() -> None:
    turns, order = FairLock(), list[int]()
    with turns.work() as turn:
        threads = queue_up(turns, 1, order)
        turn._since = time.perf_counter() + PATIENCE  # however slow this machine: the slice has only begun
        turn.share()
        assert order == []
    finish(*threads)


def test_resting_lets_others_in_and_comes_back() -> None:
    turns, order = FairLock(), list[int]()
    with turns.work() as turn:
        threads = queue_up(turns, 3, order)
        with turn.rest():
            finish(*threads)
            assert free(turns)
        assert order == [0, 1, 2]
        threads = queue_up(turns, 1, order)
        assert len(order) == 3, "held again"
    finish(*threads)


def steps(turns: FairLock) -> Iterator[int]:
    with turns.work() as turn:
        for k in range(3):
            with turn.rest():
                yield k


def test_closing_a_generator_that_rests_neither_waits_nor_holds() -> None:
    turns = FairLock()
    run = steps(turns)
    assert next(run) == 0
    busy = turns.work()
    busy.__enter__()  # somebody else computes, and will not stop: to wait would be to wait for ever
    closing = start(run.close)  # type: ignore[attr-defined]
    finish(closing)
    assert not turns.wanted
    assert turns._busy, "the other's turn was not ended for them"
    busy.__exit__(None, None, None)
    assert free(turns)


def test_a_generator_that_rests_may_be_closed_in_peace() -> None:
    turns = FairLock()
    run = steps(turns)
    next(run)
    run.close()  # type: ignore[attr-defined]
    assert free(turns)
    assert list(steps(turns)) == [0, 1, 2]
    assert free(turns)


def test_a_fault_gives_the_turn_back() -> None:
    turns = FairLock()
    with pytest.raises(ZeroDivisionError), turns.work():
        1 / 0  # noqa: B018
    assert free(turns)
    with pytest.raises(ZeroDivisionError), turns.work() as turn, turn.rest():
        1 / 0  # noqa: B018
    assert free(turns)


def test_in_turns_each_step_is_computed_in_a_turn_and_handed_out_without_one() -> None:
    turns, held = FairLock(), list[bool]()

    def work() -> Iterator[int]:
        for k in range(4):
            held.append(turns._busy)
            yield k

    found = []
    for step in in_turns(work(), turns):
        found.append(step)
        assert not turns._busy
        assert free(turns)
    assert found == [0, 1, 2, 3]
    assert held == [True] * 4
    assert free(turns)


def test_in_turns_a_fault_gives_the_turn_back() -> None:
    turns = FairLock()

    def work() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    run = in_turns(work(), turns)
    assert next(run) == 1
    with pytest.raises(ZeroDivisionError):
        next(run)
    assert free(turns)


def test_two_runs_in_turns_both_get_on() -> None:
    """Neither starves the other."""
    turns, order = FairLock(), list[str]()

    def work(name: str) -> None:
        for _ in in_turns(iter(range(30)), turns):
            with turns.work():
                order.append(name)

    with turns.work():
        a, b = start(lambda: work("a")), start(lambda: work("b"))
        until(lambda: len(turns._waiting) == 2)
    finish(a, b)
    assert (order.count("a"), order.count("b")) == (30, 30)
