"""Grids on the stage, without a browser: compositions, and grids from a picture."""

from typing import Any

import pytest
import torch

from playground.stable_diffusion.generation import generate
from playground.stable_diffusion.models import load
from playground.stable_diffusion.picture import read_png
from playground.stable_diffusion.prompt_check import parse_prompt, read
from playground.ui.stable_diffusion.state import InitialImage
from playground.ui.stable_diffusion.tab import StableDiffusionTab
from tests.stable_diffusion.runs import corner, photo
from tests.stable_diffusion.tiny import PROMPT
from tests.ui.stable_diffusion.messages import QUICK, event, news, page, said, told

pytest_plugins = ["tests.ui.stable_diffusion.fixtures"]
torch.set_num_threads(1)
WORDS = {"x": ["word", "seven, zero"], "y": ["word", "red, orange"]}


def drawn(tab: StableDiffusionTab, request: Any, axes: dict[str, Any], **changes: Any) -> tuple[list[Any], Any, Any]:
    """The finished cells, the last word, and the session."""
    updates = tab._draw(request, event(mode="grid", **axes), *said(**{**QUICK, **changes}))
    _, *cells, end = told(tab, updates)
    return [cell for cell in cells if cell["finished"]], end, tab.sessions.known(request.session_hash).stable_diffusion


def test_digits_by_colours(tab: StableDiffusionTab) -> None:
    cells, end, session = drawn(tab, page(tab), WORDS)
    assert [cell["prompt"].split()[1:3] for cell in cells] == [
        ["red", "seven"], ["red", "zero"], ["orange", "seven"], ["orange", "zero"],
    ]  # fmt: skip
    assert [cell["unseen"] for cell in cells] == [False, True, False, False]  # (digit + colour) % 5
    right = []
    for cell in cells:
        kept, words = session.find(int(cell["id"])), parse_prompt(cell["prompt"])
        assert words is not None
        *_, last = generate(load("tiny"), kept.parameters.request)
        assert last.images is not None
        reading = read(last.images[0])
        assert ("; unseen pair; " in cell["words"]) == cell["unseen"]
        assert cell["words"].endswith(reading.in_words(words))
        right.append(not reading.wrong(words))
    assert end["status"].startswith("4 pictures. Click one to take its settings. Right, as the judge reads them: ")
    assert f"{int(right[1])} of 1 unseen pairs, {right[0] + right[2] + right[3]} of 3 others." in end["status"]


def test_what_the_judge_cannot_read_is_not_judged(tab: StableDiffusionTab) -> None:
    cells, end, _ = drawn(tab, page(tab), {"x": ["seed", "1"], "y": ["", ""]}, prompt="an orange dog")
    assert end["status"] == "1 picture. Click one to take its settings."
    cells, end, _ = drawn(tab, page(tab), {"x": ["seed", "1"], "y": ["", ""]}, width=40)
    assert "judge" not in end["status"] + cells[0]["words"]


def test_stop_counts_what_is_there(tab: StableDiffusionTab) -> None:
    request, seen = page(tab), []
    for update in tab._draw(request, event(mode="grid", **WORDS), *said(**QUICK)):
        seen += told(tab, [update])
        if seen and seen[-1]["kind"] == "cell" and seen[-1]["finished"]:
            tab._stop(request)
    assert seen[-1]["status"].startswith("Stopped: 1 of 4 drawn. Right, as the judge reads them: ")


@pytest.mark.parametrize(("start_from", "kind"), [("img2img", "img2img"), ("inpaint", "inpaint")])
def test_a_grid_starts_from_a_picture(tab: StableDiffusionTab, start_from: str, kind: str) -> None:
    request = page(tab)
    mask = corner() if start_from == "inpaint" else None
    tab.visit(request)[1].initial_image = InitialImage(photo(), "picture 5", mask)
    asked = {"steps": 10, "strength": 0.5, "start_from": start_from, "scheduler": "ddim"}
    updates = list(tab._draw(request, event(mode="grid", x=["seed", "1, 2"], y=["", ""]), *said(**{**QUICK, **asked})))
    start, *cells, _ = told(tab, updates)
    assert start["start"] == "picture 5"
    assert any("2 pictures, 10 U-Net calls" in str(each.get("status")) for each in news(tab, updates))
    assert len(cells) == 2 * (5 + 1)
    kept = tab.sessions.known(request.session_hash).stable_diffusion.gallery[-1].parameters
    assert (kept.kind, kept.request.seeds) == (kind, (2,))
    *_, last = generate(load("tiny"), kept.request, photo(), mask)
    assert last.images is not None
    shown = read_png(tab.sessions.known(request.session_hash).stable_diffusion.gallery[-1].png).image
    torch.testing.assert_close(shown, last.images[0], atol=0.5 / 255 + 1e-6, rtol=0)


def test_a_picture_that_is_not_there_is_said(tab: StableDiffusionTab) -> None:
    updates = list(tab._draw(page(tab), event(mode="grid", **WORDS), *said(start_from="img2img", **QUICK)))
    assert "no picture to start from" in news(tab, updates)[-1]["status"]


def test_refusals_and_notes_are_said(tab: StableDiffusionTab) -> None:
    axes = {"x": ["steps", "2, 1000"], "y": ["", ""]}
    updates = list(tab._draw(page(tab), event(mode="grid", **axes), *said(**QUICK)))
    assert "PNDM with 1,000 steps" in news(tab, updates)[-1]["status"]
    same = {"x": ["word", "red, pink"], "y": ["word", "red, two"]}
    updates = list(tab._draw(page(tab), event(mode="grid", **same), *said(**QUICK)))
    assert "Both axes replace 'red'" in news(tab, updates)[-1]["status"]
    _, end, _ = drawn(tab, page(tab), {"x": ["scheduler", "heun, euler"], "y": ["seed", "1, 2"]}, prompt=PROMPT)
    assert end["status"].count("Heun in 3 steps leaps too far") == 1
    assert end["wrong"]
