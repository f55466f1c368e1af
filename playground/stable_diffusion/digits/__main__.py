"""Train the tiny Stable Diffusion: `python -m playground.stable_diffusion.digits vae --out runs/tiny`, then clip,
judge, unet and preview, with the same folder; then cards measures all of them. Killed at any moment, the same command
goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import torch

from playground.stable_diffusion.digits import cards, clip, judge, preview, unet, vae

PARTS = {
    "vae": (vae.train_vae, vae.RECIPE),
    "clip": (clip.train_clip, clip.RECIPE),
    "preview": (preview.train_preview, preview.RECIPE),
    "unet": (unet.train_unet, unet.RECIPE),
    "judge": (judge.train_judge, judge.RECIPE),
}


def main(arguments: list[str]) -> None:
    """Train one part to its recipe's end."""
    parser = argparse.ArgumentParser(prog="python -m playground.stable_diffusion.digits", description=__doc__)
    parser.add_argument("part", choices=[*PARTS, "cards"])
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; the same folder goes on")
    parser.add_argument("--steps", type=int, default=0, help="steps; 0 takes the recipe's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n", type=int, default=400, help="cards: pictures of each kind")
    parser.add_argument("--threads", type=int, default=0, help="processor threads; 0 leaves it to torch")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.part == "cards":
        print(json.dumps(cards.write_cards(options.out, options.n), indent=2))
        return
    train, recipe = PARTS[options.part]
    recipe = dataclasses.replace(recipe, steps=options.steps or recipe.steps, seed=options.seed)
    for _ in train(options.out, recipe):
        pass


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ValueError, OSError) as error:  # a folder or a disk that will not do: say it plainly
        sys.exit(f"{type(error).__name__}: {error}")
