"""What every training run outside the page needs: a checkpoint that belongs to one recipe, and a progress bar."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from playground.diffusion.training import TrainStep
from playground.refusal import Refusal
from playground.storage import decode, encode, flatten, write_atomically


class RunError(Refusal):
    """This run cannot start or go on; the message says why."""


def write_checkpoint(path: Path, format: str, recipe: dict[str, Any], state: dict[str, Any]) -> None:
    """`state`, nested, into one file whose header holds the `recipe`: wholly or not at all."""
    tensors, rest = flatten(state)
    write_atomically(path, encode(format, recipe, {name: tensor.cpu() for name, tensor in tensors.items()}, rest))


def read_checkpoint(
    path: Path, format: str, what: str, recipe: dict[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and plain values by path, for `unflatten`. `what`: the kind of file it should be, in words.

    Raises RunError where the checkpoint belongs to another recipe, StorageError where the file cannot be read.
    """
    found, tensors, rest = decode(path.read_bytes(), format, what)
    if found != recipe:
        differs = {name: value for name, value in found.items() if value != recipe.get(name)}
        raise RunError(f"{path} belongs to another recipe ({json.dumps(differs)}). Name another folder.")
    return tensors, rest


def progress(steps: Iterator[TrainStep], total: int, done: int = 0, shown: bool = True) -> Iterator[TrainStep]:
    """The same `steps`, with a bar that shows the smoothed loss; `done` of the `total` were taken earlier."""
    smooth: float | None = None
    with tqdm(total=total, initial=done, mininterval=2, disable=not shown) as bar:
        for step in steps:
            smooth = step.loss if smooth is None else 0.98 * smooth + 0.02 * step.loss
            bar.set_postfix(loss=f"{smooth:.4f}", refresh=False)
            bar.update()
            yield step
