"""What the numbered experiments claim is what the shipped model does."""

import json
import re
from pathlib import Path

import pytest
import torch

from playground.stable_diffusion import StableDiffusionLab
from playground.stable_diffusion.digits.judge import load_judge, shares, single_scenes
from playground.ui.stable_diffusion.experiments import EXPERIMENTS

CARD = json.loads(Path("assets/tiny-stable-diffusion/unet/card.json").read_text())["figures"]


def percents(name: str) -> list[int]:
    return [int(found) for found in re.findall(r"(\d+) %", EXPERIMENTS[name].look_for)]


def test_the_figures_are_those_of_the_card() -> None:
    def share(scale: int, pairs: str) -> float:
        return 100 * float(CARD[f"guidance {scale}, {pairs} pairs"]["all"])

    low, high, burnt = percents("guidance")
    assert [low, burnt] == pytest.approx([share(1, "seen"), share(6, "seen")], abs=0.51)
    assert high < share(3, "seen")  # "over 99 %"
    unseen, seen = percents("never_seen")
    assert unseen == pytest.approx(share(3, "held-out"), abs=0.51)
    assert seen < share(3, "seen")
    inks = [100 * CARD[f"ink, {stroke} stroke word"] for stroke in ("thin", "thick", "no")]
    assert percents("one_word") == pytest.approx(inks, abs=0.51)
    two = CARD["two digits, guidance 4"]
    assert percents("two_digits") == pytest.approx([100 * two["both colours"], 100 * two["both digits"]], abs=0.51)


def test_at_four_steps_pndm_falls_behind() -> None:
    lab, judge, scenes = StableDiffusionLab("tiny"), load_judge(), single_scenes(24, 0, True)
    right = {}
    for name in ("pndm", "ddim"):
        pictures = []
        for seed, scene in enumerate(scenes):
            *_, last = lab.generate(
                scene.caption, seed=seed, steps=4, guidance_scale=3.0, scheduler=name, preview="none"
            )
            assert last.images is not None
            pictures.append(last.images)
        with torch.inference_mode():
            right[name] = shares(judge.answers(torch.cat(pictures) * 2 - 1), scenes).all
    assert right["pndm"] < 0.6
    assert right["ddim"] > 0.85
