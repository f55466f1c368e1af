"""Our loop beside the bare pipeline of diffusers: what live previews and scrub data cost, and how fast a picture comes.

    python -m benchmarks.stable_diffusion [--model tiny|sd15|sd14|full|quarter] [--device cpu|cuda] [--steps N]
                                          [--repeats N] [--json FILE|-] [--quick]
    python -m benchmarks.stable_diffusion --against COMMIT

`full`: Stable Diffusion 1.5's architecture, weights at random: what it draws is noise, its costs are real. `quarter`:
the same at about a quarter of its width. Ratios are of medians, the runs alternate; on a processor they are of
processor time, one thread. There, what a run spends outside of U-Net, VAE and text encoder is compared on its own too:
those of a large model take minutes, and vary by more than all the rest takes.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from benchmarks.against import compare
from benchmarks.random_stable_diffusion import at_width
from benchmarks.table import Figure, Report, make_parser, say
from playground.diffusion.samplers import SAMPLERS
from playground.stable_diffusion import generation, schedulers
from playground.stable_diffusion.devices import measure, plan, synchronize
from playground.stable_diffusion.lab import StableDiffusionLab
from playground.stable_diffusion.models import CATALOGUE, Defaults, Loaded, Model
from playground.stable_diffusion.request import DEFAULT_SCHEDULER, Request
from playground.ui.stable_diffusion.stage import pack_step

PROMPT = "a red seven on a blue background"
LARGE_SHARE, TINY_SHARE, TINY_SECONDS = 0.03, 0.35, 1.0  # the goals
RANDOM = {  # one over the width, title, bytes in half precision
    "full": (1, "Stable Diffusion 1.5's architecture, weights at random", 2_100_000_000),
    "quarter": (4, "Stable Diffusion 1.5 at a quarter of its width, weights at random", 200_000_000),
}


@dataclass(frozen=True)
class Timing:
    """Median seconds of one image, of the three ways to make it."""

    bare: float  # diffusers' pipeline
    loop: float  # ours, without previews
    live: float  # ours, as the page has it: previews, where words act, and every step packed
    outside: float | None  # of the parts: what `live` spends more there than `bare`; on a processor
    seconds_per_call: float  # of the U-Net, in the bare pipeline
    calls: int
    packed_bytes: int

    @property
    def share(self) -> float:
        """Of the bare pipeline's time, what previews and scrub data cost."""
        return self.live / self.bare - 1


class Inside:
    """Processor seconds within the pipeline's parts."""

    def __init__(self, pipeline: Any) -> None:
        self.seconds = 0.0
        for part in (pipeline.unet, pipeline.vae.encoder, pipeline.vae.decoder, pipeline.text_encoder):
            part.register_forward_pre_hook(self._begin)
            part.register_forward_hook(self._end)

    def _begin(self, *_: Any) -> None:
        self.seconds -= time.process_time()

    def _end(self, *_: Any) -> None:
        self.seconds += time.process_time()


def bare(loaded: Loaded, request: Request) -> torch.Tensor:
    """The same picture by diffusers' own pipeline."""
    pipeline = loaded.pipeline
    original = pipeline.scheduler
    pipeline.scheduler = schedulers.make(request.scheduler, original.config, request.steps)
    images: torch.Tensor = pipeline(
        request.prompt,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance_scale,
        num_images_per_prompt=request.images,
        height=request.height,
        width=request.width,
        generator=[torch.Generator().manual_seed(seed) for seed in request.seeds],
        output_type="pt",
    ).images
    pipeline.scheduler = original
    return images.cpu()


def measure_ways(loaded: Loaded, request: Request, repeats: int) -> Timing:
    """The three ways one after the other, `repeats` times."""
    device = loaded.plan.device
    clock = time.process_time if device == "cpu" else time.perf_counter
    lab, packed = StableDiffusionLab(loaded), 0
    inside = Inside(loaded.pipeline) if device == "cpu" else None
    scale = request.guidance_scale if request.guided else 1.0

    def seconds(work: Callable[[], Any]) -> float:
        begun = clock()
        work()
        synchronize(device)
        return clock() - begun

    def live() -> None:
        nonlocal packed
        read = sum(not token.cut for token in lab.tokens(request.prompt))
        packed = sum(len(pack_step(step, 1, 0, scale, read)) for step in generation.generate(loaded, request))

    def loop() -> None:
        list(generation.generate(loaded, dataclasses.replace(request, preview="none", attention=False)))

    ways = {"bare": lambda: bare(loaded, request), "loop": loop, "live": live}
    for work in ways.values():  # whatever happens once happens here
        work()
    times: dict[str, list[float]] = {name: [] for name in ways}
    outside: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats):
        for name, work in ways.items():
            before = inside.seconds if inside else 0.0
            times[name].append(seconds(work))
            outside[name].append(times[name][-1] + before - (inside.seconds if inside else 0.0))
            say(f"{repeat + 1}/{repeats} {name}: {times[name][-1]:.2f} s")
    medians = {name: statistics.median(each) for name, each in times.items()}
    more = statistics.median(outside["live"]) - statistics.median(outside["bare"]) if inside else None
    calls = SAMPLERS[request.scheduler].calls(request.steps)
    return Timing(**medians, outside=more, seconds_per_call=medians["bare"] / calls, calls=calls, packed_bytes=packed)


def open_model(name: str, device: str | None) -> Loaded:
    """A model of the catalogue on this machine, or one with random weights. `device`: another than the best there."""
    machine = measure()
    if device is not None and machine.kind != device:
        if device != "cpu":
            sys.exit(f"There is no {device} here, only {machine.kind}.")
        machine = dataclasses.replace(machine, kind="cpu", name="the processor")
    if name in RANDOM:
        part, title, weights_bytes = RANDOM[name]
        model = Model(
            name, title, "", "", Defaults(PROMPT, 50, 8.0, DEFAULT_SCHEDULER, 512, 1, "linear"), weights_bytes
        )
        chosen = plan(machine, model.bytes, 512)
        pipeline = at_width(part).to(chosen.device, chosen.dtype)
        return Loaded.of(pipeline, model, chosen)
    if name not in CATALOGUE:
        sys.exit(f"No model {name!r}. Choose one of: {', '.join([*RANDOM, *CATALOGUE])}.")
    if device == "cpu":  # a pipeline that was loaded for the GPU is brought back
        loaded = StableDiffusionLab(name).loaded
        chosen = plan(machine, loaded.model.bytes, loaded.model.defaults.size)
        return Loaded.of(loaded.pipeline.to(chosen.device, chosen.dtype), loaded.model, chosen)
    return StableDiffusionLab(name).loaded


def figures(loaded: Loaded, timing: Timing) -> list[Figure]:
    """The table's lines."""
    tiny = loaded.model.name == "tiny"
    guided = "guided " if loaded.model.defaults.guidance_scale > 1 else ""
    lines = [
        Figure(
            f"{timing.calls} {guided}calls, ours, seconds an image",
            f"{timing.live:.2f}",
            f"{timing.bare:.2f}",
            timing.live,
            TINY_SECONDS if tiny else None,
        ),
        Figure(
            "live previews and scrub data, share of the bare time",
            f"{timing.live:.2f}",
            f"{timing.bare:.2f}",
            timing.share,
            TINY_SHARE if tiny else LARGE_SHARE,
        ),
        Figure(
            "U-Net calls a second",
            f"{timing.calls / timing.live:.2f}",
            f"{1 / timing.seconds_per_call:.2f}",
            timing.calls / timing.live,
        ),
    ]
    if timing.outside is not None:
        outside = timing.outside / timing.bare
        lines.append(
            Figure("more seconds outside of the parts", f"{timing.outside:.3f}", f"{timing.bare:.2f}", outside)
        )
    lines.append(Figure("scrub data", f"{timing.packed_bytes / 1e6:.2f} MB", "", None))
    return lines


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__, "one repeat", against=True)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--device", choices=("cpu", "cuda", "mps"))
    parser.add_argument("--steps", type=int, help="the model's own by default")
    parser.add_argument("--size", type=int, help="pixels a side; the model's own by default")
    parser.add_argument("--images", type=int, default=1, help="drawn at once, of one prompt")
    parser.add_argument("--attention", action="store_true", help="with attention maps, as the page draws Tiny")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.against:
        compare(("stable_diffusion",), arguments)
        return
    torch.set_num_threads(1)  # before the model is opened: the plan reckons with it
    loaded = open_model(arguments.model, arguments.device)
    loaded.pipeline.set_progress_bar_config(disable=True)
    defaults = loaded.model.defaults
    request = Request(
        defaults.prompt,
        seeds=tuple(range(arguments.images)),
        steps=arguments.steps or defaults.steps,
        guidance_scale=defaults.guidance_scale,
        scheduler=defaults.scheduler,
        height=arguments.size or defaults.size,
        width=arguments.size or defaults.size,
        preview=defaults.preview,
        attention=arguments.attention,
    )
    report = Report(arguments, f"{loaded.model.title}: {loaded.plan.words}")
    timing = measure_ways(loaded, request, 1 if arguments.quick else arguments.repeats)
    report.finish(
        figures(loaded, timing),
        model=loaded.model.title,
        plan=loaded.plan.words,
        request=asdict(request),
        timing=asdict(timing) | {"share": timing.share},
    )


if __name__ == "__main__":
    main()
