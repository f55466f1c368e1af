"""What the Stable Diffusion tab's controls say, and what they cannot say."""

import dataclasses
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from playground.diffusion.sampling_config import scheduled
from playground.stable_diffusion import RequestError, StableDiffusionLab, speed
from playground.stable_diffusion.models import CATALOGUE
from playground.stable_diffusion.picture import Kind, Parameters
from playground.toy import LabError
from playground.ui.stable_diffusion.gallery import settings as settings_of
from playground.ui.stable_diffusion.knobs import DrawSettings, StartFrom, calls_in_words, read_axis
from playground.ui.stable_diffusion.models import expected_in_words
from playground.ui.stable_diffusion.prompts import difference
from playground.ui.stable_diffusion.scripts import scripts
from playground.ui.stable_diffusion.state import InitialImage, StageState, interleaved, mask_from_pixels
from tests.stable_diffusion.tiny import PROMPT, tiny
from tests.ui.stable_diffusion.messages import covered, said


def test_knobs_say_what_the_model_likes() -> None:
    settings, default = DrawSettings.read(said()), CATALOGUE["tiny"].defaults
    assert settings == DrawSettings.of("tiny")
    assert (settings.steps, settings.guidance_scale, settings.scheduler) == (
        default.steps,
        default.guidance_scale,
        "pndm",
    )
    assert settings.request(StableDiffusionLab(tiny()), settings.prompt).seeds == (0, 1, 2, 3)


@pytest.mark.parametrize(
    "changes",
    [{"model": "nope"}, {"model": None}, {"seed": -1}, {"seed": 2**32}, {"seed": 1.5}, {"seed": float("nan")},
     {"seed": "7"}, {"steps": 0}, {"steps": 2.5}, {"guidance_scale": float("nan")}, {"images": 9},
     {"scheduler": "magic"}, {"preview": "all"}, {"start_from": "end"}, {"attention": 1}],
)  # fmt: skip
def test_what_no_control_can_say_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises((RequestError, LabError)):
        DrawSettings.read(said(**changes))


ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)


@given(st.lists(ANYTHING, min_size=15, max_size=15))
@settings(max_examples=60, deadline=None)
def test_no_value_from_a_stranger_breaks_it(values: list[Any]) -> None:
    assert len(values) == len(said())
    with pytest.raises((RequestError, LabError)):
        DrawSettings.read(values)


def test_no_words_are_drawn_without_guidance() -> None:
    settings = dataclasses.replace(DrawSettings.of("tiny"), prompt="  ", guidance_scale=5.0)
    assert settings.request(StableDiffusionLab(tiny()), settings.prompt).guidance_scale == 1.0


@pytest.mark.parametrize("name", scheduled())
def test_settings_come_back_as_they_were(name: str) -> None:
    settings = dataclasses.replace(DrawSettings.of("tiny"), scheduler=name, steps=7, seed=9, negative_prompt="blue")
    made = settings.request(StableDiffusionLab(tiny()), settings.prompt)
    assert settings_of(made, "tiny") == settings


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


def test_a_covered_part() -> None:
    mask = mask_from_pixels(covered(slice(64)))
    assert mask.shape == (128, 128)
    assert mask[:64].all()
    assert not mask[64:].any()
    image, small = InitialImage(torch.rand(3, 32, 32), "", mask).resized(16, 32)
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
    state = StageState()
    first = state.new_run()
    state.remember("one")
    assert state.new_run() == first + 1
    assert state.messages == []
    with pytest.raises(RequestError, match="Start from it"):
        state.start("img2img", 32, 32)


def test_the_expected_time_is_that_of_all_prompts() -> None:
    lab = StableDiffusionLab(dataclasses.replace(tiny()))  # a model of which no call was timed
    requests = [lab.request(PROMPT, scheduler="ddim", steps=20)]
    assert expected_in_words(lab, requests) == ""
    speed.learn(lab.loaded, lab.request(PROMPT), calls=1, seconds=2.0)
    assert expected_in_words(lab, requests) == "expected: 40 s."
    assert expected_in_words(lab, requests * 2) == "expected: 80 s."
    assert expected_in_words(lab, [lab.request("", scheduler="ddim", steps=20, guidance_scale=1.0)]).endswith("20 s.")


def test_scripts_are_python() -> None:
    lab = StableDiffusionLab(tiny())
    for name in scheduled():
        request = lab.request('the "red" \n\\ seven', scheduler=name)
        for kind in get_args(Kind):
            compile(scripts(Parameters("tiny", request, kind)), "script", "exec")


def test_settings_say_what_made_the_picture_alone() -> None:
    lab = StableDiffusionLab(tiny())
    made = lab.request(PROMPT, images=2, preview="none", attention=False, guidance_scale=0.5)
    found, default = settings_of(made, "tiny"), DrawSettings.of("tiny")
    assert (found.images, found.preview, found.attention) == (default.images, default.preview, default.attention)
    assert found.guidance_scale == 1.0  # what is not guided at 0.5 is not at 1, and the slider begins there


def test_the_slider_begins_where_diffusers_does_not_guide() -> None:
    with pytest.raises(LabError, match="from 1 to"):
        DrawSettings.read(said(guidance_scale=0.5))
    assert not DrawSettings.of("tiny").request(StableDiffusionLab(tiny()), "").guided


@pytest.mark.parametrize("name", scheduled())
@pytest.mark.parametrize("start_from", ["noise", "img2img"])
def test_the_calls_told_are_those_of_the_run(name: str, start_from: StartFrom) -> None:
    lab = StableDiffusionLab(tiny())
    settings = dataclasses.replace(
        DrawSettings.of("tiny"), scheduler=name, steps=5, start_from=start_from, strength=0.7, images=1
    )
    picture = torch.rand(3, 32, 32) if start_from == "img2img" else None
    knobs: dict[str, Any] = {"scheduler": name, "steps": 5, "strength": 0.7, "preview": "none"}
    *_, last = lab.generate(PROMPT, init_image=picture, **knobs)
    words = "strength 0.7: 3 of 5 steps" if start_from == "img2img" else "5 steps"
    assert calls_in_words(settings) == f"{words} = {last.calls} U-Net calls"


def test_one_call_is_one() -> None:
    settings = dataclasses.replace(DrawSettings.of("tiny"), scheduler="dpm++", steps=1)
    assert calls_in_words(settings) == "1 step = 1 U-Net call"
    assert calls_in_words(dataclasses.replace(settings, start_from="img2img")).endswith("0 of 1 step = 0 U-Net calls")


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ("a red seven", "Both prompts are the same."),
        ("a red three", ""),
        ("a red thick seven", ""),
        ("a white zero", "They differ in more than a word: red seven → white zero."),
        ("", "They differ in more than a word: a red seven → –."),
    ],
)
def test_prompts_that_differ_in_more_than_a_word_are_told(second: str, words: str) -> None:
    assert difference("a red seven", second) == words
