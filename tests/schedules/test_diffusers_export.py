"""What is handed to diffusers, run there: the same ᾱ, the same steps, for every schedule and sampler."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from playground.diffusion.diffusers_schedulers import level, step_arguments
from playground.diffusion.noise_schedule import ScheduleError
from playground.diffusion.sampling import SAMPLERS, SamplerError, SamplingConfig, sample
from playground.diffusion.sampling_config import scheduled
from playground.diffusion.schedule_config import ScheduleConfig
from playground.schedules.diffusers_export import notes, scheduler_config, snippet
from playground.schedules.steps import where

CONFIGS = [
    ScheduleConfig("linear"),
    ScheduleConfig("linear", 50, beta_start=0.01, beta_end=0.3),
    ScheduleConfig("linear", 20, beta_start=1e-7, beta_end=0.3),  # clipped
    ScheduleConfig("scaled_linear"),
    ScheduleConfig("scaled_linear", 20, beta_start=1e-7, beta_end=0.3),
    ScheduleConfig("cosine"),
    ScheduleConfig("cosine", 300, s=0.05),
    ScheduleConfig("sigmoid", beta_end=0.03),
    ScheduleConfig("quadratic"),
    ScheduleConfig("laplace", mu=-1.0, b=0.7),
    ScheduleConfig("karras", 200, sigma_min=0.02, sigma_max=80.0, rho=5.0),
    ScheduleConfig("flow", 100),
    ScheduleConfig("drawn", 100, knots=((0.0, 1.0), (0.3, 0.7), (0.30001, 0.1), (1.0, 0.0))),
    ScheduleConfig("learned", 100, knots=((0.0, 9.0), (0.5, 1.0), (1.0, -9.5))),
]
KARRAS_SPACED = tuple(name for name, row in SAMPLERS.items() if "karras" in row.spacings)
FLOAT32 = 2.0**-24  # half a unit in the last place below 1, where ᾱ begins


def allowed() -> list[tuple[ScheduleConfig, str]]:
    """Every schedule with every sampler that it can drive, with and without zero terminal SNR."""
    pairs = [(config, sampler) for config in CONFIGS for sampler in scheduled()]
    for config in (CONFIGS[0], CONFIGS[5], CONFIGS[8], CONFIGS[11]):
        zero = ScheduleConfig.from_dict(config.to_dict() | {"rescale_betas_zero_snr": True})
        pairs += [(zero, sampler) for sampler in scheduled() if SAMPLERS[sampler].zero_terminal_snr]
    return pairs


def label(value: Any) -> str:
    return value if isinstance(value, str) else value.title.replace(" ", "_")


def run(code: str) -> dict[str, Any]:
    """What a snippet leaves behind."""
    names: dict[str, Any] = {}
    with redirect_stdout(io.StringIO()) as said:
        exec(compile(code, "snippet", "exec"), names)
    assert not said.getvalue()
    return names


def assert_same_table(theirs: Tensor, config: ScheduleConfig) -> None:
    """ᾱ as float32 can have it: T roundings of 1 - β, and of the product."""
    ours, theirs = config.make().alphas_cumprod, theirs.double()
    if config.rescale_betas_zero_snr:
        assert 0 <= theirs[-1] <= 2**-24
        ours, theirs = ours[:-1], theirs[:-1]
    torch.testing.assert_close(theirs, ours, rtol=4 * len(ours) * FLOAT32, atol=1e-9)


@pytest.mark.parametrize(("config", "sampler"), allowed(), ids=label)
def test_a_snippet_runs_and_has_our_table(config: ScheduleConfig, sampler: str) -> None:
    code = snippet(config, SamplingConfig(sampler, 5))
    assert max(map(len, code.splitlines())) < 130
    left = run(code)
    scheduler = left["scheduler"]
    assert type(scheduler).__name__ == SAMPLERS[sampler].class_name
    assert_same_table(scheduler.alphas_cumprod, config)
    assert left["x"].shape == (4, 2)
    noted = any("these samples are no numbers" in note for note in notes(config, SamplingConfig(sampler, 5)))
    assert bool(left["x"].isfinite().all()) != noted


@pytest.mark.parametrize(("config", "sampler"), allowed(), ids=label)
def test_scheduler_config_makes_the_same_scheduler(config: ScheduleConfig, sampler: str) -> None:
    written = json.loads(json.dumps(scheduler_config(config, SamplingConfig(sampler, 5)), allow_nan=False))
    made = getattr(diffusers, written["_class_name"]).from_config(written)
    assert_same_table(made.alphas_cumprod, config)
    assert made.config.prediction_type == ("v_prediction" if config.rescale_betas_zero_snr else "epsilon")
    given = {key: value for key, value in written.items() if not key.startswith("_")}
    assert {key: made.config[key] for key in given} == given  # nothing that the class does not know


def test_scheduler_config_is_a_file_that_from_pretrained_reads(tmp_path: Path) -> None:
    config, sampling = ScheduleConfig("quadratic", 60), SamplingConfig("pndm", 10)
    (tmp_path / "scheduler_config.json").write_text(json.dumps(scheduler_config(config, sampling)), encoding="utf-8")
    made = diffusers.PNDMScheduler.from_pretrained(tmp_path)
    assert_same_table(made.alphas_cumprod, config)
    made.set_timesteps(10)
    assert len(made.timesteps) == where(config, sampling).calls == 11


@pytest.mark.parametrize(
    ("config", "sampler", "name"),
    [
        (ScheduleConfig("linear"), "ddim", "linear"),
        (ScheduleConfig("scaled_linear"), "pndm", "scaled_linear"),
        (ScheduleConfig("cosine"), "unipc", "squaredcos_cap_v2"),
        (ScheduleConfig("sigmoid"), "ddpm", "sigmoid"),
        (ScheduleConfig("sigmoid"), "ddim", None),
        (ScheduleConfig("cosine", s=0.1), "ddim", None),
        (ScheduleConfig("linear", 20, beta_start=1e-7, beta_end=0.3), "ddim", None),
        (ScheduleConfig("karras"), "heun", None),
    ],
)
def test_diffusers_name_is_used_where_it_has_one(config: ScheduleConfig, sampler: str, name: str | None) -> None:
    written = scheduler_config(config, SamplingConfig(sampler, 5))
    assert written.get("beta_schedule") == name
    assert ("trained_betas" in written) == (name is None)
    assert ("import numpy" in snippet(config, SamplingConfig(sampler, 5))) == (name is None)


@pytest.mark.parametrize("sampler", list(scheduled()))
def test_where_nothing_is_noted_the_scheduler_samples_as_ours(sampler: str) -> None:
    """Trailing spacing, K dividing T: diffusers' scheduler on the whole table against ours on the visited one."""
    config, sampling = ScheduleConfig("scaled_linear", 100), SamplingConfig(sampler, 10, "trailing")
    assert all("No option of this class says where its steps fall" in note for note in notes(config, sampling))
    theirs = run(snippet(config, sampling).split("def model")[0])["scheduler"]
    start = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))

    def denoise(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return alpha * x / (alpha**2 + 4 * sigma**2)  # exact for data of variance ¼

    ours = start
    for step in sample(denoise, config.make(), start, sampling, torch.Generator().manual_seed(1)):
        ours = step.x
    x, extra = start, step_arguments(theirs, torch.Generator().manual_seed(1))
    if theirs.init_noise_sigma != 1:
        x = start * (1 + theirs.sigmas[0] ** 2).sqrt()
    for index, t in enumerate(theirs.timesteps):
        z = theirs.scale_model_input(x, t)
        alpha, sigma = (value.float() for value in level(theirs, SAMPLERS[sampler], index, t))
        x = theirs.step((z - alpha * denoise(z, alpha, sigma)) / sigma, t, x, **extra).prev_sample
    torch.testing.assert_close(x, ours, rtol=0, atol=2e-4)


def test_karras_spacing_has_the_same_levels_there() -> None:
    config = ScheduleConfig("scaled_linear")
    for sampler in KARRAS_SPACED:
        sampling = SamplingConfig(sampler, 8, "karras")
        assert notes(config, sampling) == ()
        theirs = run(snippet(config, sampling))["scheduler"]
        visits = where(config, sampling)
        ours = torch.tensor(visits.sigmas) / torch.tensor(visits.alphas)
        places = slice(None, visits.calls, theirs.order)  # between two a trial may stand at a level of neither
        torch.testing.assert_close(theirs.sigmas[places], ours[places], rtol=1e-3, atol=0)


@pytest.mark.parametrize("sampler", KARRAS_SPACED)
@pytest.mark.parametrize("config", [ScheduleConfig("cosine"), ScheduleConfig("flow", 10)], ids=label)
def test_karras_spacing_that_rounds_to_one_timestep_twice_runs(config: ScheduleConfig, sampler: str) -> None:
    sampling = SamplingConfig(sampler, 8, "karras")
    left = run(snippet(config, sampling))
    assert left["x"].isfinite().all()
    assert left["scheduler"].step_index == where(config, sampling).calls  # it began with the first
    twice = bool(left["scheduler"].timesteps[0] == left["scheduler"].timesteps[1])
    assert any("set_begin_index(0)" in note for note in notes(config, sampling)) == twice


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize(
    "config", [ScheduleConfig("flow", 4000), ScheduleConfig("learned", knots=((0.0, 19.0), (1.0, -9.0)))], ids=label
)
def test_less_noise_than_float32_knows_is_no_fault(config: ScheduleConfig, zero: bool) -> None:
    config = ScheduleConfig.from_dict(config.to_dict() | {"rescale_betas_zero_snr": zero})
    sampling = SamplingConfig("ddim", 8, "leading")  # its last step ends at t = 0
    left, written = run(snippet(config, sampling)), scheduler_config(config, sampling)
    assert left["x"].isfinite().all()
    made = diffusers.DDIMScheduler.from_config(written)
    torch.testing.assert_close(made.alphas_cumprod, left["scheduler"].alphas_cumprod, rtol=1e-5, atol=1e-7)
    assert made.alphas_cumprod[0] < 1
    assert any("float32" in note and "inf" not in note for note in notes(config, sampling))


@pytest.mark.parametrize(
    ("config", "sampling", "words"),
    [
        (ScheduleConfig("flow"), SamplingConfig("ddim", 10), "float32"),
        (ScheduleConfig("flow"), SamplingConfig("ddim", 10), "divided by"),
        (ScheduleConfig("linear", rescale_betas_zero_snr=True), SamplingConfig("dpm++", 10), "2⁻²⁴"),
        (ScheduleConfig("linear"), SamplingConfig("dpm++", 20, "leading"), "steps fall elsewhere"),
    ],
)
def test_what_gets_lost_is_noted(config: ScheduleConfig, sampling: SamplingConfig, words: str) -> None:
    assert any(words in note for note in notes(config, sampling))


def test_the_float32_note_is_true() -> None:
    config, sampling = ScheduleConfig("flow"), SamplingConfig("ddim", 10)
    theirs = run(snippet(config, sampling))["scheduler"].alphas_cumprod.double()
    worst = float((theirs / (1 - theirs) / config.make().snr - 1).abs().max())
    assert any(f"{worst:.1%}" in note for note in notes(config, sampling))


def test_options_of_the_samplers_are_handed_on() -> None:
    assert "eta=0.5)" in snippet(ScheduleConfig(), SamplingConfig("ddim", 5, eta=0.5))
    assert scheduler_config(ScheduleConfig(), SamplingConfig("ddpm", variance="fixed_large"))["variance_type"] == (
        "fixed_large"
    )
    assert run(snippet(ScheduleConfig(), SamplingConfig("ddim", 5, eta=0.5)))["x"].isfinite().all()


@pytest.mark.parametrize("give", [snippet, scheduler_config, notes])
def test_what_cannot_be_run_is_not_handed_out(give: Any) -> None:
    zero = ScheduleConfig(rescale_betas_zero_snr=True)
    with pytest.raises(SamplerError, match="no signal is left"):
        give(zero, SamplingConfig("pndm", 10))
    with pytest.raises(SamplerError, match="infinite"):
        give(zero, SamplingConfig("dpm++", 10, "karras"))
    with pytest.raises(ScheduleError):
        give(ScheduleConfig("karras", sigma_min=3.0, sigma_max=2.0), SamplingConfig("ddim", 10))
    with pytest.raises(SamplerError, match="not one of diffusers"):
        give(ScheduleConfig(), SamplingConfig("langevin", 10))
