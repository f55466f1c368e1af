"""FairLock: one thread at a time, in the order of asking, released whatever happens."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from playground.fair_lock import SLICE_SECONDS, FairLock, Turn, in_turns

PATIENCE = 60.0  # seconds, for what takes a fraction of one unless the machine is busy


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


def free(lock: FairLock) -> bool:
    """Whether the lock is free."""
    got = threading.Event()

    def take() -> None:
        with lock.work():
            got.set()

    start(take)
    return got.wait(timeout=PATIENCE)


def use_up(turn: Turn) -> None:
    """Compute for longer than a slice."""
    end = time.perf_counter() + 2 * SLICE_SECONDS
    while time.perf_counter() < end:
        pass


def queue_up(lock: FairLock, count: int, order: list[int]) -> list[threading.Thread]:
    """Threads that wait for the lock, each asking once the one before is in the queue."""
    threads = []
    for k in range(count):

        def work(k: int = k) -> None:
            with lock.work():
                order.append(k)

        threads.append(start(work))
        until(lambda k=k: len(lock._waiting) == k + 1)  # type: ignore[misc]
    return threads


def test_turns_are_handed_over_in_the_order_of_asking() -> None:
    lock, order = FairLock(), list[int]()
    with lock.work():
        assert [lock.wanted] == [False]
        threads = queue_up(lock, 8, order)
        assert [lock.wanted] == [True]
        assert order == [], "no other thread works meanwhile"
    finish(*threads)
    assert order == list(range(8))
    assert free(lock)


def test_a_turn_is_not_free_for_others_to_grab() -> None:
    """A thread that releases the lock and asks again at once is behind those that waited."""
    lock, order = FairLock(), list[int]()
    with lock.work():
        threads = queue_up(lock, 3, order)
    with lock.work():
        order.append(99)
    finish(*threads)
    assert order == [0, 1, 2, 99]


def test_one_at_a_time() -> None:
    lock, inside, most = FairLock(), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with lock.work() as turn:
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
    assert free(lock)


def test_sharing_lets_a_waiter_in_once_the_slice_is_used_up() -> None:
    lock, order = FairLock(), list[int]()
    with lock.work() as turn:
        threads = queue_up(lock, 2, order)
        use_up(turn)
        turn.share()
        assert order == [0, 1], "both were there first"
        order.append(99)
        turn.share()  # no one is waiting: the turn goes on
        assert turn._held
    finish(*threads)
    assert order == [0, 1, 99]


def test_sharing_early_keeps_the_turn() -> None:
    lock, order = FairLock(), list[int]()
    with lock.work() as turn:
        threads = queue_up(lock, 1, order)
        turn._since = time.perf_counter() + PATIENCE  # however slow this machine: the slice has only begun
        turn.share()
        assert order == []
    finish(*threads)


def test_resting_lets_others_in_and_comes_back() -> None:
    lock, order = FairLock(), list[int]()
    with lock.work() as turn:
        threads = queue_up(lock, 3, order)
        with turn.rest():
            finish(*threads)
            assert free(lock)
        assert order == [0, 1, 2]
        threads = queue_up(lock, 1, order)
        assert len(order) == 3, "held again"
    finish(*threads)


def steps(lock: FairLock) -> Iterator[int]:
    with lock.work() as turn:
        for k in range(3):
            with turn.rest():
                yield k


def test_closing_a_generator_that_rests_neither_waits_nor_holds() -> None:
    lock = FairLock()
    run = steps(lock)
    assert next(run) == 0
    busy = lock.work()
    busy.__enter__()  # another thread computes and will not stop: waiting would never end
    closing = start(run.close)  # type: ignore[attr-defined]
    finish(closing)
    assert not lock.wanted
    assert lock._busy, "the other's turn was not ended for them"
    busy.__exit__(None, None, None)
    assert free(lock)


def test_a_generator_that_rests_may_be_closed() -> None:
    lock = FairLock()
    run = steps(lock)
    next(run)
    run.close()  # type: ignore[attr-defined]
    assert free(lock)
    assert list(steps(lock)) == [0, 1, 2]
    assert free(lock)


def test_an_error_releases_the_lock() -> None:
    lock = FairLock()
    with pytest.raises(ZeroDivisionError), lock.work():
        1 / 0  # noqa: B018
    assert free(lock)
    with pytest.raises(ZeroDivisionError), lock.work() as turn, turn.rest():
        1 / 0  # noqa: B018
    assert free(lock)


def test_in_turns_each_step_is_computed_under_the_lock_and_yielded_without_it() -> None:
    lock, held = FairLock(), list[bool]()

    def work() -> Iterator[int]:
        for k in range(4):
            held.append(lock._busy)
            yield k

    found = []
    for step in in_turns(work(), lock):
        found.append(step)
        assert not lock._busy
        assert free(lock)
    assert found == [0, 1, 2, 3]
    assert held == [True] * 4
    assert free(lock)


def test_in_turns_an_error_releases_the_lock() -> None:
    lock = FairLock()

    def work() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    run = in_turns(work(), lock)
    assert next(run) == 1
    with pytest.raises(ZeroDivisionError):
        next(run)
    assert free(lock)


def test_two_runs_in_turns_both_get_on() -> None:
    """Neither starves the other."""
    lock, order = FairLock(), list[str]()

    def work(name: str) -> None:
        for _ in in_turns(iter(range(30)), lock):
            with lock.work():
                order.append(name)

    with lock.work():
        a, b = start(lambda: work("a")), start(lambda: work("b"))
        until(lambda: len(lock._waiting) == 2)
    finish(a, b)
    assert (order.count("a"), order.count("b")) == (30, 30)
