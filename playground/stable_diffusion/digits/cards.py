"""What each trained part can do, measured and written beside its weights: `… digits cards --out FOLDER`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import torch

from playground.diffusion.diffusers_schedulers import import_diffusers
from playground.stable_diffusion.digits.clip import TinyClip, load_clip
from playground.stable_diffusion.digits.judge import PictureReader, load_judge, paint, reconstruction, shares, truth
from playground.stable_diffusion.digits.judge import single_scenes as scenes_of
from playground.stable_diffusion.digits.pictures import PALETTE, TRAINING_DIGITS, Writer
from playground.stable_diffusion.digits.preview import closeness, load_preview
from playground.stable_diffusion.digits.run import FORMAT
from playground.stable_diffusion.digits.words import COLOUR_NAMES, DIGITS, STROKES, draw_scene
from playground.storage import decode, write_atomically

STEPS = 20
GUIDANCE = (1.0, 2.0, 3.0, 4.0, 6.0)
BLUE = COLOUR_NAMES.index("blue")


def write_cards(folder: Path, n: int) -> dict[str, Any]:
    """`folder`/PART/card.json for every part: how it was made, and its figures over `n` pictures each."""
    judge, clip = load_judge(folder), load_clip(folder)
    pipeline = open_pipeline(folder)
    cards: dict[str, Any] = {
        "vae": {"single": reconstruction(pipeline.vae, judge, n), "pairs": reconstruction(pipeline.vae, judge, n, 1.0)},
        "clip": zero_shot(clip, n),
        "unet": pictures(pipeline, judge, n),
        "judge": reading(judge, n),
    }
    if decoder := load_preview(folder):
        cards["preview"] = closeness(decoder, pipeline.vae, n)
    for part, figures in cards.items():
        _write(folder, part, figures)
    return cards


def open_pipeline(folder: Path) -> Any:
    """The StableDiffusionPipeline in `folder`, in float32, without a progress bar."""
    pipeline = import_diffusers("StableDiffusionPipeline").StableDiffusionPipeline.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, use_safetensors=True
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def pictures(pipeline: Any, judge: PictureReader, n: int, seed: int = 0) -> dict[str, Any]:
    """Shares of `n` pictures that show what the words say, PNDM with 20 steps; and whether the other words act."""
    figures: dict[str, Any] = {"n": n, "steps": STEPS, "scheduler": "PNDM", "seed": seed}
    for scale in GUIDANCE:
        for seen in (True, False):
            scenes = scenes_of(n, seed, seen)
            drawn = paint(pipeline, [s.caption for s in scenes], seed, num_inference_steps=STEPS, guidance_scale=scale)
            share = dataclasses.asdict(shares(judge.answers(drawn), scenes))
            figures[f"guidance {scale:g}, {'seen' if seen else 'held-out'} pairs"] = share
    options: dict[str, Any] = {"num_inference_steps": STEPS, "guidance_scale": 4.0}
    for stroke in STROKES:
        prompts = [f"a {stroke} black {DIGITS[k % 10]} on a white background".replace("  ", " ") for k in range(n // 4)]
        drawn = paint(pipeline, prompts, seed, **options)
        figures[f"ink, {stroke or 'no'} stroke word"] = float((1 - drawn).mean() / 2)
    for negative in ("", "blue", "a six on a blue background"):
        prompts = [f"a {DIGITS[k % 10]}" for k in range(n // 2)]
        answers = judge.answers(paint(pipeline, prompts, seed, negative_prompt=negative, **options))
        figures[f"blue, negative prompt {negative!r}"] = {
            "digit": float((answers[:, 2] == BLUE).double().mean()),
            "background": float((answers[:, 4] == BLUE).double().mean()),
        }
    rng = random.Random(seed)
    scenes = [draw_scene(rng, 1.0) for _ in range(n // 2)]
    drawn = paint(pipeline, [s.caption for s in scenes], seed, **options)
    right = judge.answers(drawn) == truth(scenes)
    figures["two digits, guidance 4"] = {
        "n": len(scenes),
        "left digit": float(right[:, 0].double().mean()),
        "right digit": float(right[:, 1].double().mean()),
        "both digits": float(right[:, :2].all(1).double().mean()),
        "both colours": float(right[:, 2:4].all(1).double().mean()),
        "background": float(right[:, 4].double().mean()),
    }
    return figures


@torch.inference_mode()
def zero_shot(clip: TinyClip, n: int) -> dict[str, float]:
    """Shares of test pictures whose digit, colour and background CLIP finds by comparing with captions alone."""
    rng, generator = random.Random(5), torch.Generator().manual_seed(5)
    scenes = [draw_scene(rng, 0.0, held_out_too=True) for _ in range(n)]
    looks, answers = clip.look(Writer("test").draw(scenes, generator).x0), truth(scenes)
    questions = {
        "digit": ([f"a {name}" for name in DIGITS], 0),
        "colour": ([f"a {name} six" for name in COLOUR_NAMES], 2),
        "background": ([f"a six on a {name} background" for name in COLOUR_NAMES], 4),
    }
    read = {
        name: float(((looks @ clip.read(captions).T).argmax(1) == answers[:, column]).double().mean())
        for name, (captions, column) in questions.items()
    }
    return {"n": n, **read}


def reading(judge: PictureReader, n: int) -> dict[str, Any]:
    """How well the judge reads real pictures of digits that neither it nor the model has seen."""
    figures: dict[str, Any] = {"n": n}
    for pairs in (0.0, 1.0):
        rng, generator = random.Random(7), torch.Generator().manual_seed(7)
        scenes = [draw_scene(rng, pairs, held_out_too=True) for _ in range(n)]
        right = judge.answers(Writer("test").draw(scenes, generator).x0) == truth(scenes)
        figures["pairs" if pairs else "single"] = {
            "digits": float(right[:, :2].all(1).double().mean()),
            "colours": float(right[:, 2:4].all(1).double().mean()),
            "background": float(right[:, 4].double().mean()),
        }
    return figures


def _write(folder: Path, part: str, figures: dict[str, Any]) -> None:
    checkpoint = (folder / f"{part}-checkpoint.safetensors").read_bytes()
    recipe, tensors, rest = decode(checkpoint, FORMAT, "a checkpoint of the tiny model")
    weights = (folder / part).glob("*.safetensors")
    sample = "the last 15,000" if part == "judge" else f"the first {TRAINING_DIGITS:,}"
    card = {
        "data": f"MNIST's training digits, {sample}, in {len(PALETTE)} colours",
        "recipe": recipe,
        "parameters": sum(t.numel() for name, t in tensors.items() if name.startswith("network/")),
        "training_seconds": round(float(rest["seconds"])),
        "torch": torch.__version__.split("+")[0],
        "sha256": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(weights)},
        "figures": figures,
    }
    write_atomically(folder / part / "card.json", (json.dumps(card, indent=2) + "\n").encode())
