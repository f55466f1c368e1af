"""The picture that the next run starts from, beside the prompts: shown, taken, dropped."""

import base64
import io
import re
from typing import Any

import torch
from PIL import Image

from playground.stable_diffusion.picture import read_png
from playground.ui.stable_diffusion.state import InitialImage
from playground.ui.stable_diffusion.tab import StableDiffusionTab
from tests.ui.stable_diffusion.messages import QUICK, covered, drawn, event, news, page, said, told

pytest_plugins = ["tests.ui.stable_diffusion.fixtures"]


def plain(width: int, height: int) -> str:
    """A PNG that says nothing, as the page sends it."""
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def seen(tab: StableDiffusionTab, updates: Any) -> dict[str, Any]:
    """What stands beside the prompts after these updates: `visible`, the `button`, the `picture`."""
    part = tab.initial_image
    found: dict[str, Any] = {}
    for update in updates:
        if part.frame in update:
            assert update[part.frame]["visible"] == update[part.button]["visible"]
            found = {"visible": update[part.frame]["visible"]}
            if found["visible"]:
                found |= {"button": update[part.button]["value"], "picture": update[part.picture]}
    return found


def test_a_picture_to_start_from_is_seen_and_dropped(tab: StableDiffusionTab) -> None:
    request, session = drawn(tab)
    number = str(session.gallery[0].number)
    first = next(iter(tab._start_from(request, event(id=number), *said(**QUICK))))
    assert seen(tab, [first])["visible"]
    assert seen(tab, [first])["button"] == f"from picture {number} ✕"
    match = re.search(r"base64,([^\"]+)", seen(tab, [first])["picture"])
    assert match is not None
    assert torch.equal(read_png(base64.b64decode(match[1])).image, read_png(session.gallery[0].png).image)
    pressed = tab.initial_image._pressed("img2img", request)
    assert pressed[tab.controls["start_from"]] == "noise"
    assert seen(tab, [pressed]) == {"visible": False}
    assert tab.visit(request)[1].initial_image is None
    list(tab._draw(request, event(mode="one"), *said(**QUICK)))
    assert session.gallery[-1].parameters.kind == "text"


def test_a_part_is_named_as_one(tab: StableDiffusionTab) -> None:
    request, session = drawn(tab)
    number = str(session.gallery[0].number)
    first = next(iter(tab._start_from(request, event(id=number, pixels=covered(slice(60))), *said(**QUICK))))
    assert seen(tab, [first])["button"] == f"a part of picture {number} ✕"
    assert seen(tab, [tab.initial_image._changed("noise", request)]) == {"visible": False}
    assert seen(tab, [tab.initial_image._changed("inpaint", request)])["visible"]


def test_an_opened_picture_waits_to_be_taken(tab: StableDiffusionTab) -> None:
    request, session = drawn(tab)
    (update,) = tab.gallery._opened(request, event(base64=plain(100, 60)), *said(**QUICK))
    assert not news(tab, [update])[0]["wrong"]
    assert seen(tab, [update])["button"] == "Start from it"
    list(tab._draw(request, event(mode="one"), *said(**QUICK)))
    assert session.gallery[-1].parameters.kind == "text"  # it only waits
    pressed = tab.initial_image._pressed("noise", request)
    assert pressed[tab.controls["start_from"]] == "img2img"
    assert seen(tab, [pressed])["button"] == "from the opened picture ✕"
    begin = told(tab, tab._draw(request, event(mode="one"), *said(start_from="img2img", **QUICK)))[0]
    assert begin["start"] == "the opened picture"


def test_who_wants_a_picture_and_opens_one_has_it(tab: StableDiffusionTab) -> None:
    (update,) = tab.gallery._opened(page(tab), event(base64=plain(32, 32)), *said(start_from="img2img"))
    assert update[tab.controls["start_from"]] == "img2img"
    assert seen(tab, [update])["button"] == "from the opened picture ✕"


def test_the_thumbnail_is_small_and_its_words_are_words(tab: StableDiffusionTab) -> None:
    request = page(tab)
    _, state = tab.visit(request)
    state.initial_image = InitialImage(torch.rand(3, 512, 1024), '"><b>', opened=True)
    picture = seen(tab, [tab.initial_image.shown(state, "noise")])["picture"]
    assert "<b>" not in picture
    assert len(picture) < 40_000
