"""What prompts say, which pairs were held out, and what the judge reads in pictures."""

import random

import pytest
import torch

from playground.stable_diffusion import StableDiffusionLab
from playground.stable_diffusion.digits.pictures import Writer
from playground.stable_diffusion.digits.words import COLOUR_NAMES, DIGITS, Scene, draw_caption, draw_scene
from playground.stable_diffusion.prompt_check import DigitPrompt, Reading, parse_prompt, read

torch.set_num_threads(1)
RED, BLUE, GREEN = (COLOUR_NAMES.index(name) for name in ("red", "blue", "green"))


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a red seven on a blue background", DigitPrompt(7, RED, BLUE)),
        ("A Thick RED seven, blue background", DigitPrompt(7, RED, BLUE)),
        ("the number seven in red on blue paper", DigitPrompt(7, RED, BLUE)),
        ("on a blue background a red seven", DigitPrompt(7, RED, BLUE)),
        ("red seven on the blue", DigitPrompt(7, RED, BLUE)),
        ("a seven in blue background", DigitPrompt(7, None, BLUE)),
        ("a seven", DigitPrompt(7, None, None)),
        ("a green seven and the red", DigitPrompt(7, GREEN, None)),
        ("seventy red", None),
        ("a red seven and a green nine", None),
        ("", None),
    ],
)
def test_what_a_prompt_says(prompt: str, expected: DigitPrompt | None) -> None:
    assert parse_prompt(prompt) == expected


def test_every_training_caption_is_understood() -> None:
    rng = random.Random(0)
    for _ in range(2_000):
        scene = draw_scene(rng, pairs=0.0)
        caption = draw_caption(scene, rng)
        found = parse_prompt(caption)
        assert found is not None
        assert found.digit == scene.digits[0]
        assert found.colour in (None, scene.colours[0])
        assert found.background in (None, scene.background)
        assert not found.unseen
        named = {word for word in caption.replace(",", "").split() if word in COLOUR_NAMES}
        assert len(named) == (found.colour is not None) + (found.background is not None)


def test_a_fifth_of_the_pairs_is_unseen() -> None:
    unseen = [found.unseen for d in DIGITS for c in COLOUR_NAMES if (found := parse_prompt(f"a {c} {d}"))]
    assert (len(unseen), sum(unseen)) == (100, 20)
    assert parse_prompt("a red five") == DigitPrompt(5, RED, None)
    assert DigitPrompt(5, RED, None).unseen
    assert not DigitPrompt(7, RED, None).unseen
    assert not DigitPrompt(5, None, None).unseen


def test_the_judge_reads_pictures() -> None:
    scenes = [Scene((7,), (RED,), BLUE), Scene((2,), (GREEN,), RED)]
    images = (Writer("test").draw(scenes, torch.Generator().manual_seed(0)).x0 + 1) / 2
    for scene, image in zip(scenes, images, strict=True):
        reading, words = read(image), parse_prompt(scene.caption)
        assert words is not None
        assert reading == Reading(scene.digits[0], scene.colours[0], scene.background, None)
        assert reading.wrong(words) == ()
        assert reading.in_words(words).endswith(": right")


def test_the_shipped_model_draws_a_pair_it_never_saw() -> None:
    words = DigitPrompt(0, RED, COLOUR_NAMES.index("white"))
    assert words.unseen
    *_, step = StableDiffusionLab("tiny").generate("a red zero on a white background", images=4, preview="none")
    assert step.images is not None
    assert sum(not read(image).wrong(words) for image in step.images) >= 3


def test_what_is_wrong_is_named() -> None:
    seven = DigitPrompt(7, RED, None)
    assert Reading(1, RED, BLUE, None).wrong(seven) == ("digit",)
    assert Reading(7, RED, BLUE, 8).wrong(seven) == ("digit",)
    assert Reading(7, BLUE, GREEN, None).wrong(DigitPrompt(7, RED, BLUE)) == ("colour", "background")
    words = Reading(7, COLOUR_NAMES.index("orange"), BLUE, 8).in_words(seven)
    assert words == "the judge reads an orange seven beside an eight on blue: digit and colour wrong"
