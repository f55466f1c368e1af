"""The three trainings, a few steps each: they start, learn, and leave what the next one needs."""

import dataclasses
import json
import math

import pytest
import torch

from playground.diffusion.schedule_config import ScheduleConfig
from playground.stable_diffusion.digits import __main__ as command
from playground.stable_diffusion.digits.cards import open_pipeline
from playground.stable_diffusion.digits.clip import RECIPE as CLIP
from playground.stable_diffusion.digits.clip import TinyClip, contrast, load_clip, train_clip
from playground.stable_diffusion.digits.judge import NOTHING, shares, single_scenes, truth
from playground.stable_diffusion.digits.pictures import Writer
from playground.stable_diffusion.digits.pipeline import make_vae
from playground.stable_diffusion.digits.preview import RECIPE as PREVIEW
from playground.stable_diffusion.digits.preview import load_preview, train_preview
from playground.stable_diffusion.digits.unet import RECIPE as UNET
from playground.stable_diffusion.digits.unet import level_weights, train_unet
from playground.stable_diffusion.digits.vae import LATENT_NOISE, train_vae, whiten
from playground.stable_diffusion.digits.vae import RECIPE as VAE
from playground.stable_diffusion.digits.words import Scene, held_out, make_tokenizer
from playground.training_run import RunError
from tests.stable_diffusion.tiny import make_pipeline


def short(recipe, steps, batch_size=8):
    return dataclasses.replace(recipe, steps=steps, batch_size=batch_size, warmup_steps=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All three parts trained for a moment, one after the other, as the commands do it."""
    folder = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("playground.stable_diffusion.digits.vae.WHITENING", 256)
        losses = {
            "vae": [s.loss for s in train_vae(folder, short(VAE, 20))],
            "clip": [s.loss for s in train_clip(folder, short(CLIP, 10, 32))],
            "unet": [s.loss for s in train_unet(folder, short(UNET, 20))],
            "preview": [s.loss for s in train_preview(folder, short(PREVIEW, 20))],
        }
    (folder / "losses.json").write_text(json.dumps(losses))
    return folder


@pytest.mark.parametrize("part", ["vae", "clip", "unet", "preview"])
def test_the_loss_falls(folder, part):
    losses = json.loads((folder / "losses.json").read_text())[part]
    assert sum(losses[-5:]) < 0.95 * sum(losses[:5])


def test_the_folder_is_a_pipeline_that_anyone_loads(folder):
    pipeline = open_pipeline(folder)
    assert type(pipeline).__name__ == "StableDiffusionPipeline"
    assert type(pipeline.scheduler).__name__ == "PNDMScheduler"
    image = pipeline(
        "a red seven", num_inference_steps=2, generator=torch.Generator().manual_seed(0), output_type="pt"
    ).images
    assert image.shape == (1, 3, 32, 32)
    assert image.isfinite().all()


def test_a_model_may_ship_a_decoder_for_previews_or_not(folder, tmp_path):
    assert load_preview(tmp_path) is None
    decoder = load_preview(folder)
    assert decoder is not None
    assert decoder(torch.zeros(2, 8, 8, 8)).shape == (2, 3, 32, 32)


def test_clip_is_read_back_as_it_was(folder):
    one, two = load_clip(folder), load_clip(folder)
    x0 = Writer("test").draw(single_scenes(4, 0, True), torch.Generator().manual_seed(0)).x0
    assert torch.equal(one.similarity(x0, ["a six", "a red two"]), two.similarity(x0, ["a six", "a red two"]))
    assert one.look(x0).norm(dim=1) == pytest.approx([1] * 4, abs=1e-5)


def test_the_unet_asks_for_the_parts_before_it(tmp_path):
    with pytest.raises(RunError, match="vae"):
        next(train_unet(tmp_path))


def test_the_command_says_plainly_what_is_missing(tmp_path):
    with pytest.raises(RunError, match="train the vae and clip first"):
        command.main(["unet", "--out", str(tmp_path), "--steps", "1"])


def test_whitened_latents_have_mean_0_and_variance_1_and_decode_as_before():
    torch.manual_seed(3)
    vae, writer = make_vae().requires_grad_(False), Writer("train")
    x0 = writer.draw(single_scenes(64, 0, True), torch.Generator().manual_seed(0)).x0
    before = vae.decode(vae.encode(x0).latent_dist.mean).sample
    whiten(vae, writer, 256)
    posterior = vae.encode(x0).latent_dist
    assert posterior.mean.mean((0, 2, 3)).abs().max() < 0.3
    assert (posterior.mean.std((0, 2, 3)) - 1).abs().max() < 0.3
    assert torch.allclose(posterior.std, torch.full_like(posterior.std, LATENT_NOISE))
    assert torch.allclose(vae.decode(posterior.mean).sample, before, atol=1e-4)


def test_contrast_is_smallest_where_each_finds_its_own():
    right = torch.eye(8)
    assert contrast(right, right, torch.tensor(100.0)) < 1e-4
    assert contrast(right, right.roll(1, 0), torch.tensor(100.0)) > 50
    assert contrast(torch.ones(8, 8) / math.sqrt(8), right, torch.tensor(1.0)) == pytest.approx(math.log(8))


def test_min_snr_weighs_an_error_of_x0_by_at_most_five():
    schedule = ScheduleConfig("scaled_linear").make()
    in_x0 = level_weights(schedule) * schedule.snr
    assert in_x0.max() == pytest.approx(5.0)
    assert level_weights(schedule)[-1] == 1.0


def test_the_text_encoder_reads_the_end_token():
    clip = TinyClip(make_tokenizer()).eval()
    with torch.no_grad():
        one, two, three = clip.read(["a red seven", "a red seven", "a red six"])
    assert torch.equal(one, two)
    assert not torch.allclose(one, three)


def test_the_pipeline_of_a_seed_is_the_same_every_time():
    one, two = make_pipeline(5), make_pipeline(5)
    assert all(torch.equal(a, b) for a, b in zip(one.unet.parameters(), two.unet.parameters(), strict=True))


def test_judging_counts_what_is_right():
    scenes = [Scene((7,), (0,), 5), Scene((3,), (1,), 2)]
    answers = truth(scenes)
    assert answers.tolist() == [[7, NOTHING, 0, NOTHING, 5], [3, NOTHING, 1, NOTHING, 2]]
    assert dataclasses.astuple(shares(answers, scenes)) == (2, 1.0, 1.0, 1.0, 1.0)
    answers[1, 0] = 5
    answers[0, 4] = 0
    assert dataclasses.astuple(shares(answers, scenes)) == (2, 0.5, 1.0, 0.5, 0.0)
    answers[0, 1] = 4  # a second digit where there is one only
    assert shares(answers, scenes).digit == 0.0


def test_scenes_to_judge_are_of_the_kind_asked_for():
    for seen in (True, False):
        scenes = single_scenes(50, 1, seen)
        assert all(held_out(s.digits[0], s.colours[0]) != seen for s in scenes)
        assert scenes == single_scenes(50, 1, seen)
