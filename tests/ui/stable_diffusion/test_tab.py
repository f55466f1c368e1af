"""The Stable Diffusion tab without a browser: runs from the press to the end, stopped ones and refused ones."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from playground.diffusion.sampling import SamplingConfig
from playground.diffusion.schedule_config import ScheduleConfig
from playground.settings import SETTINGS
from playground.stable_diffusion import RequestError, StableDiffusionLab, models
from playground.stable_diffusion.generation import OutOfMemory
from playground.stable_diffusion.models import CATALOGUE
from playground.ui.stable_diffusion import models as stable_diffusion_models
from playground.ui.stable_diffusion import tab as stable_diffusion_tab
from playground.ui.stable_diffusion.state import interleaved
from playground.ui.stable_diffusion.tab import StableDiffusionTab
from tests.stable_diffusion.tiny import PROMPT, tiny
from tests.ui.stable_diffusion.messages import QUICK, drawn, event, news, page, said, told, unpack

pytest_plugins = ["tests.ui.stable_diffusion.fixtures"]


def test_a_run_begins_steps_ends_and_is_kept(tab: StableDiffusionTab) -> None:
    request = page(tab)
    messages = told(tab, tab._draw(request, event(mode="one"), *said(**QUICK)))
    assert [message["kind"] for message in messages] == ["begin", *["step"] * 5, "end"]
    begin, *steps, end = messages
    assert begin["slots"][0]["seeds"] == [0, 1]
    assert [step["index"] for step in steps] == [0, 1, 2, 3, 4]
    assert end["steps"] == [5]
    session = tab.sessions.known(request.session_hash).stable_diffusion
    assert end["ids"] == [[str(kept.number) for kept in session.gallery]]
    assert [kept.parameters.request.seeds for kept in session.gallery] == [(0,), (1,)]
    again = unpack(tab._missing(request))[0]["messages"]
    assert [unpack(message)[0]["kind"] for message in again] == ["begin", *["step"] * 5, "end"]


def test_two_prompts_take_turns_on_the_same_noise(tab: StableDiffusionTab) -> None:
    request, other = page(tab), PROMPT.replace("seven", "three")
    updates = list(tab._draw(request, event(mode="two", second=other), *said(**QUICK)))
    steps = [unpack(update[tab.stage]) for update in updates if tab.stage in update][1:-1]
    assert [meta["slot"] for meta, _ in steps] == [0, 1] * 5
    np.testing.assert_array_equal(steps[0][1]["latents"], steps[1][1]["latents"])
    assert np.abs(steps[-1][1]["images"] - steps[-2][1]["images"]).max() > 0


def test_a_model_that_made_room_comes_back_at_draw_alone(
    tab: StableDiffusionTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, _ = drawn(tab)
    monkeypatch.setattr(models, "_IN_MEMORY", {})
    tab.models._read_tokens("tiny", "a red nine", request)
    assert not models.in_memory("tiny")
    assert news(tab, tab._draw(request, event(mode="one"), *said(**QUICK)))[0]["progress"] < 1


def test_who_draws_is_at_work(tab: StableDiffusionTab) -> None:
    request = page(tab)
    visitor = tab.sessions.known(request.session_hash)
    updates = tab._draw(request, event(mode="one"), *said(**QUICK))
    next(updates)
    assert visitor.at_work
    list(updates)
    assert not visitor.at_work


def test_two_visitors_get_their_own(tab: StableDiffusionTab) -> None:
    first, second = page(tab), page(tab)
    runs = [
        tab._draw(first, event(mode="one"), *said(**QUICK)),
        tab._draw(second, event(mode="one"), *said(prompt="a green two", seed=5, **QUICK)),
    ]
    seen: list[list[Any]] = [[], []]
    for place, update in interleaved(runs):  # type: ignore[arg-type]
        seen[place] += told(tab, [update])
    assert [messages[0]["slots"][0]["prompt"] for messages in seen] == [PROMPT, "a green two"]
    galleries = [tab.sessions.known(each.session_hash).stable_diffusion.gallery for each in (first, second)]
    assert [[kept.parameters.request.prompt for kept in gallery] for gallery in galleries] == [
        [PROMPT] * 2,
        ["a green two"] * 2,
    ]


def test_a_sweep_fills_in(tab: StableDiffusionTab) -> None:
    request = page(tab)
    axes = {"x": ["guidance_scale", "1, 4"], "y": ["word", "seven, two"]}
    begin, *cells, end = told(tab, tab._draw(request, event(mode="grid", **axes), *said(**QUICK)))
    assert begin["grid"] == {"x": "guidance_scale", "y": "word", "columns": ["1", "4"], "rows": ["seven", "two"]}
    finished = [cell for cell in cells if cell["finished"]]
    assert [(cell["row"], cell["column"]) for cell in finished] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert end["done"] == 4
    session = tab.sessions.known(request.session_hash).stable_diffusion
    kept = session.find(int(finished[3]["id"]))
    assert kept is not None
    assert kept.parameters.request.guidance_scale == 4.0
    assert "two" in kept.parameters.request.prompt


@pytest.mark.parametrize(
    ("mode", "changes", "data", "words"),
    [
        ("one", {"steps": 1}, {}, "PNDM with 1 step"),
        ("one", {"width": 12}, {}, "multiple of 8|whole number"),
        ("one", {"width": 512}, {}, "trained on 32"),
        ("one", {"prompt": "red " * 2_500}, {}, "10,000 characters"),
        ("one", {"start_from": "img2img"}, {}, "no picture to start from"),
        ("grid", {}, {"x": ["word", "eleven, two"], "y": ["", ""]}, "does not have 'eleven'"),
        ("grid", {}, {"x": ["steps", "2, 3"], "y": ["steps", "4"]}, "same knob"),
        ("grid", {}, {"x": ["", ""], "y": ["", ""]}, "along x"),
    ],
)
def test_refusals_are_said_and_nothing_is_lost(
    tab: StableDiffusionTab, mode: str, changes: dict[str, Any], data: dict[str, Any], words: str
) -> None:
    request = page(tab)
    values = said(**{**QUICK, **changes})
    updates = list(tab._draw(request, event(mode=mode, **data), *values))
    last = news(tab, updates)[-1]
    assert last["wrong"]
    assert last["drawing"] is False
    assert re.search(words, last["status"])
    assert told(tab, updates) == []


def test_no_words_and_cut_words_are_told(tab: StableDiffusionTab) -> None:
    request = page(tab)
    end = told(tab, tab._draw(request, event(mode="one"), *said(prompt="", **QUICK)))[-1]
    assert "No words" in end["status"]
    begin, *_, end = told(tab, tab._draw(request, event(mode="one"), *said(prompt="red " * 40, **QUICK)))
    assert "10 tokens were cut" in end["status"]
    assert sum("cut" in token for token in begin["slots"][0]["tokens"]) == 10


def test_too_little_memory_offers_less(tab: StableDiffusionTab, monkeypatch: pytest.MonkeyPatch) -> None:
    request = page(tab)
    smaller = StableDiffusionLab(tiny()).request(PROMPT, images=1)

    def full(*_: Any) -> Iterator[Any]:
        yield {}
        raise OutOfMemory("The memory was not enough.", smaller)

    monkeypatch.setattr(stable_diffusion_tab, "draw_prompts", full)
    last = news(tab, tab._draw(request, event(mode="one"), *said(**QUICK)))[-1]
    assert last["smaller"] is True
    assert tab._smaller(request)[tab.controls["images"]] == 1


def test_words_typed_become_tokens(tab: StableDiffusionTab) -> None:
    request, _ = drawn(tab)
    meta, _ = unpack(tab.models._read_tokens("tiny", "a red nine", request))
    assert [token["text"] for token in meta["tokens"]] == ["<start>", "a", "red", "nine", "<end>"]


def test_a_schedule_from_elsewhere_is_answered(tab: StableDiffusionTab) -> None:
    request = page(tab)
    own = tab.take_schedule(ScheduleConfig("scaled_linear"), SamplingConfig("ddim", 30), request)
    assert (own[tab.controls["scheduler"]], own[tab.controls["steps"]]) == ("ddim", 30)
    assert "nothing to change" in own[tab.schedule_notice]
    other = tab.take_schedule(ScheduleConfig("cosine"), SamplingConfig("langevin", 5000), request)
    assert tab.controls["scheduler"] not in other
    assert other[tab.controls["steps"]] == SETTINGS.max_denoising_steps
    assert "keeps its own" in other[tab.schedule_notice]


def test_nothing_of_a_visitor_is_markup(tab: StableDiffusionTab) -> None:
    update = tab.channels.refused(RequestError("<img src=x onerror=alert(1)>"))
    assert "<img" not in update[tab.notices["Picture"]]


def test_a_model_that_is_not_there_is_refused_at_its_knob(tab: StableDiffusionTab, tmp_path: Path) -> None:
    missing = dataclasses.replace(CATALOGUE["sd14"], source=tmp_path / "nothing")
    request, _ = drawn(tab)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CATALOGUE, "sd14", missing)
        *_, last = tab.models._choose("sd14", request)
    assert "not on this machine" in last[tab.notices["Model"]]
    assert last[tab.model] == "tiny"
    assert tab.visit(request)[1].model == "tiny"
    *_, last = tab.models._choose("tiny", request)
    assert last[tab.prompt] == PROMPT


def test_a_seed_that_is_not_kept_is_shown(tab: StableDiffusionTab) -> None:
    request = page(tab)
    first, *rest = tab._draw(request, event(mode="one"), *said(lock=False, **QUICK))
    begin = told(tab, rest)[0]
    assert begin["slots"][0]["seeds"] == [first[tab.seed], (first[tab.seed] + 1) % 2**32]


def test_a_knob_turned_keeps_the_seed_that_the_next_draw_would_not(tab: StableDiffusionTab) -> None:
    request = page(tab)
    assert tab.seed in next(tab._draw(request, event(mode="one"), *said(lock=False, **QUICK)))  # nothing was turned yet
    list(tab._draw(request, event(mode="one"), *said(lock=False, **QUICK)))
    turned = list(tab._draw(request, event(mode="one"), *said(lock=False, seed=7, guidance_scale=5.0, **QUICK)))
    assert all(tab.seed not in update for update in turned)
    assert told(tab, turned)[0]["slots"][0]["seeds"] == [7, 8]
    again = list(tab._draw(request, event(mode="one"), *said(lock=False, seed=7, guidance_scale=5.0, **QUICK)))
    assert told(tab, again)[0]["slots"][0]["seeds"] != [7, 8]


def test_what_breaks_is_told_and_raised(tab: StableDiffusionTab, monkeypatch: pytest.MonkeyPatch) -> None:
    request, session = drawn(tab)
    number = str(session.gallery[0].number)

    def broken(*_: Any) -> Iterator[Any]:
        yield {}
        raise IndexError("index 1000 is out of bounds")

    monkeypatch.setattr(stable_diffusion_tab, "draw_prompts", broken)
    runs = [
        tab._draw(request, event(mode="one"), *said(**QUICK)),
        tab._ready(request, *said(**QUICK)),
        tab._start_from(request, event(id=number), *said(**QUICK)),
    ]
    for run in runs:
        heard: list[Any] = []
        with pytest.raises(IndexError):
            heard.extend(run)  # what came before the error is kept
        last = news(tab, heard)[-1]
        assert last["wrong"]
        assert last["drawing"] is False
        assert "in the log" in last["status"]


def test_two_prompts_say_which_has_no_words(tab: StableDiffusionTab) -> None:
    request = page(tab)
    end = told(tab, tab._draw(request, event(mode="two", second=" "), *said(**QUICK)))[-1]
    assert end["status"].startswith("The other: no words")
    assert "guidance 3 (without words: guidance 1)" in end["knobs"]
    end = told(tab, tab._draw(request, event(mode="two", second=PROMPT), *said(prompt="", **QUICK)))[-1]
    assert end["status"].startswith("The first: no words")
    assert "guidance 3 (without words: guidance 1)" in end["knobs"]


def test_calls_are_told_while_knobs_turn(tab: StableDiffusionTab) -> None:
    assert "20 steps = 21 U-Net calls" in tab._calls(20, "pndm", "noise", 0.8)
    assert "pg-wrong" in tab._calls(0, "pndm", "noise", 0.8)
    assert "pg-wrong" in tab._calls(20, "<b>", "noise", None)


def test_the_first_picture_comes_by_itself(tab: StableDiffusionTab) -> None:
    request = SimpleNamespace(session_hash="the first")
    messages = told(tab, tab._ready(request, *said(**QUICK)))  # type: ignore[arg-type]
    assert [message["kind"] for message in messages][::6] == ["begin", "end"]


def test_warming_up_loads_the_model(tab: StableDiffusionTab) -> None:
    stable_diffusion_models.warm_up()
    assert "tiny" in models._IN_MEMORY
