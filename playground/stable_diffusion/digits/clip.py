"""A tiny CLIP: pictures and captions into one space, each beside its own. Radford et al. 2021.

Its text encoder, frozen, is what the U-Net reads, as in Stable Diffusion. Trained together with the U-Net instead, it
learns colours early and digits hardly ever: telling a picture from others by its caption teaches more.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from playground.diffusion.training import TrainStep
from playground.stable_diffusion.digits.pictures import Writer
from playground.stable_diffusion.digits.pipeline import WIDTH, make_text_encoder
from playground.stable_diffusion.digits.run import Chance, Recipe, Training, run
from playground.stable_diffusion.digits.words import draw_caption, draw_scene, make_tokenizer

RECIPE = Recipe(steps=2_500, batch_size=192, learning_rate=2e-3, optimizer="muon", flat=0.3)
SPACE = 64  # dimensions of the space both share
LARGEST_SCALE = 100.0  # of the similarities, as in the paper, §2.5


class ImageEncoder(nn.Module):
    """(N, 3, 32, 32) in [-1, 1] → (N, 64): four strided convolutions and a linear map."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 48, 96, 96)
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.GroupNorm(8, outputs), nn.SiLU()]
        self.convolutions = nn.Sequential(*layers)  # → (N, 96, 2, 2)
        self.projection = nn.Linear(96 * 4, SPACE, bias=False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # how convolutions are fastest

    def forward(self, x: Tensor) -> Tensor:
        """(N, 64), not normalised."""
        return self.projection(self.convolutions(x).flatten(1))


class TinyClip(nn.Module):
    """Both encoders and the temperature. `text_encoder` is transformers' CLIPTextModel."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.image_encoder = ImageEncoder()
        self.text_encoder = make_text_encoder(tokenizer)
        self.text_projection = nn.Linear(WIDTH, SPACE, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def read(self, captions: Sequence[str]) -> Tensor:
        """(N, 64) of unit length: the end token's state after the last layer, projected."""
        ids = self.tokenizer(list(captions), padding="max_length", truncation=True, return_tensors="pt").input_ids
        return F.normalize(self.text_projection(self.text_encoder(ids).pooler_output), dim=1)

    def look(self, x0: Tensor) -> Tensor:
        """(N, 64) of unit length for pictures (N, 3, 32, 32) in [-1, 1]."""
        return F.normalize(self.image_encoder(x0), dim=1)

    def similarity(self, x0: Tensor, captions: Sequence[str]) -> Tensor:
        """(pictures, captions) cosine similarities."""
        return self.look(x0) @ self.read(captions).T


def contrast(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Radford et al. 2021, figure 3: which caption belongs to this picture, and which picture to this caption."""
    logits = scale * images @ texts.T
    here = torch.arange(len(logits))
    return (F.cross_entropy(logits, here) + F.cross_entropy(logits.T, here)) / 2


def train_clip(folder: Path, recipe: Recipe = RECIPE) -> Iterator[TrainStep]:
    """Train, or go on; at the end `folder`/text_encoder holds the text encoder as transformers saves it, `folder`/clip
    the rest.
    """
    tokenizer = make_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        clip = TinyClip(tokenizer)
    writer = Writer("train")

    def loss(chance: Chance) -> Tensor:
        scenes = [draw_scene(chance.words) for _ in range(recipe.batch_size)]
        captions = [draw_caption(scene, chance.words) for scene in scenes]
        x0 = writer.draw(scenes, chance.torch).x0.contiguous(memory_format=torch.channels_last)
        return contrast(clip.look(x0), clip.read(captions), clip.log_scale.exp().clamp_max(LARGEST_SCALE))

    training = Training("clip", clip, loss, recipe, folder)
    yield from run(training)
    save_clip(training.average, folder)  # type: ignore[arg-type]


def save_clip(clip: TinyClip, folder: Path) -> None:
    """In half precision: the text encoder and tokenizer where a pipeline has them, the rest in `folder`/clip."""
    clip.half()
    clip.text_encoder.save_pretrained(folder / "text_encoder")
    clip.tokenizer.save_pretrained(folder / "tokenizer")
    rest = {k: v.contiguous() for k, v in clip.state_dict().items() if not k.startswith("text_encoder.")}
    (folder / "clip").mkdir(exist_ok=True)
    save_file(rest, folder / "clip" / "model.safetensors")


def load_clip(folder: Path) -> TinyClip:
    """The inverse of `save_clip`, in float32, ready to use."""
    import transformers

    clip = TinyClip(transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True))
    clip.text_encoder = transformers.CLIPTextModel.from_pretrained(
        folder / "text_encoder", local_files_only=True, use_safetensors=True, dtype=torch.float32
    )
    rest = {k: v.float() for k, v in load_file(folder / "clip" / "model.safetensors").items()}
    missing, unexpected = clip.load_state_dict(rest, strict=False)
    if unexpected or any(not name.startswith("text_encoder.") for name in missing):
        raise ValueError(f"{folder / 'clip'} does not hold this CLIP's weights.")
    return clip.requires_grad_(False).eval()
