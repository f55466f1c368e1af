"""Is the picture what the words say? A reader trained on other people's digits than the model's looks at it."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from playground.diffusion.training import TrainStep
from playground.stable_diffusion.digits.pictures import Writer
from playground.stable_diffusion.digits.pipeline import FOLDER
from playground.stable_diffusion.digits.run import Chance, Recipe, Training, run
from playground.stable_diffusion.digits.words import Scene, draw_scene, held_out

RECIPE = Recipe(steps=5_000, batch_size=96, learning_rate=2e-3, optimizer="muon", flat=0.3, weight_decay=0.02)
NOTHING = 10  # the answer for a second digit where there is one only
QUESTIONS = {"digit": 10, "second digit": 11, "colour": 10, "second colour": 11, "background": 10}  # and the answers
PAIRS = 0.35


class PictureReader(nn.Module):
    """(N, 3, 32, 32) in [-1, 1] → (N, 52): logits of the five questions' answers, side by side."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 64, 96, 96)
        layers: list[nn.Module] = []
        for inputs, outputs, stride in zip(widths, widths[1:], (1, 2, 1, 2, 2), strict=False):
            layers += [nn.Conv2d(inputs, outputs, 3, stride, 1), nn.GroupNorm(8, outputs), nn.SiLU()]
        self.convolutions = nn.Sequential(*layers)  # → (N, 96, 4, 4)
        self.last = nn.Linear(96 * 16, sum(QUESTIONS.values()))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # how convolutions are fastest

    def forward(self, x: Tensor) -> Tensor:
        """(N, 52)."""
        return self.last(self.convolutions(x).flatten(1))

    @torch.inference_mode()
    def answers(self, x: Tensor) -> Tensor:
        """(N, 5): what each picture shows, in the order of QUESTIONS."""
        parts = [self(part).split(list(QUESTIONS.values()), 1) for part in x.split(256)]
        return torch.cat([torch.stack([logits.argmax(1) for logits in part], 1) for part in parts])


def truth(scenes: list[Scene]) -> Tensor:
    """(N, 5): the right answers."""
    rows = []
    for scene in scenes:
        two = len(scene.digits) == 2
        rows.append(
            [
                scene.digits[0],
                scene.digits[1] if two else NOTHING,
                scene.colours[0],
                scene.colours[1] if two else NOTHING,
                scene.background,
            ]
        )
    return torch.tensor(rows)


def train_judge(folder: Path, recipe: Recipe = RECIPE) -> Iterator[TrainStep]:
    """Train, or go on; at the end the reader lies in `folder`/judge."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        reader = PictureReader()
    writer = Writer("judge")

    def loss(chance: Chance) -> Tensor:
        scenes = [draw_scene(chance.words, PAIRS, held_out_too=True) for _ in range(recipe.batch_size)]
        x0 = writer.draw(scenes, chance.torch).x0
        x0 = x0 + 0.1 * chance.words.random() * torch.randn(x0.shape, generator=chance.torch)  # no fear of noise
        logits = reader(x0.contiguous(memory_format=torch.channels_last)).split(list(QUESTIONS.values()), 1)
        return torch.stack([F.cross_entropy(z, y) for z, y in zip(logits, truth(scenes).T, strict=True)]).mean()

    training = Training("judge", reader, loss, recipe, folder)
    yield from run(training)
    (folder / "judge").mkdir(exist_ok=True)
    weights = {k: v.half().contiguous() for k, v in training.average.state_dict().items()}
    save_file(weights, folder / "judge" / "model.safetensors")


@lru_cache(maxsize=2)
def load_judge(folder: Path = FOLDER) -> PictureReader:
    """The reader in `folder`/judge."""
    reader = PictureReader()
    reader.load_state_dict({k: v.float() for k, v in load_file(folder / "judge" / "model.safetensors").items()})
    return reader.requires_grad_(False).eval()


@dataclass(frozen=True)
class Share:
    """Shares of N pictures that are right, by question; and all of them at once."""

    n: int
    digit: float
    colour: float
    background: float
    all: float


def shares(answers: Tensor, scenes: list[Scene]) -> Share:
    """Of single-digit `scenes`. The digit counts as right only where no second one is seen."""
    right = answers == truth(scenes)
    digit, colour, ground = right[:, 0] & right[:, 1], right[:, 2], right[:, 4]
    figures = [float(part.double().mean()) for part in (digit, colour, ground, digit & colour & ground)]
    return Share(len(scenes), *figures)


def single_scenes(n: int, seed: int, seen: bool) -> list[Scene]:
    """`n` scenes of one digit: (digit, colour) pairs that training saw, or those held out."""
    rng = random.Random(seed)
    scenes: list[Scene] = []
    while len(scenes) < n:
        scene = draw_scene(rng, pairs=0.0, held_out_too=True)
        if held_out(scene.digits[0], scene.colours[0]) != seen:
            scenes.append(scene)
    return scenes


@torch.inference_mode()
def paint(
    pipeline: Any, prompts: list[str], seed: int = 0, batch: int = 40, negative_prompt: str = "", **options: Any
) -> Tensor:
    """(N, 3, 32, 32) in [-1, 1]: one picture of each prompt, by the pipeline itself."""
    done = []
    for k in range(0, len(prompts), batch):
        generators = [torch.Generator().manual_seed(seed + j) for j in range(k, min(k + batch, len(prompts)))]
        part = prompts[k : k + batch]
        negative = [negative_prompt] * len(part)
        images = pipeline(part, negative_prompt=negative, generator=generators, output_type="pt", **options).images
        done.append(images * 2 - 1)
    return torch.cat(done)


@torch.inference_mode()
def reconstruction(vae: Any, judge: PictureReader, n: int = 1_000, pairs: float = 0.0) -> dict[str, float]:
    """The autoencoder on `n` test pictures: PSNR in dB over all pixels, the share of digits read before and after."""
    rng, generator = random.Random(3), torch.Generator().manual_seed(3)
    scenes = [draw_scene(rng, pairs, held_out_too=True) for _ in range(n)]
    x0 = Writer("test").draw(scenes, generator).x0
    again = torch.cat([vae.decode(vae.encode(part).latent_dist.mean).sample for part in x0.split(64)]).clamp(-1, 1)
    error = float((again - x0).square().mean())
    columns = slice(0, 2)  # both digits
    read = [float((judge.answers(x) == truth(scenes))[:, columns].all(1).double().mean()) for x in (x0, again)]
    return {"n": n, "psnr_db": 10 * math.log10(4 / error), "digits_real": read[0], "digits_after": read[1]}
