"""The tiny Stable Diffusion that ships: what its cards say, it can do."""

import hashlib
import json

import pytest
import torch

from playground.stable_diffusion.clip_game import ClipError, paint_by_clip, similarity
from playground.stable_diffusion.digits.cards import BLUE, open_pipeline
from playground.stable_diffusion.digits.clip import load_clip
from playground.stable_diffusion.digits.judge import load_judge, paint, reconstruction, shares, single_scenes, truth
from playground.stable_diffusion.digits.pictures import Writer
from playground.stable_diffusion.digits.pipeline import FOLDER
from playground.stable_diffusion.digits.preview import closeness, load_preview
from playground.stable_diffusion.digits.words import COLOUR_NAMES, DIGITS

PARTS = ("vae", "clip", "unet", "judge", "preview")
N = 300


@pytest.fixture(scope="module")
def pipeline():
    return open_pipeline(FOLDER)


@pytest.fixture(scope="module")
def judge():
    return load_judge()


def test_all_weights_together_are_at_most_8_mb_of_safetensors():
    weights = list(FOLDER.rglob("*.safetensors"))
    assert sum(file.stat().st_size for file in weights) <= 8e6
    assert not [f for f in FOLDER.rglob("*") if f.suffix in (".bin", ".pt", ".ckpt", ".pkl")]


@pytest.mark.parametrize("part", PARTS)
def test_each_part_has_its_card(part):
    card = json.loads((FOLDER / part / "card.json").read_text())
    assert {"data", "recipe", "parameters", "training_seconds", "figures", "sha256"} <= set(card)
    for name, digest in card["sha256"].items():
        assert hashlib.sha256((FOLDER / part / name).read_bytes()).hexdigest() == digest


def test_the_judge_reads_digits_that_nobody_has_seen(judge):
    scenes = single_scenes(500, 11, True)
    share = shares(judge.answers(Writer("test").draw(scenes, torch.Generator().manual_seed(11)).x0), scenes)
    assert share.digit > 0.97
    assert share.colour > 0.99
    assert share.background > 0.99


def test_the_autoencoder_keeps_what_matters(pipeline, judge):
    figures = reconstruction(pipeline.vae, judge, 300)
    assert figures["psnr_db"] >= 30
    assert figures["digits_after"] >= figures["digits_real"] - 0.02


def test_previews_look_like_the_picture(pipeline):
    decoder = load_preview(FOLDER)
    assert decoder is not None
    assert closeness(decoder, pipeline.vae, 100)["psnr_db"] >= 30


@pytest.mark.parametrize(("seen", "least"), [(True, 0.97), (False, 0.95)])
def test_pictures_show_what_the_words_say(pipeline, judge, seen, least):
    scenes = single_scenes(N, 0, seen)
    drawn = paint(pipeline, [s.caption for s in scenes], 0, num_inference_steps=20, guidance_scale=3.0)
    share = shares(judge.answers(drawn), scenes)
    assert share.digit >= least, share
    assert share.colour >= least, share
    assert share.background >= least, share


def test_guidance_helps(pipeline, judge):
    scenes = single_scenes(60, 3, True)
    right = [
        shares(
            judge.answers(
                paint(pipeline, [s.caption for s in scenes], 0, num_inference_steps=20, guidance_scale=scale)
            ),
            scenes,
        ).all
        for scale in (1.0, 3.0)
    ]
    assert right[1] > right[0]


def test_stroke_words_act(pipeline):
    ink = []
    for stroke in ("thin ", "", "thick "):
        prompts = [f"a {stroke}black {DIGITS[k]} on a white background" for k in range(10)]
        drawn = paint(pipeline, prompts, 0, num_inference_steps=20, guidance_scale=4.0)
        ink.append(float((1 - drawn).mean() / 2))
    assert ink[0] < ink[1] < ink[2]


def test_negative_prompts_act(pipeline, judge):
    prompts = [f"a {DIGITS[k % 10]}" for k in range(40)]

    def blue(column, negative):
        drawn = paint(pipeline, prompts, 0, negative_prompt=negative, num_inference_steps=20, guidance_scale=4.0)
        return int((judge.answers(drawn)[:, column] == BLUE).sum())

    digit, background = 2, 4  # a colour alone is read as the digit's
    assert blue(digit, "blue") < blue(digit, "")
    assert blue(background, "a six on a blue background") < blue(background, "")


def test_clip_finds_the_caption(judge):
    scenes = single_scenes(100, 5, True)
    x0 = Writer("test").draw(scenes, torch.Generator().manual_seed(5)).x0
    clip = load_clip(FOLDER)
    with torch.inference_mode():
        digit = clip.similarity(x0, [f"a {name}" for name in DIGITS]).argmax(1)
        ground = clip.similarity(x0, [f"a six on a {name} background" for name in COLOUR_NAMES]).argmax(1)
    answers = truth(scenes)
    assert (digit == answers[:, 0]).double().mean() > 0.9
    assert (ground == answers[:, 4]).double().mean() > 0.9


def test_the_table_of_similarities_is_largest_on_its_diagonal():
    scenes = single_scenes(6, 2, True)
    x0 = Writer("test").draw(scenes, torch.Generator().manual_seed(2)).x0
    table = similarity((x0 + 1) / 2, [s.caption for s in scenes])
    assert table.shape == (6, 6)
    assert torch.equal(table.argmax(1), torch.arange(6))


def test_clip_paints_towards_the_words():
    first, *_, last = paint_by_clip("a red seven on a blue background", steps=40, seed=0)
    assert (first.step, last.step, last.steps) == (1, 40, 40)
    assert last.image.shape == (3, 32, 32)
    assert 0 <= last.image.min() <= last.image.max() <= 1
    assert last.similarity > first.similarity + 0.3
    corner = last.image[:, :4, :4].mean((1, 2))
    assert corner.argmax() == 2  # blue


@pytest.mark.parametrize(("caption", "steps"), [("", 10), ("  ", 10), ("a six", 0), ("a six", 100_000)])
def test_clip_says_what_it_cannot_paint(caption, steps):
    with pytest.raises(ClipError):
        next(paint_by_clip(caption, steps))


def test_the_table_has_a_limit():
    with pytest.raises(ClipError, match="Write a caption to compare with"):
        similarity(torch.rand(1, 3, 32, 32), [])
    with pytest.raises(ClipError, match="1 to 16 pictures and 1 to 16 captions"):
        similarity(torch.rand(1, 3, 32, 32), ["a six"] * 17)
