"""Train a network on images, outside the page: `accelerate launch -m playground.mnist.train --out runs/digits`.

Several processes share every batch: each draws the same random numbers and takes its part, so that any number of them
computes what one would. Killed at any moment, the same command goes on from the last checkpoint, bit for bit on the
same machine with the same number of processes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from playground.diffusion.sampling import SamplingConfig, network_denoiser, sample, start_noise
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.training import Batch, Trainer, TrainingConfig, TrainStep
from playground.mnist.datasets import open_images
from playground.mnist.export import sheet
from playground.mnist.networks import NetworkConfig, make_network
from playground.mnist.recipes import PLANNED
from playground.mnist.weights import RANGE, make_card, write_card, write_weights
from playground.storage import unflatten
from playground.training_run import RunError, progress, read_checkpoint, write_checkpoint

FORMAT = "diffusion-playground/image-run/1"


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what comes out. The defaults are the recipe of the model that ships."""

    data: str = "mnist"  # "mnist", a Hub id, or a folder of images
    size: int = 28
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = PLANNED
    steps: int = 18_000
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


class SharedTrainer(Trainer):
    """The playground's own training loop, its gradients averaged over all processes by accelerate."""

    def __init__(self, accelerator: Accelerator, network: nn.Module, *arguments: Any) -> None:
        super().__init__(network.to(accelerator.device), *arguments)
        self.accelerator = accelerator
        self.shared = accelerator.prepare(self.network)
        if accelerator.num_processes > 1 and any(isinstance(part, nn.BatchNorm2d) for part in network.modules()):
            raise RunError("Batch norm would see only each process's part of a batch: take --norm group.")
        if self.config.batch_size % accelerator.num_processes:
            raise RunError(
                f"A batch of {self.config.batch_size} cannot be shared evenly by {accelerator.num_processes} processes."
            )

    def backward(self, batch: Batch) -> Tensor:
        """This process's part of the loss; every process ends with the gradients of the whole batch."""
        part = batch.part(self.accelerator.process_index, self.accelerator.num_processes)
        with self.accelerator.autocast():
            loss = part.to(self.accelerator.device).loss(self.shared, self.config.prediction)
        self.accelerator.backward(loss)
        return self.accelerator.reduce(loss.detach(), "mean")


class Run:
    """A recipe at work in a folder: checkpoint.safetensors, samples-*.png, at the end model.safetensors and model.json.

    Raises RunError where the folder holds a run of another recipe.
    """

    def __init__(self, recipe: Recipe, folder: Path, accelerator: Accelerator) -> None:
        self.recipe, self.folder, self.accelerator = recipe, folder, accelerator
        self.images = open_images(recipe.data).resized(recipe.size)
        classes = len(self.images.classes)
        network = make_network(recipe.network, self.images.shape, classes, recipe.seed)
        schedule = ScheduleConfig("cosine", 1000).make()
        self.trainer = SharedTrainer(
            accelerator,
            network,
            self.images,
            schedule,
            recipe.training,
            recipe.seed,
            self.images.labels,
            classes,
        )
        self.trainer.planned_steps = recipe.steps
        self.seconds = 0.0
        folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint = folder / "checkpoint.safetensors"
        if self.checkpoint.exists():
            self._resume()

    @property
    def step(self) -> int:
        """Steps done."""
        return self.trainer.step_count

    def steps(self) -> Iterator[TrainStep]:
        """The steps that are left."""
        while self.step < self.recipe.steps:
            step = self.trainer.step()
            self.seconds += step.seconds
            yield step

    def save(self) -> None:
        """Write the checkpoint, wholly or not at all."""
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            state = self.trainer.state_dict() | {"seconds": self.seconds}
            write_checkpoint(self.checkpoint, FORMAT, self.recipe.to_dict(), state)

    def _resume(self) -> None:
        what = "a training run's checkpoint"
        tensors, rest = read_checkpoint(self.checkpoint, FORMAT, what, self.recipe.to_dict())
        self.seconds = float(rest.pop("seconds"))
        self.trainer.load_state_dict(unflatten(self.trainer.blank_state(), tensors, rest))

    def preview(self, steps: int = 20, guidance_scale: float = 2.0) -> Tensor:
        """Samples of the averaged weights, as many of each class: (N, C, H, W) in [-1, 1]."""
        classes = len(self.images.classes)
        labels = torch.arange(classes).repeat_interleave(8) if classes else None
        n = 64 if labels is None else len(labels)
        average = self.trainer.ema
        device = self.accelerator.device
        if labels is not None:
            labels = labels.to(device)
        denoise = network_denoiser(average, self.recipe.training.prediction, labels, guidance_scale, *RANGE)
        x = start_noise(n, math.prod(self.images.shape), self.recipe.seed).reshape(n, *self.images.shape)
        config = SamplingConfig(steps=steps)
        for step in sample(denoise, self.trainer.schedule, x.to(device), config):
            x = step.x
        return x.cpu()

    def finish(self) -> None:
        """The averaged weights in half precision, and the card that says how they were made."""
        if not self.accelerator.is_main_process:
            return
        average, path = self.trainer.ema.cpu(), self.folder / "model.safetensors"
        write_weights(average, path)
        card = make_card(
            path,
            average,
            self.images,
            self.recipe.to_dict(),
            training_steps=self.step,
            training_seconds=round(self.seconds),
            processes=self.accelerator.num_processes,
            device=str(self.accelerator.device),
        )
        write_card(path, card)


def parse(arguments: list[str]) -> tuple[Recipe, argparse.Namespace]:
    """The command line as a recipe, and the options that concern this run only."""
    parser = argparse.ArgumentParser(prog="python -m playground.mnist.train", description=__doc__)
    default = Recipe()
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; the same folder goes on")
    parser.add_argument("--data", default=default.data, help="mnist, an image data set's Hub id, or a folder")
    parser.add_argument("--size", type=int, default=default.size, help="side of the images in pixels")
    parser.add_argument("--steps", type=int, default=default.steps)
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--sample-every", type=int, default=1_000, help="steps between two sheets of samples")
    parser.add_argument("--checkpoint-every", type=int, default=500, help="steps between two checkpoints")
    parser.add_argument("--threads", type=int, default=0, help="processor threads; 0 leaves it to torch")
    for name in ("network", "training"):
        group = parser.add_argument_group(name)
        for knob in dataclasses.fields(getattr(default, name)):
            value = getattr(getattr(default, name), knob.name)
            option: dict[str, Any] = {"default": value, "dest": f"{name}.{knob.name}"}
            if isinstance(value, bool):
                option["action"] = argparse.BooleanOptionalAction
            elif isinstance(value, tuple):
                option |= {"type": int, "nargs": "+"}
            else:
                option["type"] = type(value)
            group.add_argument(f"--{knob.name.replace('_', '-')}", **option)
    options = parser.parse_args(arguments)

    def part(name: str) -> dict[str, Any]:
        return {k.removeprefix(f"{name}."): v for k, v in vars(options).items() if k.startswith(f"{name}.")}

    network, training = NetworkConfig(**part("network")), TrainingConfig(**part("training"))
    return Recipe(options.data, options.size, network, training, options.steps, options.seed), options


def main(arguments: list[str]) -> None:
    """Train, or go on training, until the recipe's last step."""
    recipe, options = parse(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    accelerator = Accelerator()
    run = Run(recipe, options.out, accelerator)
    for step in progress(run.steps(), recipe.steps, run.step, accelerator.is_main_process):
        if step.step % options.checkpoint_every == 0 or step.step == recipe.steps:
            run.save()
        if step.step % options.sample_every == 0 and accelerator.is_main_process:
            sheet(run.preview(), 8, scale=1, gap=0).save(options.out / f"samples-{step.step:06d}.png")
    run.finish()
    accelerator.end_training()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ValueError, OSError) as error:  # a recipe, a folder, a data set or a disk that will not do: say it plainly
        sys.exit(f"{type(error).__name__}: {error}")
