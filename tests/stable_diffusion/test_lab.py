"""StableDiffusionLab: defaults of the model, tokens, sweeps and grids."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from playground.diffusion.sampling import SamplerError
from playground.stable_diffusion import speed
from playground.stable_diffusion.generation import encode
from playground.stable_diffusion.grid import Grid, GridCell
from playground.stable_diffusion.lab import StableDiffusionLab
from playground.stable_diffusion.request import RequestError
from tests.stable_diffusion.runs import corner, photo
from tests.stable_diffusion.tiny import PROMPT, tiny

torch.set_num_threads(1)
LAB = StableDiffusionLab(tiny())


def drawn(**knobs: Any) -> torch.Tensor:
    *_, step = LAB.generate(PROMPT, **{"steps": 2, "preview": "none", **knobs})
    assert step.images is not None
    return step.images


def test_the_three_lines_of_the_readme() -> None:
    for step in LAB.generate(PROMPT, steps=3, guidance_scale=4.0, seed=0):
        assert step.images is not None
        assert step.images.shape == (1, 3, 32, 32)
    assert step.index == step.total
    assert step.images is not None
    assert 0 <= float(step.images.min()) < float(step.images.max()) <= 1


def test_the_model_fills_in_what_is_not_said() -> None:
    request = LAB.request(PROMPT, seed=7, images=3)
    assert (request.steps, request.guidance_scale, request.scheduler) == (20, 3.0, "pndm")
    assert (request.height, request.width, request.seeds) == (32, 32, (7, 8, 9))
    assert LAB.request(PROMPT, seeds=[4, 4, 1]).seeds == (4, 4, 1)
    with pytest.raises(RequestError, match="No such knob: sampler"):
        LAB.request(PROMPT, sampler="ddim")


def test_refusals_come_before_any_work() -> None:
    with pytest.raises(RequestError, match="multiple of 8"):
        LAB.generate(PROMPT, width=33)
    with pytest.raises(SamplerError, match="PNDM with 1 step"):
        LAB.generate(PROMPT, steps=1)
    with pytest.raises(SamplerError, match="PNDM with 1 step"):
        LAB.grid(PROMPT, ("steps", [8, 1]))


# ---- Tokens


def test_tokens_are_the_models_own() -> None:
    tokens = LAB.tokens(PROMPT)
    tokenizer = tiny().pipeline.tokenizer
    assert [t.id for t in tokens] == tokenizer(PROMPT).input_ids[1:-1]
    assert [t.text for t in tokens] == PROMPT.split()
    assert not any(t.cut for t in tokens)
    assert LAB.tokens("") == ()


def test_words_are_read_in_two_threads_at_once() -> None:
    words, request = "red " * 40, LAB.request("red " * 40, guidance_scale=1.0)
    with ThreadPoolExecutor(2) as pool:
        typed = pool.map(lambda _: len(LAB.tokens(words)), range(200))
        drawn = pool.map(lambda _: encode(LAB.loaded, request).shape[1], range(200))
        assert set(typed) == {40}
        assert set(drawn) == {LAB.loaded.pipeline.tokenizer.model_max_length}


def test_what_does_not_fit_is_cut() -> None:
    words = "seven " * 40
    tokens = LAB.tokens(words)
    tokenizer = tiny().pipeline.tokenizer
    seen = tokenizer(words, truncation=True, max_length=tokenizer.model_max_length).input_ids
    kept = [t for t in tokens if not t.cut]
    assert len(tokens) == 40
    assert [t.id for t in kept] == seen[1:-1]
    assert [t.cut for t in tokens] == sorted(t.cut for t in tokens)


# ---- Sweeps and grids


def finished(grid: Grid) -> dict[tuple[int, int], tuple[GridCell, torch.Tensor]]:
    """Each cell with its picture (3, H, W), by place."""
    found = {}
    for cell, step in grid:
        if step.index == step.total:
            assert step.images is not None
            found[cell.row, cell.column] = cell, step.images[0]
    return found


def test_a_sweep_is_the_pictures_of_its_scales() -> None:
    grid = LAB.grid(PROMPT, ("guidance_scale", [1.0, 3.0, 8.0]), steps=2, seed=3, preview="decode")
    ends = finished(grid)
    assert list(ends) == [(0, 0), (0, 1), (0, 2)]
    assert len(list(grid)) == 3 * 4  # every step of every picture: 3 calls of PNDM, and the end
    assert grid.calls == 3 * 3
    for cell, image in ends.values():
        assert torch.equal(image, drawn(guidance_scale=cell.x, seed=3)[0])
        assert cell.y is None


def test_a_grid_of_any_two_axes() -> None:
    ends = finished(LAB.grid(PROMPT, ("word", ["seven", "two"]), ("seed", [1, 5]), steps=2, preview="none"))
    assert list(ends) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    cell, _ = ends[1, 1]
    assert (cell.x, cell.y, cell.request.prompt) == ("two", 5, "a red two on a blue background")
    assert cell.request.seeds == (5,)
    assert torch.equal(ends[0, 0][1], drawn(seed=1)[0])
    ends = finished(LAB.grid(PROMPT, ("scheduler", ["ddim", "heun"]), ("steps", [2, 3]), preview="none", seed=9))
    assert torch.equal(ends[1, 0][1], drawn(scheduler="ddim", steps=3, seed=9)[0])


def prompts(prompt: str, x: Any, y: Any = None) -> list[str]:
    return [cell.request.prompt for cell in LAB.grid(prompt, x, y).cells]


def test_two_words_make_a_table() -> None:
    asked = prompts(PROMPT, ("word", ["seven", "two"]), ("word", ["red", "seven", "green"]))
    assert asked == [
        f"a {colour} {digit} on a blue background" for colour in ("red", "seven", "green") for digit in ("seven", "two")
    ]
    # What one axis puts there is not replaced by the other.
    swapped = prompts(PROMPT, ("word", ["red", "blue"]), ("word", ["blue", "red"]))
    assert swapped[3] == "a blue seven on a red background"


def test_whole_words_are_replaced_only() -> None:
    asked = prompts(PROMPT, ("word", ["a", "the"]))
    assert asked == [PROMPT, "the red seven on the blue background"]
    assert prompts("red, reddish red", ("word", ["red", r"\1 blue"]))[1] == r"\1 blue, reddish \1 blue"
    assert prompts("a red seven", ("word", ["red seven", "two"]))[1] == "a two"
    assert prompts("seven, blue", ("word", [",", " on"]))[1] == "seven on blue"


def test_a_grid_starts_from_a_picture() -> None:
    knobs: dict[str, Any] = {"init_image": photo(), "mask": corner(), "strength": 0.5, "steps": 4, "preview": "none"}
    ends = finished(LAB.grid(PROMPT, ("seed", [1, 5]), **knobs))
    for cell, image in ends.values():
        assert torch.equal(image, drawn(seed=cell.x, **knobs)[0])
        assert (image - photo())[:, ~corner()].abs().mean() < (image - photo())[:, corner()].abs().mean()
    with pytest.raises(RequestError, match="must have 32×32 pixels"):
        LAB.grid(PROMPT, ("seed", [1]), init_image=photo(64))


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (("prompt", ["a"]), None, "No axis 'prompt'"),
        (("steps", []), None, "has no values"),
        (("word", ["nine", "two"]), None, "does not have 'nine'"),
        (("word", ["eve", "two"]), None, "does not have 'eve' as a word of its own"),
        (("word", ["", "two"]), None, "does not have '' as a word"),
        (("steps", [2]), ("steps", [3]), "Both axes turn the same knob"),
        (("word", ["red", "pink"]), ("word", ["red", "two"]), "Both axes replace 'red'"),
        (("word", ["red seven", "two"]), ("word", ["seven", "two"]), "Both axes replace 'seven'"),
        (("seed", list(range(9))), ("steps", list(range(2, 10))), "72 pictures are too many"),
        (("seed", list(range(9))), ("steps", [500]), "4,500 steps together"),
        (("seed", [2.5]), None, "2.5 is none"),
        (("steps", ["many"]), None, "whole number"),
    ],
)
def test_grids_that_are_refused(x: Any, y: Any, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        LAB.grid(PROMPT, x, y)


def test_a_grid_can_be_left_in_the_middle_of_a_picture() -> None:
    run = iter(LAB.grid(PROMPT, ("guidance_scale", [1.0, 3.0]), steps=8))
    _, step = next(run)
    assert step.index < step.total
    run.close()  # type: ignore[attr-defined]
    assert next(run, None) is None


def test_expected_seconds_grow_with_the_work() -> None:
    lab = StableDiffusionLab(dataclasses.replace(tiny()))  # a model of which no call was timed
    few, many = lab.request(PROMPT, steps=4), lab.request(PROMPT, steps=9, images=4)
    assert not speed.known(lab.loaded)
    assert lab.expected_seconds(few) > 0
    assert lab.expected_seconds(many) == pytest.approx(8 * lab.expected_seconds(few))  # 10 calls of 4 against 5 of 1


def test_the_estimate_is_made_from_the_last_run() -> None:
    lab = StableDiffusionLab(dataclasses.replace(tiny()))
    request = lab.request(PROMPT, scheduler="ddim", steps=5, images=2)
    *_, last = lab.generate(PROMPT, scheduler="ddim", steps=5, images=2, preview="none")
    assert lab.expected_seconds(request) == pytest.approx(last.parts["unet"])


def test_the_work_is_calls_times_pictures_times_pixels() -> None:
    lab = StableDiffusionLab(dataclasses.replace(tiny()))
    speed.learn(lab.loaded, lab.request(PROMPT, guidance_scale=1.0), calls=1, seconds=1.0)
    assert lab.expected_seconds(lab.request(PROMPT, scheduler="ddim", steps=7, images=3)) == pytest.approx(7 * 3 * 2)
    half = lab.request(PROMPT, scheduler="ddim", steps=7, guidance_scale=1.0, height=16)
    assert lab.expected_seconds(half) == pytest.approx(7 / 2)


def test_durations_in_words() -> None:
    seconds = (0.2, 8.4, 89, 91, 600.1)
    assert [speed.duration(s) for s in seconds] == ["1 s", "8 s", "89 s", "about 2 min", "about 11 min"]
