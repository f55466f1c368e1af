"""A sampler is one row: made-up ones, registered while the program runs, work wherever one is chosen."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from playground.diffusion.noise_schedule import NoiseSchedule
from playground.diffusion.prediction import to_eps
from playground.diffusion.sample_path import Denoiser, SampleStep, Start, arrived, under_way
from playground.diffusion.sampler import Sampler, SamplerError
from playground.diffusion.samplers import SAMPLERS
from playground.diffusion.sampling import SamplingConfig, sample, sample_from, start_noise
from playground.diffusion.sampling_config import named
from playground.diffusion.schedule_config import ScheduleConfig
from playground.mnist.generate import Request
from playground.mnist.jobs import compared
from playground.mnist.lab import MnistLab
from playground.mnist.settings import MnistSettings
from playground.schedules.diffusers_export import scheduler_config, snippet
from playground.schedules.quality import ChartConfig, ChartPoint, measure
from playground.schedules.steps import where
from playground.sessions import Sessions
from playground.stable_diffusion import StableDiffusionLab
from playground.toy import ToyConfig, ToyLab
from playground.toy.url import from_query, to_query
from playground.ui.mnist.knobs import all_knobs as mnist_knobs
from playground.ui.mnist.knobs import compare_choices
from playground.ui.page import build
from playground.ui.schedules.stage import read_code, read_scene, read_steps
from playground.ui.stable_diffusion.knobs import all_knobs as stable_diffusion_knobs
from playground.ui.toy.knobs import all_knobs as toy_knobs
from tests.diffusion.mixture import MIXTURE, assert_is_mixture, rng, states

THEIRS, OURS = "third_order", "straight"
ROOT = Path(__file__).resolve().parents[2]


def straight(
    denoise: Denoiser,
    schedule: NoiseSchedule,
    start: Start,
    steps: int,
    first: int,
    generator: torch.Generator | None,
    *,
    push: float,
) -> Iterator[SampleStep]:
    """DDIM without noise, each step by `push` as far."""
    ratios = (schedule.sigmas / schedule.alphas)[torch.linspace(len(schedule) - 1, 0, steps).round().long()][first:]
    alphas = 1 / (1 + ratios.square()).sqrt()
    x = start(alphas[0].float(), (ratios * alphas)[0].float())
    for k, (ratio, alpha) in enumerate(zip(ratios.float(), alphas.float(), strict=True)):
        x0 = denoise(x, alpha, ratio * alpha)
        eps = to_eps(x0, x, alpha, ratio * alpha)
        yield under_way(schedule, k, alpha, ratio * alpha, x, x0, eps, k + 1)
        after = ratios[k + 1].float() if k + 1 < len(ratios) else torch.tensor(0.0)
        x = (x0 + (ratio + push * (after - ratio)) * eps) / (1 + after.square()).sqrt()
    yield arrived(len(ratios), x, eps, len(ratios))


@pytest.fixture(autouse=True)
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = Sampler(
        "Third Order",
        "nobody 2026",
        "DPMSolverMultistepScheduler",
        options={"solver_order": 3},
        spacings=("trailing", "karras"),
        history=lambda k, calls: 1 if k in (0, calls - 1) else min(k + 1, 3),
        zero_terminal_snr=False,
        fewest_steps=3,
        few=6,
        colour="#123456",
        webui_names=("3m",),
    )
    ours = Sampler(
        "Straight",
        "nobody 2026",
        walk=straight,
        spacings=("linspace",),
        knobs={"eta": "push"},
        count=lambda steps, push: steps,
    )
    monkeypatch.setitem(SAMPLERS, THEIRS, theirs)
    monkeypatch.setitem(SAMPLERS, OURS, ours)


@pytest.mark.parametrize(("name", "knobs"), [(THEIRS, {}), (THEIRS, {"spacing": "karras"}), (OURS, {"eta": 1.0})])
def test_it_samples(name: str, knobs: dict[str, Any]) -> None:
    config, schedule = SamplingConfig(name, 200, **knobs), ScheduleConfig("karras").make()
    path = states(schedule, config, n=2000)
    assert_is_mixture(path[-1].x, bias=0.08)
    assert path[-1].calls == config.calls == 200
    x0 = MIXTURE.sample(50, rng(0)).float()
    begun = list(sample_from(x0, start_noise(50, 2, 1), 0.1, MIXTURE, schedule, config))
    assert len(begun) == 21
    assert (begun[-1].x - x0).norm(dim=1).mean() < 0.5


def test_what_it_cannot_do_is_refused_everywhere() -> None:
    zero = ScheduleConfig("cosine", rescale_betas_zero_snr=True)
    with pytest.raises(SamplerError, match="Third Order cannot start where no signal is left"):
        ToyConfig(schedule=zero, sampling=SamplingConfig(THEIRS))
    with pytest.raises(SamplerError, match="no signal is left"):
        where(zero, SamplingConfig(THEIRS))
    with pytest.raises(SamplerError, match="no signal is left"):
        MnistLab().sample([1], sampler=THEIRS, steps=4, schedule=zero)
    with pytest.raises(SamplerError, match="Third Order needs at least 3 steps"):
        SamplingConfig(THEIRS, 2)
    with pytest.raises(SamplerError, match="Third Order needs at least 3 steps"):
        next(StableDiffusionLab().generate("a red seven", scheduler=THEIRS, steps=2))
    with pytest.raises(SamplerError, match="has no 'leading' spacing"):
        SamplingConfig(THEIRS, spacing="leading")
    for refused in (where, snippet):
        with pytest.raises(SamplerError, match="Straight is not one of diffusers'"):
            refused(ScheduleConfig(), SamplingConfig(OURS))
    with pytest.raises(SamplerError, match="not one of diffusers'"):
        next(StableDiffusionLab().generate("a red seven", scheduler=OURS, steps=4))
    with pytest.raises(SamplerError, match="do not fit"):
        list(sample(MIXTURE, ScheduleConfig(timesteps=5).make(), start_noise(2, 2, 0), SamplingConfig(OURS, 6)))


@pytest.mark.parametrize("name", [THEIRS, OURS])
def test_the_toy_lab_and_its_link(name: str) -> None:
    toy = ToyConfig(n_points=60, sampling=SamplingConfig(name, 5))
    lab = ToyLab(toy)
    assert lab.sample(8).calls == 5
    assert ToyLab(ToyConfig(n_points=60)).sample(8, sampler=name, steps=4).x.isfinite().all()
    assert from_query(to_query(toy)) == toy


@pytest.mark.parametrize("name", [THEIRS, OURS])
def test_digits_are_drawn_and_compared(name: str) -> None:
    request = Request.of([7], sampler=name, steps=4)
    assert request.calls() == 4
    assert MnistLab().sample([7], sampler=name, steps=4).x.isfinite().all()
    other, title = compared(MnistSettings().request(), "sampler", name)
    assert (other.sampling.sampler, title) == (name, SAMPLERS[name].title)
    assert (title, name) in compare_choices("sampler")


def test_the_stable_diffusion_lab_draws_with_it() -> None:
    steps = list(StableDiffusionLab().generate("a red seven", scheduler=THEIRS, steps=4))
    assert steps[-1].calls == 4
    assert "Third Order in 4 steps leaps too far" in steps[-1].words
    assert named("3M") == named("third order") == THEIRS


@pytest.mark.parametrize("table", [toy_knobs, mnist_knobs, stable_diffusion_knobs])
def test_it_is_in_the_knob_tables(table: Any) -> None:
    menu = next(knob for knob in table() if knob.path.split(".")[-1] in ("sampler", "scheduler"))
    assert ("Third Order", THEIRS) in menu.choices
    assert (("Straight", OURS) in menu.choices) == (table is not stable_diffusion_knobs), "a pipeline needs a class"


def test_the_page_is_built_with_it() -> None:
    page = build(Sessions())
    choices = [getattr(block, "choices", None) or [] for block in page.blocks.values()]
    assert sum(("Third Order", THEIRS) in each for each in choices) >= 3, "toy, MNIST and Stable Diffusion"
    assert any(getattr(block, "label", None) == "η (DDIM, Straight)" for block in page.blocks.values())


def test_the_schedules_tab_shows_it() -> None:
    data = base64.b64decode(read_scene({})["scene"])
    meta = json.loads(data[4 : 4 + int.from_bytes(data[:4], "little")])["meta"]
    assert meta["samplers"][THEIRS]["title"] == "Third Order"
    assert meta["samplers"][THEIRS]["colour"] == "#123456"
    assert OURS not in meta["samplers"]
    answer = read_steps({"configs": [{"name": "linear"}], "sampling": {"sampler": THEIRS, "steps": 5}})
    assert answer["visits"][0]["history"] == (1, 2, 3, 3, 1)
    assert answer["visits"][0]["timesteps"][0] == 999


def test_the_quality_chart_measures_it() -> None:
    chart = ChartConfig(schedules=(ScheduleConfig("karras"),), samplers=(THEIRS,), calls=(2, 8), n=50)
    few, enough = [event for event in measure(chart) if isinstance(event, ChartPoint)]
    assert "Third Order needs 3 calls" in few.note
    assert enough.distance is not None
    assert enough.calls == 8


def test_exported_code_runs_with_its_options() -> None:
    config, sampling = ScheduleConfig("cosine", 100), SamplingConfig(THEIRS, 5)
    asked = {"config": config.to_dict(), "sampling": {"sampler": THEIRS, "steps": 5, "spacing": "default"}}
    assert read_code(asked)["snippet"] == snippet(config, sampling)
    left: dict[str, Any] = {}
    exec(snippet(config, sampling), left)
    assert left["scheduler"].config.solver_order == 3
    assert left["x"].isfinite().all()
    assert scheduler_config(config, sampling)["solver_order"] == 3


# ---- nowhere else a word about it

# Where a name is chosen, once, for a default or a preset
CHOSEN = {
    "playground/diffusion/samplers.py",
    "playground/diffusion/sampling_config.py",
    "playground/stable_diffusion/request.py",
    "playground/toy/config.py",
    "playground/mnist/trajectory.py",
    "playground/ui/schedules/stage.py",
    "playground/ui/mnist/knobs.py",
    "playground/ui/stable_diffusion/experiments.py",
}


def test_no_sampler_is_known_by_name_elsewhere() -> None:
    names = {re.escape(name) for name in SAMPLERS} - {THEIRS, OURS}
    literal = re.compile(rf"""(["'`])({"|".join(names)})\1""")
    found = set()
    for path in [*(ROOT / "playground").rglob("*.py"), *(ROOT / "playground").rglob("*.js")]:
        if (file := path.relative_to(ROOT).as_posix()) not in CHOSEN:
            lines = path.read_text(encoding="utf-8").splitlines()
            found |= {f"{file}: {line.strip()}" for line in lines if literal.search(line)}
    assert not found, "\n".join(sorted(found))
