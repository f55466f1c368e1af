"""The gallery of one visitor, and the line before a device."""

import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from playground.stable_diffusion import session as sessions
from playground.stable_diffusion.device_queue import DEVICE_QUEUES, DeviceQueue, Waiting
from playground.stable_diffusion.generation import DenoisingStep, generate
from playground.stable_diffusion.picture import read_png
from playground.stable_diffusion.request import Request
from playground.stable_diffusion.session import ContactSheet, StableDiffusionSession, queued
from tests.stable_diffusion.tiny import PROMPT, tiny

torch.set_num_threads(1)
REQUEST = Request(PROMPT, steps=3, seeds=(4, 5), preview="none", guidance_scale=2.0)


def end(request: Request = REQUEST) -> DenoisingStep:
    *_, step = generate(tiny(), request)
    return step


# ---- The gallery


def test_each_picture_keeps_its_own_settings() -> None:
    session, step = StableDiffusionSession(), end()
    kept = session.keep(step, REQUEST, "tiny")
    assert session.busy
    assert [k.number for k in kept] == [1, 2]
    assert step.images is not None
    for each, seed, image in zip(kept, (4, 5), step.images, strict=True):
        found = read_png(each.png)
        assert found.parameters == each.parameters
        assert each.parameters.request == dataclasses.replace(REQUEST, seeds=(seed,))
        assert (found.image - image).abs().max() <= 0.5 / 255 + 1e-6
    assert session.find(2) is kept[1]
    assert session.find(3) is None


def test_the_gallery_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    session, step = StableDiffusionSession(), end()
    size = len(session.keep(step, REQUEST, "tiny")[0].png)
    monkeypatch.setattr(sessions, "SETTINGS", dataclasses.replace(sessions.SETTINGS, max_gallery_bytes=int(4.5 * size)))
    for _ in range(5):
        session.keep(step, REQUEST, "tiny")
    assert [k.number for k in session.gallery] == [9, 10, 11, 12]


def test_the_gallery_has_so_many_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    session, step = StableDiffusionSession(), end()
    monkeypatch.setattr(sessions, "SETTINGS", dataclasses.replace(sessions.SETTINGS, max_gallery_pictures=3))
    for _ in range(3):
        session.keep(step, REQUEST, "tiny")
    assert [k.number for k in session.gallery] == [4, 5, 6]


def test_a_strip_has_twenty_small_previews_of_a_long_run() -> None:
    sheet = ContactSheet(4)
    for step in generate(tiny(), dataclasses.replace(REQUEST, steps=50, preview="linear")):
        sheet.add(step)
    assert len(sheet.previews) == 20
    assert {tuple(preview.shape) for preview in sheet.previews} == {(2, 3, 96, 96)}


def test_a_run_without_a_picture_leaves_nothing() -> None:
    session = StableDiffusionSession()
    assert session.keep(next(generate(tiny(), REQUEST)), REQUEST, "tiny") == []
    assert not session.busy


# ---- The line


def count(n: int, log: list[str], name: str) -> Iterator[int]:
    for k in range(n):
        log.append(f"{name}{k}")
        yield k


def test_alone_nobody_waits() -> None:
    line = DeviceQueue()
    assert list(line.run(count(3, [], "a"))) == [0, 1, 2]
    assert len(line) == 0


def test_positions_are_told_and_the_first_goes_first() -> None:
    line, log = DeviceQueue(), []
    entered, leave = threading.Event(), threading.Event()

    def held() -> Iterator[int]:
        entered.set()
        leave.wait()
        log.append("a0")
        yield 0

    first = threading.Thread(target=lambda: list(line.run(held())))
    first.start()
    entered.wait()
    second, third = line.run(count(1, log, "b")), line.run(count(1, log, "c"))
    assert next(second) == Waiting(1)
    assert next(third) == Waiting(2)
    assert next(third) == Waiting(2)  # at every poll, so that a run that waits may leave
    assert Waiting(1).words == "Next in line: one run is before yours."
    assert Waiting(2).words == "2 runs are before yours."
    leave.set()
    first.join()
    assert [s for s in third if not isinstance(s, Waiting)] == [0]
    assert [s for s in second if not isinstance(s, Waiting)] == [0]
    assert log[0] == "a0"
    assert len(line) == 0


def test_only_one_computes_at_a_time_and_all_arrive() -> None:
    line, inside, most, done = DeviceQueue(), 0, 0, []
    lock = threading.Lock()

    def work() -> Iterator[int]:
        nonlocal inside, most
        for k in range(20):
            with lock:
                inside += 1
                most = max(most, inside)
            torch.randn(100).sum()
            with lock:
                inside -= 1
            yield k

    threads = [
        threading.Thread(target=lambda: done.append([s for s in line.run(work()) if not isinstance(s, Waiting)]))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert done == [list(range(20))] * 6
    assert len(line) == 0


def test_a_page_that_sleeps_does_not_hold_the_device() -> None:
    line = DeviceQueue()
    asleep = line.run(count(5, [], "a"))
    assert next(asleep) == 0
    assert [s for s in line.run(count(3, [], "b")) if not isinstance(s, Waiting)] == [0, 1, 2]
    assert next(asleep) == 1


def test_who_leaves_and_who_fails_make_room() -> None:
    line = DeviceQueue()
    left = line.run(count(5, [], "a"))
    next(left)
    left.close()  # type: ignore[attr-defined]

    def broken() -> Iterator[int]:
        yield 0
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(line.run(broken()))
    assert len(line) == 0
    assert list(line.run(count(2, [], "b"))) == [0, 1]


def test_two_visitors_on_one_device_get_their_own_pictures() -> None:
    asked = [REQUEST, dataclasses.replace(REQUEST, prompt="a green two", seeds=(9,), steps=5)]
    alone = [end(a).images for a in asked]
    found: dict[int, Any] = {}

    def visit(k: int) -> None:
        for step in queued(tiny(), generate(tiny(), asked[k])):
            if not isinstance(step, Waiting):
                found[k] = step.images

    threads = [threading.Thread(target=visit, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, images in enumerate(alone):
        assert images is not None
        assert torch.equal(images, found[k])
    assert len(DEVICE_QUEUES["cpu"]) == 0
