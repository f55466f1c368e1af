"""The Stable Diffusion tab without a browser: what is sent, what is refused, and runs from the press to the gallery."""

import base64
import dataclasses
import io
import json
import random
import re
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from playground.diffusion.sampling import SamplingConfig
from playground.diffusion.schedule_config import ScheduleConfig
from playground.sessions import Sessions
from playground.settings import SETTINGS
from playground.stable_diffusion import RequestError, StableDiffusionLab, line, models
from playground.stable_diffusion.generation import OutOfMemory
from playground.stable_diffusion.lab import Token
from playground.stable_diffusion.models import CATALOGUE
from playground.stable_diffusion.picture import Parameters, read_png, to_png
from playground.stable_diffusion.schedulers import SCHEDULERS
from playground.toy import LabError
from playground.ui import stable_diffusion_tab
from playground.ui.live import diffusion
from playground.ui.live.diffusion import pack_model, pack_step, tokens_meta
from playground.ui.live.stage import HERE
from playground.ui.stable_diffusion_foreign import read_parameters
from playground.ui.stable_diffusion_gallery import _fitted, contact_sheet
from playground.ui.stable_diffusion_gallery import settings as settings_of
from playground.ui.stable_diffusion_knobs import KNOBS, Wish, read_axis
from playground.ui.stable_diffusion_pace import Pace
from playground.ui.stable_diffusion_scripts import scripts
from playground.ui.stable_diffusion_show import Beginning, Show, interleaved, mask_from_pixels
from playground.ui.stable_diffusion_tab import StableDiffusionTab
from tests.stable_diffusion.tiny import PROMPT, new_pipeline, tiny

TYPES = {"i16": "<i2", "i8": "<i1", "f32": "<f4"}
QUICK = {"steps": 3, "images": 2}


def unpack(text: str) -> tuple[Any, dict[str, np.ndarray]]:
    """meta, and the arrays as numbers."""
    raw = base64.b64decode(text, validate=True)
    (length,) = struct.unpack_from("<I", raw)
    header, body = json.loads(raw[4 : 4 + length]), raw[4 + length :]
    body = zlib.decompress(body) if header.get("deflated") else body
    found = {}
    for entry in header["arrays"]:
        shape = entry["shape"]
        numbers = np.frombuffer(body, TYPES[entry["kind"]], int(np.prod(shape)), entry["at"])
        found[entry["name"]] = numbers.reshape(shape).astype(np.float64) * entry["scale"]
    return header["meta"], found


# --- what is sent ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guidance_scale", [1.0, 4.0])
def test_a_step_crosses_within_half_a_step_of_eight_bits(guidance_scale: float) -> None:
    lab = StableDiffusionLab(tiny())
    run = lab.generate(PROMPT, steps=2, guidance_scale=guidance_scale, images=2, attention=True)
    step, words = next(run), sum(not token.cut for token in lab.tokens(PROMPT))
    meta, found = unpack(pack_step(step, 7, 1, guidance_scale, words))
    assert (meta["run"], meta["slot"], meta["index"], meta["total"]) == (7, 1, 0, step.total)
    assert meta["norms"] == pytest.approx(step.guidance_norm.tolist())
    assert meta["parts"].keys() == {"text_encoder", "unet", "scheduler", "vae"}
    wanted = {"latents": step.latents, "x0": step.x0, "cond": step.eps_cond}
    if guidance_scale > 1:
        assert step.eps_uncond is not None
        wanted["uncond"] = step.eps_uncond
    else:
        assert "uncond" not in found
    assert step.images is not None
    for name, tensor in (wanted | {"images": step.images * 2 - 1}).items():
        expected = tensor.numpy() if name in ("latents", "x0", "images") else tensor.clamp(-6, 6).numpy()
        np.testing.assert_allclose(found[name], expected, atol=np.abs(expected).max() / 127 / 2 + 1e-6)
    assert found["attention"].shape == (2, words + 2, 8, 8)
    np.testing.assert_allclose(found["attention"].max((2, 3)), 1, atol=1e-6)


def test_large_previews_are_sent_small_and_the_picture_whole() -> None:
    lab = StableDiffusionLab(tiny())
    first, *_, last = lab.generate(PROMPT, steps=2, height=8, width=8)
    large = torch.rand(1, 3, 512, 512)
    _, found = unpack(pack_step(dataclasses.replace(first, images=large), 1, 0, 3.0, 7))
    assert found["images"].shape == (1, 3, 192, 192)
    _, found = unpack(pack_step(dataclasses.replace(last, images=large), 1, 0, 3.0, 7))
    assert found["images"].shape == (1, 3, 512, 512)


def test_the_model_tells_its_shapes() -> None:
    loaded = tiny()
    meta, found = unpack(pack_model(loaded, "here"))
    assert (meta["tokens"], meta["width"], meta["words"], meta["small"]) == (32, 96, "here", True)
    np.testing.assert_allclose(found["map"], loaded.linear_map.numpy(), atol=1e-6)


def test_cut_tokens_come_after_the_end_mark() -> None:
    tokens = [Token("a", 1, 1, False), Token("red", 2, 2, False), Token("dog", 3, 3, True)]
    assert tokens_meta(tokens) == [
        {"text": "<start>"},
        {"text": "a"},
        {"text": "red"},
        {"text": "<end>"},
        {"text": "dog", "cut": True},
    ]


@pytest.mark.parametrize("name", [*diffusion.SCRIPTS, "diffusion_clip"])
def test_the_scripts_are_there(name: str) -> None:
    assert (HERE / f"{name}.js").is_file()


# --- what the controls say -------------------------------------------------------------------------------------------


def said(**changes: Any) -> list[Any]:
    """The page's values, as they come for a Wish."""
    wish = dataclasses.replace(Wish.of("tiny"), **changes)
    head = [wish.model, wish.prompt, wish.negative_prompt, wish.seed, wish.lock]
    return [*head, *(knob.value(wish) for knob in KNOBS)]


def test_knobs_say_what_the_model_likes() -> None:
    wish, default = Wish.read(said()), CATALOGUE["tiny"].defaults
    assert wish == Wish.of("tiny")
    assert (wish.steps, wish.guidance_scale, wish.scheduler) == (default.steps, default.guidance_scale, "pndm")
    assert wish.request(StableDiffusionLab(tiny()), wish.prompt).seeds == (0, 1, 2, 3)


@pytest.mark.parametrize(
    "changes",
    [{"model": "nope"}, {"model": None}, {"seed": -1}, {"seed": 2**32}, {"seed": 1.5}, {"seed": float("nan")},
     {"seed": "7"}, {"steps": 0}, {"steps": 2.5}, {"guidance_scale": float("nan")}, {"images": 9},
     {"scheduler": "magic"}, {"preview": "all"}, {"begin": "end"}, {"attention": 1}],
)  # fmt: skip
def test_what_no_control_can_say_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises((RequestError, LabError)):
        Wish.read(said(**changes))


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)


@given(st.lists(ANYTHING, min_size=15, max_size=15))
@settings(max_examples=60, deadline=None)
def test_no_value_from_a_stranger_breaks_it(values: list[Any]) -> None:
    assert len(values) == len(said())
    with pytest.raises((RequestError, LabError)):
        Wish.read(values)


def test_no_words_are_drawn_without_guidance() -> None:
    wish = dataclasses.replace(Wish.of("tiny"), prompt="  ", guidance_scale=5.0)
    assert wish.request(StableDiffusionLab(tiny()), wish.prompt).guidance_scale == 1.0


@pytest.mark.parametrize("name", SCHEDULERS)
def test_settings_come_back_as_they_were(name: str) -> None:
    wish = dataclasses.replace(Wish.of("tiny"), scheduler=name, steps=7, images=1, seed=9, negative_prompt="blue")
    made = wish.request(StableDiffusionLab(tiny()), wish.prompt)
    assert settings_of(made, "tiny") == wish


@pytest.mark.parametrize(
    ("given", "axis"),
    [
        (["guidance_scale", "1, 2.5,8"], ("guidance_scale", [1.0, 2.5, 8.0])),
        (["steps", " 5 ,20,"], ("steps", [5, 20])),
        (["scheduler", "PNDM, dpm++"], ("scheduler", ["pndm", "dpm++"])),
        (["word", "seven, four"], ("word", ["seven", "four"])),
        (["", "1, 2"], None),
        (["seed", ""], ("seed", [])),  # the grid says what is missing
    ],
)
def test_axes_are_read(given: list[str], axis: Any) -> None:
    assert read_axis(given) == axis


@pytest.mark.parametrize(
    "given",
    [None, "steps", ["steps"], ["steps", 5], ["colour", "1"], ["steps", "1.5"], ["guidance_scale", "much"],
     ["scheduler", "magic"], ["seed", "1" * 500], [["steps"], "1"]],
)  # fmt: skip
def test_axes_that_cannot_be_are_refused_in_words(given: Any) -> None:
    with pytest.raises(RequestError):
        read_axis(given)


def covered(share: slice) -> str:
    pixels = np.zeros((128, 128), np.uint8)
    pixels[share] = 255
    return base64.b64encode(pixels.tobytes()).decode()


def test_a_covered_part() -> None:
    mask = mask_from_pixels(covered(slice(64)))
    assert mask.shape == (128, 128)
    assert mask[:64].all()
    assert not mask[64:].any()
    image, small = Beginning(torch.rand(3, 32, 32), "", mask).at(16, 32)
    assert image.shape == (3, 16, 32)
    assert small is not None
    assert small[:8].all()
    assert not small[8:].any()


@pytest.mark.parametrize("pixels", [None, 5, "", "####", "AAAA", "A" * 40_000, covered(slice(0)), covered(slice(128))])
def test_a_part_that_cannot_be_is_refused(pixels: object) -> None:
    with pytest.raises(RequestError):
        mask_from_pixels(pixels)


def test_two_runs_step_in_turn() -> None:
    runs: list[Iterator[Any]] = [iter("ab"), iter("xyz")]
    steps: list[Any] = list(interleaved(runs))
    assert steps == [(0, "a"), (1, "x"), (0, "b"), (1, "y"), (1, "z")]


def test_a_new_run_ends_the_one_before() -> None:
    show = Show()
    first = show.begin()
    show.tell("one")
    assert show.begin() == first + 1
    assert show.messages == []
    with pytest.raises(RequestError, match="Start from it"):
        show.start("picture", 32, 32)


def test_the_expected_time_grows_with_what_is_asked() -> None:
    lab, pace = StableDiffusionLab(tiny()), Pace()
    assert pace.in_words(lab.loaded, lab.request(PROMPT)) == ""
    request = lab.request(PROMPT, steps=2)
    step = dataclasses.replace(next(lab.generate(PROMPT, steps=2)), calls=1, parts={"unet": 2.0})
    pace.learn(lab.loaded, request, step)
    assert pace.in_words(lab.loaded, lab.request(PROMPT, scheduler="ddim", steps=20)) == "expected: 40 s."
    assert pace.in_words(lab.loaded, lab.request(PROMPT, scheduler="ddim", steps=20), 2) == "expected: 80 s."
    assert pace.in_words(lab.loaded, lab.request("", scheduler="ddim", steps=20, guidance_scale=1.0)).endswith("20 s.")


def test_scripts_are_python() -> None:
    lab = StableDiffusionLab(tiny())
    for name in SCHEDULERS:
        request = lab.request('the "red" \n\\ seven', scheduler=name)
        compile(scripts(Parameters("tiny", request)), "script", "exec")


# --- from the press to the gallery -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StableDiffusionTab]:
    """The tab on a pipeline with random weights, read from disk as the shipped one is."""
    folder: Path = tmp_path_factory.mktemp("tiny")
    new_pipeline().save_pretrained(folder)
    patch = pytest.MonkeyPatch()
    patch.setitem(CATALOGUE, "tiny", dataclasses.replace(CATALOGUE["tiny"], source=folder))
    patch.setattr(models, "_IN_MEMORY", {})
    with gr.Blocks():
        yield StableDiffusionTab(Sessions())
    patch.undo()


def page(tab: StableDiffusionTab, name: str | None = None) -> Any:
    """A request of one open page, new without a name."""
    request = SimpleNamespace(session_hash=name or str(random.random()))
    tab.sessions.visitor(request.session_hash)
    return request


def event(**data: Any) -> Any:
    return SimpleNamespace(_data=data)


def told(tab: StableDiffusionTab, updates: Any) -> list[Any]:
    """The messages of the stage, in order: their meta."""
    return [unpack(update[tab.stage])[0] for update in updates if tab.stage in update]


def news(tab: StableDiffusionTab, updates: Any) -> list[Any]:
    return [unpack(update[tab.news])[0] for update in updates if tab.news in update]


def test_a_run_begins_steps_ends_and_is_kept(tab: StableDiffusionTab) -> None:
    request = page(tab)
    messages = told(tab, tab._draw(request, event(mode="one"), *said(**QUICK)))
    assert [message["kind"] for message in messages] == ["begin", *["step"] * 5, "end"]
    begin, *steps, end = messages
    assert begin["slots"][0]["seeds"] == [0, 1]
    assert [step["index"] for step in steps] == [0, 1, 2, 3, 4]
    assert end["steps"] == [5]
    desk = tab.sessions.known(request.session_hash).diffusion
    assert end["ids"] == [[str(kept.number) for kept in desk.gallery]]
    assert [kept.parameters.request.seeds for kept in desk.gallery] == [(0,), (1,)]
    again = unpack(tab._missing(request))[0]["messages"]
    assert [unpack(message)[0]["kind"] for message in again] == ["begin", *["step"] * 5, "end"]


def test_two_prompts_take_turns_on_the_same_noise(tab: StableDiffusionTab) -> None:
    request, other = page(tab), PROMPT.replace("seven", "three")
    updates = list(tab._draw(request, event(mode="two", second=other), *said(**QUICK)))
    steps = [unpack(update[tab.stage]) for update in updates if tab.stage in update][1:-1]
    assert [meta["slot"] for meta, _ in steps] == [0, 1] * 5
    np.testing.assert_array_equal(steps[0][1]["latents"], steps[1][1]["latents"])
    assert np.abs(steps[-1][1]["images"] - steps[-2][1]["images"]).max() > 0


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
    assert tab.sessions.known(request.session_hash).diffusion.gallery == []


def test_stop_ends_a_wish_whose_model_is_still_loading(
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


def test_a_model_that_made_room_comes_back_at_draw_alone(
    tab: StableDiffusionTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, _ = drawn(tab)
    monkeypatch.setattr(models, "_IN_MEMORY", {})
    tab._read_tokens("tiny", "a red nine", request)
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


def test_stop_of_a_page_that_is_gone_is_answered(tab: StableDiffusionTab) -> None:
    request: Any = SimpleNamespace(session_hash="gone")
    assert "Reload" in unpack(tab._stop(request)[tab.news])[0]["status"]


def test_a_new_wish_ends_the_old_run(tab: StableDiffusionTab) -> None:
    request = page(tab)
    old = tab._draw(request, event(mode="one"), *said(steps=50, images=1))
    for update in old:
        if tab.stage in update and unpack(update[tab.stage])[0]["kind"] == "step":
            break
    new = told(tab, tab._draw(request, event(mode="one"), *said(**QUICK)))
    assert new[-1]["kind"] == "end"
    assert told(tab, old) == []


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
    galleries = [tab.sessions.known(each.session_hash).diffusion.gallery for each in (first, second)]
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
    desk = tab.sessions.known(request.session_hash).diffusion
    kept = desk.find(int(finished[3]["id"]))
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
        ("one", {"begin": "picture"}, {}, "no picture to start from"),
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


def test_too_little_memory_offers_less(tab: StableDiffusionTab) -> None:
    request = page(tab)
    smaller = StableDiffusionLab(tiny()).request(PROMPT, images=1)
    update = tab._failed(request, OutOfMemory("The memory was not enough.", smaller))
    assert unpack(update[tab.news])[0]["smaller"] is True
    assert tab._smaller(request)[tab.controls["images"]] == 1


def drawn(tab: StableDiffusionTab) -> tuple[Any, Any]:
    """A page with two pictures, and its desk."""
    request = page(tab)
    list(tab._draw(request, event(mode="one"), *said(**QUICK)))
    return request, tab.sessions.known(request.session_hash).diffusion


def test_a_picture_is_saved_and_read_back(tab: StableDiffusionTab) -> None:
    request, desk = drawn(tab)
    kept = desk.gallery[1]
    file = unpack(tab.home._save(request, event(id=str(kept.number)))[tab.files])[0]
    data = base64.b64decode(file["base64"])
    assert read_png(data).parameters == kept.parameters
    last = list(tab.home._opened(request, event(base64=base64.b64encode(data).decode()), *said()))[-1]
    assert (last[tab.prompt], last[tab.seed], last[tab.controls["steps"]]) == (PROMPT, 1, 3)


@pytest.mark.parametrize("text", [None, 5, "", "####", base64.b64encode(b"not a picture").decode()])
def test_what_is_no_picture_is_refused(tab: StableDiffusionTab, text: Any) -> None:
    (update,) = tab.home._opened(page(tab), event(base64=text), *said())
    assert unpack(update[tab.news])[0]["wrong"]


@pytest.mark.parametrize("number", [None, 7, "x", "-1", "9" * 20, "999999"])
def test_pictures_that_are_not_there_are_refused(tab: StableDiffusionTab, number: Any) -> None:
    request = page(tab)
    assert news(tab, tab.home._use(request, event(id=number)))[-1]["wrong"]
    assert unpack(tab.home._save(request, event(id=number))[tab.news])[0]["wrong"]


def test_settings_of_a_picture(tab: StableDiffusionTab) -> None:
    request, desk = drawn(tab)
    last = list(tab.home._use(request, event(id=str(desk.gallery[1].number))))[-1]
    assert (last[tab.prompt], last[tab.seed], last[tab.controls["images"]]) == (PROMPT, 1, 1)


def test_a_picture_begins_the_next(tab: StableDiffusionTab) -> None:
    request, desk = drawn(tab)
    number = str(desk.gallery[0].number)
    messages = told(tab, tab._start_from(request, event(id=number), *said(**QUICK)))
    assert messages[0]["start"] == f"picture {number}"
    assert desk.gallery[-1].parameters.kind == "img2img"
    told(tab, tab._start_from(request, event(id=number, pixels=covered(slice(60))), *said(**QUICK)))
    assert desk.gallery[-1].parameters.kind == "inpaint"
    before, after = read_png(desk.find(int(number)).png).image, read_png(desk.gallery[-1].png).image
    assert (before - after)[:, :12].abs().mean() > (before - after)[:, 24:].abs().mean()


def test_the_contact_sheet_has_every_step(tab: StableDiffusionTab) -> None:
    request, desk = drawn(tab)
    sheet = read_png(contact_sheet(desk.strip)).image
    assert sheet.shape == (3, 2 * 96, 5 * 96)
    update = tab.home._sheet(request)
    assert unpack(update[tab.files])[0]["name"] == "denoising-0.png"
    assert "Draw something first" in tab.home._sheet(page(tab))[tab.notices["Home"]]
    assert "StableDiffusionPipeline" in tab.home._script(request)[tab.home.lines]


def test_words_typed_become_tokens(tab: StableDiffusionTab) -> None:
    request, _ = drawn(tab)
    meta, _ = unpack(tab._read_tokens("tiny", "a red nine", request))
    assert [token["text"] for token in meta["tokens"]] == ["<start>", "a", "red", "nine", "<end>"]


def test_a_schedule_from_elsewhere_is_answered(tab: StableDiffusionTab) -> None:
    request = page(tab)
    own = tab.take_schedule(ScheduleConfig("scaled_linear"), SamplingConfig("ddim", 30), request)
    assert (own[tab.controls["scheduler"]], own[tab.controls["steps"]]) == ("ddim", 30)
    assert "nothing to change" in own[tab.brought]
    other = tab.take_schedule(ScheduleConfig("cosine"), SamplingConfig("langevin", 5000), request)
    assert tab.controls["scheduler"] not in other
    assert other[tab.controls["steps"]] == SETTINGS.max_denoising_steps
    assert "keeps its own" in other[tab.brought]


def test_nothing_of_a_visitor_is_markup(tab: StableDiffusionTab) -> None:
    update = tab.refused(RequestError("<img src=x onerror=alert(1)>"))
    assert "<img" not in update[tab.notices["Picture"]]


def test_clip_compares_only_what_is_there(tab: StableDiffusionTab) -> None:
    meta, _ = unpack(tab.clip._compare(page(tab), event(captions="a red seven")))
    assert meta["wrong"]
    assert "Draw something first" in meta["status"]


def test_foreign_pictures_can_be_started_from(tab: StableDiffusionTab) -> None:
    out = io.BytesIO()
    Image.new("RGB", (100, 60), (200, 30, 30)).save(out, "PNG")
    request = page(tab)
    list(tab.home._opened(request, event(base64=base64.b64encode(out.getvalue()).decode()), *said()))
    _, show = tab.here(request)
    assert show.beginning is not None
    assert show.beginning.image.shape == (3, 32, 32)


@pytest.mark.parametrize("shape", [(3, 1, 100_000), (3, 100_000, 1), (3, 60, 100)])
def test_a_picture_of_any_shape_is_cut_before_it_is_scaled(shape: tuple[int, int, int]) -> None:
    picture = torch.zeros(shape)
    picture[:, (shape[1] - 1) // 2, (shape[2] - 1) // 2] = 1.0
    fitted = _fitted(picture, Wish.of("tiny"))
    assert fitted.shape == (3, 32, 32)
    assert fitted[:, 12:20, 12:20].sum() > 0


def test_a_model_that_is_not_there_is_refused_at_its_knob(tab: StableDiffusionTab, tmp_path: Path) -> None:
    missing = dataclasses.replace(CATALOGUE["sd14"], source=tmp_path / "nothing")
    request, _ = drawn(tab)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CATALOGUE, "sd14", missing)
        *_, last = tab._choose("sd14", request)
    assert "not on this machine" in last[tab.notices["Model"]]
    assert last[tab.model] == "tiny"
    assert tab.here(request)[1].model == "tiny"
    *_, last = tab._choose("tiny", request)
    assert last[tab.prompt] == PROMPT


def test_a_seed_that_is_not_kept_is_shown(tab: StableDiffusionTab) -> None:
    request = page(tab)
    first, *rest = tab._draw(request, event(mode="one"), *said(lock=False, **QUICK))
    begin = told(tab, rest)[0]
    assert begin["slots"][0]["seeds"] == [first[tab.seed], (first[tab.seed] + 1) % 2**32]


def test_the_first_picture_comes_by_itself(tab: StableDiffusionTab) -> None:
    request = SimpleNamespace(session_hash="the first")
    messages = told(tab, tab._ready(request, *said(**QUICK)))  # type: ignore[arg-type]
    assert [message["kind"] for message in messages][::6] == ["begin", "end"]


WEB_UI = """a red (seven:1.2)
Negative prompt: blue
Steps: 12, Sampler: Euler a, CFG scale: 7.5, Seed: 99, Size: 512x512, Model hash: 1a"""
LINES = st.text(max_size=60).map(lambda text: f"{text}\nSteps: {text}, Seed: {text}, CFG scale: 1")


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
    *_, last = tab.home._opened(request, event(base64=base64.b64encode(out.getvalue()).decode()), *said())
    assert (last[tab.prompt], last[tab.seed], last[tab.controls["width"]]) == ("a red (seven:1.2)", 99, 32)
    assert "another program" in unpack(last[tab.news])[0]["status"]


@given(st.text(max_size=300) | LINES)
@settings(max_examples=100, deadline=None)
def test_no_line_of_others_breaks_it(text: str) -> None:
    changed = dataclasses.replace(Wish.of("tiny"), **read_parameters(text))
    Wish.read(said(**{name: getattr(changed, name) for name in read_parameters(text)}))


def test_spaces_without_end_are_read_to_the_end() -> None:
    assert read_parameters("a\n" + " " * 19_000) == {}
    assert read_parameters("a\n" + "a " * 9_500) == {}


def test_stop_is_noticed_while_waiting(tab: StableDiffusionTab) -> None:
    entered, leave = threading.Event(), threading.Event()

    def held() -> Iterator[int]:
        entered.set()
        leave.wait(60)
        yield 0

    other = threading.Thread(target=lambda: list(line.LINES["cpu"].run(held())))
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


def test_warming_up_loads_the_model(tab: StableDiffusionTab) -> None:
    stable_diffusion_tab.warm_up()
    assert "tiny" in models._IN_MEMORY


def test_a_png_of_ours_has_no_room_for_others(tab: StableDiffusionTab) -> None:
    _, desk = drawn(tab)
    kept = desk.gallery[0]
    assert to_png(read_png(kept.png).image, kept.parameters) == kept.png
