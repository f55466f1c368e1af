"""The Stable Diffusion tab's pictures without a browser: kept, saved, opened, and begun from."""

import base64
import dataclasses
import io
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from playground.stable_diffusion.picture import read_png, to_png
from playground.ui.stable_diffusion.gallery import _fitted, contact_sheet_png
from playground.ui.stable_diffusion.knobs import DrawSettings
from playground.ui.stable_diffusion.other_programs import read_parameters
from playground.ui.stable_diffusion.tab import StableDiffusionTab
from tests.stable_diffusion.tiny import PROMPT
from tests.ui.stable_diffusion.messages import QUICK, covered, drawn, event, news, page, said, told, unpack

pytest_plugins = ["tests.ui.stable_diffusion.fixtures"]


def test_a_picture_is_saved_and_read_back(tab: StableDiffusionTab) -> None:
    request, session = drawn(tab)
    kept = session.gallery[1]
    file = unpack(tab.gallery._save(request, event(id=str(kept.number)))[tab.channels.files])[0]
    data = base64.b64decode(file["base64"])
    assert read_png(data).parameters == kept.parameters
    last = list(tab.gallery._opened(request, event(base64=base64.b64encode(data).decode()), *said()))[-1]
    assert (last[tab.prompt], last[tab.seed], last[tab.controls["steps"]]) == (PROMPT, 1, 3)


@pytest.mark.parametrize("text", [None, 5, "", "####", base64.b64encode(b"not a picture").decode()])
def test_what_is_no_picture_is_refused(tab: StableDiffusionTab, text: Any) -> None:
    (update,) = tab.gallery._opened(page(tab), event(base64=text), *said())
    assert unpack(update[tab.news])[0]["wrong"]


@pytest.mark.parametrize("number", [None, 7, "x", "-1", "9" * 20, "999999"])
def test_pictures_that_are_not_there_are_refused(tab: StableDiffusionTab, number: Any) -> None:
    request = page(tab)
    assert news(tab, tab.gallery._use(request, event(id=number)))[-1]["wrong"]
    assert unpack(tab.gallery._save(request, event(id=number))[tab.news])[0]["wrong"]


def test_settings_of_a_picture(tab: StableDiffusionTab) -> None:
    request, session = drawn(tab)
    last = list(tab.gallery._use(request, event(id=str(session.gallery[1].number))))[-1]
    assert (last[tab.prompt], last[tab.seed], last[tab.controls["steps"]]) == (PROMPT, 1, 3)
    for path in ("images", "preview", "attention"):  # not this picture's: they stay as the page has them
        assert tab.controls[path] not in last


def test_a_picture_begins_the_next(tab: StableDiffusionTab) -> None:
    request, session = drawn(tab)
    number = str(session.gallery[0].number)
    messages = told(tab, tab._start_from(request, event(id=number), *said(**QUICK)))
    assert messages[0]["start"] == f"picture {number}"
    assert session.gallery[-1].parameters.kind == "img2img"
    told(tab, tab._start_from(request, event(id=number, pixels=covered(slice(60))), *said(**QUICK)))
    assert session.gallery[-1].parameters.kind == "inpaint"
    before, after = read_png(session.find(int(number)).png).image, read_png(session.gallery[-1].png).image
    assert (before - after)[:, :12].abs().mean() > (before - after)[:, 24:].abs().mean()


def test_the_contact_sheet_has_every_step(tab: StableDiffusionTab) -> None:
    request, session = drawn(tab)
    sheet = read_png(contact_sheet_png(session.contact_sheet)).image
    assert sheet.shape == (3, 2 * 96, 5 * 96)
    update = tab.gallery._sheet(request)
    assert unpack(update[tab.channels.files])[0]["name"] == "denoising-0.png"
    assert "Draw something first" in tab.gallery._sheet(page(tab))[tab.notices["Home"]]


def test_the_code_is_that_of_the_chosen_picture(tab: StableDiffusionTab) -> None:
    request, session = drawn(tab)
    first, second, *_ = session.gallery
    codes = {number: tab.gallery._script(number, request) for number in ("", str(first.number), str(second.number))}
    assert all("StableDiffusionPipeline" in code[tab.gallery.lines] for code in codes.values())
    assert codes[""] == tab.gallery._script(str(session.gallery[-1].number), request)
    assert codes[str(first.number)] != codes[str(second.number)]
    for nothing in ("999999", "-", "1 2"):
        assert set(tab.gallery._script(nothing, request)) == {tab.notices["Home"]}


def test_clip_compares_only_what_is_there(tab: StableDiffusionTab) -> None:
    meta, _ = unpack(tab.clip._compare(page(tab), event(captions="a red seven")))
    assert meta["wrong"]
    assert "Draw something first" in meta["status"]


def test_foreign_pictures_can_be_started_from(tab: StableDiffusionTab) -> None:
    out = io.BytesIO()
    Image.new("RGB", (100, 60), (200, 30, 30)).save(out, "PNG")
    request = page(tab)
    list(tab.gallery._opened(request, event(base64=base64.b64encode(out.getvalue()).decode()), *said()))
    _, state = tab.visit(request)
    assert state.initial_image is not None
    assert state.initial_image.image.shape == (3, 32, 32)


@pytest.mark.parametrize("shape", [(3, 1, 100_000), (3, 100_000, 1), (3, 60, 100)])
def test_a_picture_of_any_shape_is_cut_before_it_is_scaled(shape: tuple[int, int, int]) -> None:
    picture = torch.zeros(shape)
    picture[:, (shape[1] - 1) // 2, (shape[2] - 1) // 2] = 1.0
    fitted = _fitted(picture, DrawSettings.of("tiny"))
    assert fitted.shape == (3, 32, 32)
    assert fitted[:, 12:20, 12:20].sum() > 0


def test_a_png_of_ours_has_no_room_for_others(tab: StableDiffusionTab) -> None:
    _, session = drawn(tab)
    kept = session.gallery[0]
    assert to_png(read_png(kept.png).image, kept.parameters) == kept.png


# Pictures of other programs


WEB_UI = """a red (seven:1.2)
Negative prompt: blue
Steps: 12, Sampler: Euler a, CFG scale: 7.5, Seed: 99, Size: 512x512, Model hash: 1a"""
DEVICE_QUEUES = st.text(max_size=60).map(lambda text: f"{text}\nSteps: {text}, Seed: {text}, CFG scale: 1")


def test_the_web_ui_of_others_is_read_as_far_as_it_goes(tab: StableDiffusionTab) -> None:
    assert read_parameters(WEB_UI) == {
        "prompt": "a red (seven:1.2)",
        "negative_prompt": "blue",
        "steps": 12,
        "seed": 99,
        "guidance_scale": 7.5,
        "scheduler": "euler_a",
    }
    info, out = PngInfo(), io.BytesIO()
    info.add_text("parameters", WEB_UI)
    Image.new("RGB", (64, 64)).save(out, "PNG", pnginfo=info)
    request, _ = drawn(tab)
    *_, last = tab.gallery._opened(request, event(base64=base64.b64encode(out.getvalue()).decode()), *said())
    assert (last[tab.prompt], last[tab.seed], last[tab.controls["width"]]) == ("a red (seven:1.2)", 99, 32)
    assert "another program" in unpack(last[tab.news])[0]["status"]


@given(st.text(max_size=300) | DEVICE_QUEUES)
@settings(max_examples=100, deadline=None)
def test_no_line_of_others_breaks_it(text: str) -> None:
    changed = dataclasses.replace(DrawSettings.of("tiny"), **read_parameters(text))
    DrawSettings.read(said(**{name: getattr(changed, name) for name in read_parameters(text)}))


def test_spaces_without_end_are_read_to_the_end() -> None:
    assert read_parameters("a\n" + " " * 19_000) == {}
    assert read_parameters("a\n" + "a " * 9_500) == {}
