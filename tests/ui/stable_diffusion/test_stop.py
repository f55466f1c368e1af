"""The Stable Diffusion tab without a browser: what ends a run before its end."""

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from playground.stable_diffusion import models
from playground.stable_diffusion.device_queue import DEVICE_QUEUES
from playground.ui.stable_diffusion.tab import StableDiffusionTab
from tests.ui.stable_diffusion.messages import QUICK, event, news, page, said, told, unpack

pytest_plugins = ["tests.ui.stable_diffusion.fixtures"]


def test_stop_keeps_what_is_there(tab: StableDiffusionTab) -> None:
    request = page(tab)
    kinds = []
    for update in tab._draw(request, event(mode="one"), *said(steps=50, images=1)):
        if tab.stage in update:
            message = unpack(update[tab.stage])[0]
            kinds.append(message["kind"])
            if message["kind"] == "step" and message["index"] == 2:
                tab._stop(request)
    assert kinds == ["begin", "step", "step", "step", "end"]
    assert message["steps"] == [3]
    assert "Stopped at step 2 of 51" in message["status"]
    assert tab.sessions.known(request.session_hash).stable_diffusion.gallery == []


def test_stop_ends_a_request_whose_model_is_still_loading(
    tab: StableDiffusionTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = page(tab)
    monkeypatch.setattr(models, "_IN_MEMORY", {})
    updates = tab._draw(request, event(mode="one"), *said(**QUICK))
    seen = [next(updates)]
    tab._stop(request)
    seen += updates
    assert told(tab, seen) == []
    assert news(tab, seen)[-1]["status"] == "Stopped."
    assert news(tab, seen)[-1]["drawing"] is False
    assert told(tab, tab._draw(request, event(mode="one"), *said(**QUICK)))[-1]["kind"] == "end"


def test_stop_of_a_page_that_is_gone_is_answered(tab: StableDiffusionTab) -> None:
    request: Any = SimpleNamespace(session_hash="gone")
    assert "Reload" in unpack(tab._stop(request)[tab.news])[0]["status"]


def test_a_new_request_ends_the_old_run(tab: StableDiffusionTab) -> None:
    request = page(tab)
    old = tab._draw(request, event(mode="one"), *said(steps=50, images=1))
    for update in old:
        if tab.stage in update and unpack(update[tab.stage])[0]["kind"] == "step":
            break
    new = told(tab, tab._draw(request, event(mode="one"), *said(**QUICK)))
    assert new[-1]["kind"] == "end"
    assert told(tab, old) == []


def test_stop_is_noticed_while_waiting(tab: StableDiffusionTab) -> None:
    entered, leave = threading.Event(), threading.Event()

    def held() -> Iterator[int]:
        entered.set()
        leave.wait(60)
        yield 0

    other = threading.Thread(target=lambda: list(DEVICE_QUEUES["cpu"].run(held())))
    other.start()
    entered.wait()
    try:
        for mode, axes in (("one", {}), ("grid", {"x": ["seed", "1, 2"], "y": ["", ""]})):
            request, heard = page(tab), []
            for update in tab._draw(request, event(mode=mode, **axes), *said(**QUICK)):
                heard += told(tab, [update])
                if any("before yours" in str(each.get("status")) for each in news(tab, [update])):
                    tab._stop(request)
            assert [message["kind"] for message in heard] == ["begin", "end"]
    finally:
        leave.set()
        other.join()
