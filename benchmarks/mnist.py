"""The MNIST lab beside the course notebook's network; the model that ships, and training from scratch, judged.

    python -m benchmarks.mnist [--json FILE|-] [--only speed|quality|live …] [--quick]
    python -m benchmarks.mnist --against COMMIT

The reference (benchmarks/reference_mnist.py) is timed for a few of its 1,000 steps. The whole takes about a quarter of
an hour on one core; leave the machine alone meanwhile.
"""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from benchmarks import reference_mnist as reference
from benchmarks.against import compare
from benchmarks.stopwatch import spend
from benchmarks.table import Figure, Report, make_parser, say
from playground.diffusion.sampling import SamplingConfig
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.training import Trainer
from playground.mnist.data import mnist
from playground.mnist.judge import ImageQuality, draw_samples, judge, reads
from playground.mnist.networks import make_network
from playground.mnist.recipes import LIVE_14, LIVE_28, LiveRecipe
from playground.mnist.weights import ImageModel, load_model

PARTS = ("speed", "quality", "live")
SAMPLING = SamplingConfig()
SCHEDULE = ScheduleConfig("cosine", 1000).make()
TIMED = 16  # images: what the page shows at once
GUIDANCE = 2.0


@dataclass(frozen=True)
class Effort:
    """How thoroughly to measure."""

    repeats: int = 5  # of everything that is timed; medians
    reference_steps: int = 5  # of its 1,000, a repeat
    samples: int = 2_000  # judged of the model that ships, at each guidance
    live_samples: int = 500
    seeds: tuple[int, ...] = (0, 1, 2)  # of networks trained from scratch; medians
    seconds: tuple[tuple[LiveRecipe, float], ...] = ((LIVE_14, 60.0), (LIVE_28, 120.0))


QUICK = Effort(1, 2, 50, 50, (0,), ((LIVE_14, 3.0), (LIVE_28, 3.0)))


@dataclass(frozen=True)
class Speed:
    """Processor seconds for 16 images, on one thread; the model that ships takes 20 steps."""

    reference_step: float
    unguided: float
    guided: float

    @property
    def reference(self) -> float:
        """All of its steps: each costs the same, so a few tell of all."""
        return reference.T * self.reference_step


@dataclass(frozen=True)
class Live:
    """A network trained from scratch for some seconds of the processor: medians over the seeds."""

    size: int
    seconds: float
    steps: int
    right: float  # share of samples at guidance 2 that is read as the class asked for
    right_all: list[float]
    right_of_real: float  # the same of test digits, as small and enlarged in the same way


def measure_speed(model: ImageModel, effort: Effort) -> Speed:
    """Both alternately, so that whatever else the machine does slows both."""
    network, generator = reference.make_network(), torch.Generator().manual_seed(0)
    labels = torch.arange(TIMED) % len(model.classes)

    def theirs(steps: int) -> Tensor:
        return reference.sample(network, TIMED, steps, generator)

    def ours(guidance_scale: float) -> Tensor:
        return draw_samples(model, labels, SCHEDULE, SAMPLING, guidance_scale)

    theirs(1)  # what is only paid once, imports and first calls, is paid before the clocks run
    ours(1.0)
    times: list[tuple[float, float, float]] = []
    for _ in range(effort.repeats):
        their_step = spend(lambda: theirs(effort.reference_steps)).cpu / effort.reference_steps
        times.append((their_step, spend(lambda: ours(1.0)).cpu, spend(lambda: ours(GUIDANCE)).cpu))
    return Speed(*(statistics.median(column) for column in zip(*times, strict=True)))


def measure_quality(model: ImageModel, effort: Effort) -> dict[float, ImageQuality]:
    """The model that ships, without guidance and with."""
    labels = torch.arange(effort.samples) % len(model.classes)
    result = {}
    for scale in (1.0, GUIDANCE):
        result[scale] = judge(draw_samples(model, labels, SCHEDULE, SAMPLING, scale), labels)
        say(f"guidance {scale:g}: {result[scale]}")
    return result


def right_share(x: Tensor, labels: Tensor) -> float:
    """The share of `x` (N, 1, H, W) that is read as `labels`; the reader knows 28×28 only, so smaller ones are
    enlarged, bilinearly.
    """
    enlarged = F.interpolate(x.clamp(-1, 1), (28, 28), mode="bilinear")
    return (reads(enlarged).argmax(1) == labels).double().mean().item()


def train_live(recipe: LiveRecipe, seconds: float, seed: int) -> ImageModel:
    """A network from scratch, trained on one thread for `seconds` of the processor: the average of its weights."""
    images = mnist().resized(recipe.size)
    classes = len(images.classes)
    network = make_network(recipe.network, images.shape, classes, seed)
    trainer = Trainer(network, images, SCHEDULE, recipe.training, seed, images.labels, classes)
    spent, told = 0.0, time.process_time()
    with tqdm(total=round(seconds), unit="s", leave=False) as bar:
        while spent < seconds:
            begun = time.process_time()
            trainer.step()
            spent += time.process_time() - begun
            if time.process_time() - told > 1:
                told = time.process_time()
                bar.update(round(spent) - bar.n)
    card = {"training_steps": trainer.step_count}
    return ImageModel("live", trainer.ema, recipe.training.prediction, images.shape, images.classes, card)


def measure_live(recipe: LiveRecipe, seconds: float, effort: Effort) -> Live:
    """Train, sample at guidance 2, read."""
    labels = torch.arange(effort.live_samples) % 10
    steps, right = [], []
    for seed in effort.seeds:
        model = train_live(recipe, seconds, seed)
        x = draw_samples(model, labels, SCHEDULE, SAMPLING, GUIDANCE, seed)
        steps.append(model.card["training_steps"])
        right.append(right_share(x, labels))
        say(f"{recipe.size}×{recipe.size}, {seconds:g} s, seed {seed}: {steps[-1]} steps, right class {right[-1]:.3f}")
    real = mnist("test").resized(recipe.size)
    assert real.labels is not None
    of_real = right_share(real[:], real.labels)
    return Live(recipe.size, seconds, round(statistics.median(steps)), statistics.median(right), right, of_real)


def figures(speed: Speed | None, quality: dict[float, ImageQuality], lives: list[Live]) -> list[Figure]:
    """The table's lines."""
    lines = []
    if speed:
        step, theirs = speed.unguided / SAMPLING.steps, f"{speed.reference:.0f} s, {reference.T:,} steps, extrapolated"
        what, times = f"{TIMED} samples", (f"{1e3 * step:.1f} ms", f"{1e3 * speed.reference_step:.0f} ms")
        lines += [Figure(f"{what}: one step", *times, step / speed.reference_step, 1 / 7)]
        for how, seconds, goal in (("guided", speed.guided, 1 / 150), ("unguided", speed.unguided, 1 / 300)):
            ours = f"{seconds:.2f} s, {SAMPLING.steps} steps"
            lines.append(Figure(f"{what}: {how}", ours, theirs, seconds / speed.reference, goal))
    for scale, q in quality.items():
        goal = 0.97 if scale == 1 else 0.995
        what, floor = f"guidance {scale:g}", "real digits: {:.3f}"
        lines += [
            Figure(f"{what}: right class", f"N = {q.n:,}", "", q.right, goal, at_most=False),
            Figure(
                f"{what}: Fréchet distance",
                f"N = {q.n:,}",
                floor.format(q.frechet_floor),
                q.frechet,
                1.0 if scale == 1 else None,
            ),
            Figure(f"{what}: to the nearest training digit", "", floor.format(q.nearest_floor), q.nearest),
        ]
    for live in lives:
        what, ours = f"from scratch, {live.size}×{live.size}, {live.seconds:g} s", f"{live.steps} steps"
        real = f"real digits: {live.right_of_real:.3f}"
        lines.append(Figure(f"{what}: right class", ours, real, live.right, 0.9, at_most=False))
    return lines


def main() -> None:
    """Measure what was asked for and print it."""
    arguments = make_parser(__doc__, "a minute, to see that everything runs", PARTS, against=True).parse_args()
    if arguments.against:
        compare(("mnist",), arguments)
        return
    only, effort = arguments.only, QUICK if arguments.quick else Effort()

    report = Report(arguments, "seconds of the processor")
    model = load_model()
    speed = measure_speed(model, effort) if "speed" in only else None
    lives = [measure_live(*part, effort) for part in effort.seconds] if "live" in only else []
    quality: dict[float, ImageQuality] = {}
    if "quality" in only:
        torch.set_num_threads(os.cpu_count() or 1)  # these samples only serve to be judged
        quality = measure_quality(model, effort)
    report.finish(
        figures(speed, quality, lives),
        effort=asdict(effort),
        speed=speed and asdict(speed),
        quality={f"guidance {scale:g}": asdict(q) for scale, q in quality.items()},
        live=[asdict(live) for live in lives],
    )


if __name__ == "__main__":
    main()
