"""A schedule as it is asked for: what it makes, how it is carried, and what is refused at which knob."""

import json
import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from playground.diffusion.noise_schedule import MAX_BETA, MIN_BETA, ScheduleError
from playground.diffusion.schedule_config import MAX_KNOTS, ScheduleConfig, knob_fields
from playground.diffusion.schedules import SCHEDULES, by_curve, by_formula
from tests.diffusion.every_schedule import CURVES, LINE, schedule_of

CONFIGS = [schedule_of(name) for name in SCHEDULES]


# What is made


def test_every_row_is_whole() -> None:
    assert {row.knots_from: by_curve(row.knots_from) for row in SCHEDULES.values() if row.by_knots} == {
        "hand": "drawn",
        "data": "learned",
    }
    assert len({row.title for row in SCHEDULES.values()}) == len(SCHEDULES), "no two look the same in a menu"
    for row in SCHEDULES.values():
        assert row.title
        assert row.paper
        assert len({knob.field for knob in row.knobs}) == len(row.knobs)
        assert not (row.knobs and row.by_knots)


@pytest.mark.parametrize("config", CONFIGS, ids=list(SCHEDULES))
def test_what_is_not_set_is_the_papers(config: ScheduleConfig) -> None:
    """A knob left out, None, and the paper's own value are one and the same schedule."""
    name, papers = config.name, {knob.field: knob.default for knob in config.row.knobs}
    assert config.knobs() == papers
    for given_ in (papers, dict.fromkeys(papers)):
        same = ScheduleConfig(name, knots=config.knots, **given_)
        assert same == config
        assert hash(same) == hash(config)
        assert torch.equal(same.make().alphas, config.make().alphas)
        assert torch.equal(same.make().sigmas, config.make().sigmas)


def test_knobs_are_passed_on_and_foreign_ones_are_not() -> None:
    made = ScheduleConfig("cosine", 100, True, s=0.1, beta_end=7.0, sigma_min=-1.0).make()
    assert torch.equal(made.alphas, ScheduleConfig("cosine", 100, rescale_betas_zero_snr=True, s=0.1).make().alphas)


def test_a_name_can_be_replaced_alone() -> None:
    """The knobs of the other kind fall away, for good; those that both have stay."""
    linear = ScheduleConfig("linear", 50, True, beta_end=0.1)
    cosine = replace(linear, name="cosine")
    assert cosine == ScheduleConfig("cosine", 50, True)
    assert replace(cosine, name="linear") == ScheduleConfig("linear", 50, True)
    assert replace(linear, name="sigmoid").knobs()["beta_end"] == 0.1
    assert replace(linear, beta_end=None) == replace(linear, beta_end=0.02) == ScheduleConfig("linear", 50, True)


@pytest.mark.parametrize("name", by_formula())
def test_every_knob_works_over_its_slider(name: str) -> None:
    for spec in SCHEDULES[name].knobs:
        assert spec.low <= spec.default <= spec.high
        default = ScheduleConfig(name, 50)
        ends: list[dict[str, Any]] = [{spec.field: spec.low}, {spec.field: spec.high}]
        low, high = (replace(default, **end).make().log_snr for end in ends)
        assert not torch.equal(low, high)


def test_a_drawn_line_is_a_line() -> None:
    made = ScheduleConfig("drawn", 101, knots=LINE).make()
    assert made.name == "drawn"
    expected = 1 - np.arange(101) / 100
    # β_0 is lifted to MIN_BETA, ᾱ_T to what a table can hold.
    np.testing.assert_allclose(made.alphas_cumprod, expected, atol=2e-5)
    assert float(made.betas.min()) >= MIN_BETA * (1 - 1e-6)
    assert float(made.betas.max()) <= MAX_BETA * (1 + 1e-9)


def test_a_drawn_cliff_is_clipped() -> None:
    made = ScheduleConfig("drawn", 10, knots=((0.0, 1.0), (0.5, 1.0), (0.51, 0.0), (1.0, 0.0))).make()
    np.testing.assert_allclose(made.betas, [*[MIN_BETA] * 5, MAX_BETA, *[MIN_BETA] * 4], rtol=1e-6)


def test_learned_knots_are_log_snr() -> None:
    made = ScheduleConfig("learned", 101, knots=CURVES["data"]).make()
    assert float(made.log_snr[0]) == pytest.approx(9.0, abs=1e-10)
    assert float(made.log_snr[15]) == pytest.approx(5.5, abs=1e-10)  # half of the way to the second knot
    assert float(made.log_snr[100]) == pytest.approx(-9.0, abs=1e-10)


@pytest.mark.parametrize("config", CONFIGS, ids=list(SCHEDULES))
def test_zero_terminal_snr_of_each(config: ScheduleConfig) -> None:
    made = ScheduleConfig(config.name, 50, True, knots=config.knots).make()
    assert made.zero_terminal_snr
    assert not ScheduleConfig(config.name, 50, knots=config.knots).make().zero_terminal_snr


HEIGHTS = st.lists(st.floats(0, 1), min_size=2, max_size=30).map(lambda v: sorted(v, reverse=True))


@given(heights=HEIGHTS, timesteps=st.integers(2, 4000))
def test_every_falling_curve_is_a_schedule(heights: list[float], timesteps: int) -> None:
    knots = tuple(zip(np.linspace(0, 1, len(heights)).tolist(), heights, strict=True))
    if heights[0] - heights[-1] < 0.05:
        with pytest.raises(ScheduleError, match="nothing would turn into noise"):
            ScheduleConfig("drawn", timesteps, knots=knots).make()
        return
    made = ScheduleConfig("drawn", timesteps, knots=knots).make()
    assert len(made) == timesteps
    assert float(made.betas.min()) >= MIN_BETA * (1 - 1e-6)
    # Where nothing had to be clipped the table runs through the knots' lines.
    drawn = np.interp(np.linspace(0, 1, timesteps), np.linspace(0, 1, len(heights)), heights)
    wanted = 1 - drawn[1:] / np.maximum(drawn[:-1], 1e-300)
    if drawn.min() > 1e-4 and wanted.min() > 2 * MIN_BETA and wanted.max() < MAX_BETA and drawn[0] < 1 - 2 * MIN_BETA:
        np.testing.assert_allclose(made.alphas_cumprod, drawn, rtol=1e-6)


# How it is carried


@given(
    name=st.sampled_from(list(SCHEDULES)),
    timesteps=st.integers(-5, 5000),
    rescale=st.booleans(),
    s=st.none() | st.floats(-2, 2),
    sigma_max=st.none() | st.integers(-3, 100),
    heights=st.lists(st.floats(-20, 20), max_size=9),
)
def test_there_and_back(
    name: str, timesteps: int, rescale: bool, s: float | None, sigma_max: float | None, heights: list[float]
) -> None:
    knots = tuple(zip(np.linspace(0, 1, len(heights)).tolist(), heights, strict=True))
    config = ScheduleConfig(name, timesteps, rescale, s=s, sigma_max=sigma_max, knots=knots)
    again = ScheduleConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert hash(again) == hash(config)


def test_only_what_differs_is_carried() -> None:
    assert ScheduleConfig().to_dict() == {"name": "linear"}
    assert ScheduleConfig("karras", rho=5.0).to_dict() == {"name": "karras", "rho": 5.0}
    drawn = ScheduleConfig("drawn", 50, knots=LINE)
    assert drawn.to_dict() == {"name": "drawn", "timesteps": 50, "knots": [[0, 1], [1, 0]]}


def test_titles() -> None:
    assert ScheduleConfig("cosine").title == "cosine, s = 0.008"
    assert ScheduleConfig("linear", 250, True).title == "linear, β 0.0001 → 0.02, T = 250, zero terminal SNR"
    assert ScheduleConfig("karras", sigma_min=0.002).title == "EDM / Karras, σ_min = 0.002, σ_max = 20, ρ = 7"
    assert ScheduleConfig("laplace", b=1.0).title == "Laplace, μ = 0, b = 1"
    assert ScheduleConfig("drawn", knots=LINE).title == "drawn"


# Refusals


@pytest.mark.parametrize(
    ("values", "knob", "words"),
    [
        ({"name": "linear", "timesteps": 1}, "timesteps", "2 … 4000; it is 1"),
        ({"name": "drawn", "timesteps": 1, "knots": LINE}, "timesteps", "2 … 4000; it is 1"),
        ({"name": "learned", "timesteps": 4001, "knots": CURVES["data"]}, "timesteps", "2 … 4000"),
        ({"name": "linear", "timesteps": 0}, "timesteps", "2 … 4000"),
        ({"name": "linear", "timesteps": -5}, "timesteps", "2 … 4000"),
        ({"name": "linear", "timesteps": 4001}, "timesteps", "2 … 4000"),
        ({"name": "linear", "timesteps": math.nan}, "timesteps", "2 … 4000"),
        ({"name": "linear", "beta_end": 1.0}, "beta_end", "between 0 and 1; it is 1"),
        ({"name": "linear", "beta_end": 1.5}, "beta_end", "between 0 and 1"),
        ({"name": "linear", "beta_start": 0.0}, "beta_start", "between 0 and 1"),
        ({"name": "linear", "beta_start": -0.1}, "beta_start", "between 0 and 1"),
        ({"name": "scaled_linear", "beta_start": -0.1}, "beta_start", "between 0 and 1"),
        ({"name": "linear", "beta_end": 0.9, "beta_start": 0.9}, "beta_end", "Lower β_end"),
        ({"name": "linear", "beta_end": 0.02, "beta_start": 0.5}, "beta_start", "Lower β_start"),
        ({"name": "cosine", "s": -0.01}, "s", "offset s must lie in"),
        ({"name": "cosine", "s": 1.0}, "s", "offset s must lie in"),
        ({"name": "cosine", "s": math.nan}, "s", "s must be a finite number"),
        ({"name": "karras", "sigma_min": 30.0}, "sigma_min", "between 0 and σ_max; it is 30 and σ_max is 20"),
        ({"name": "karras", "sigma_min": 0.0}, "sigma_min", "σ_min must lie between 0"),
        ({"name": "karras", "sigma_min": 1e-9}, "sigma_min", "σ must stay within 0.001 … 1000"),
        ({"name": "karras", "sigma_max": 1e9}, "sigma_max", "σ must stay within"),
        ({"name": "karras", "sigma_max": 0.001}, "sigma_min", "it is 0.004 and σ_max is 0.001"),
        ({"name": "karras", "sigma_max": -1}, "sigma_max", "σ_max is -1"),
        ({"name": "karras", "rho": 0}, "rho", "ρ must lie in 0.1 … 100; it is 0"),
        ({"name": "karras", "rho": -7.0}, "rho", "ρ must lie in"),
        ({"name": "karras", "rho": 1e9}, "rho", "ρ must lie in"),
        ({"name": "laplace", "b": 0}, "b", r"width b must lie in \(0, 4\]; it is 0"),
        ({"name": "laplace", "b": -0.5}, "b", "width b must lie in"),
        ({"name": "laplace", "b": 100.0}, "b", "width b must lie in"),
        ({"name": "laplace", "mu": 50.0}, "mu", "centre μ must lie in -10 … 10; it is 50"),
        ({"name": "drawn"}, "knots", "no curve yet"),
        ({"name": "learned"}, "knots", "no curve yet"),
        ({"name": "drawn", "knots": [[0, 0.2], [1, 0.9]]}, "knots", "rises from 0.2 to 0.9 at 100%"),
        ({"name": "drawn", "knots": [[0, 0.5], [1, 0.5]]}, "knots", "nothing would turn into noise"),
        ({"name": "drawn", "knots": [[0, 1.5], [1, 0.5]]}, "knots", "0 … 1"),
        ({"name": "drawn", "knots": [[0.5, 1], [0.5, 0]]}, "knots", "from left to right"),
        ({"name": "drawn", "knots": [[0, 1], [2, 0]]}, "knots", "from left to right"),
        ({"name": "learned", "knots": [[0, 5], [0.5, 5], [1, -5]]}, "knots", "must fall at every timestep"),
        ({"name": "learned", "knots": [[0, 500], [1, -500]]}, "knots", "-20 … 20"),
        ({"name": "linaer"}, "name", "no such schedule.*linear"),
        ({"name": ["linear"]}, "name", "no such schedule"),
        ({"name": None}, "name", "no such schedule"),
        ({"name": "linear", "timesteps": 100.5}, "timesteps", "whole number"),
        ({"name": "linear", "timesteps": "100"}, "timesteps", "whole number"),
        ({"name": "linear", "timesteps": True}, "timesteps", "whole number"),
        ({"name": "linear", "timesteps": 10**400}, "timesteps", "2 … 4000"),
        ({"name": "linear", "rescale_betas_zero_snr": 1}, "rescale_betas_zero_snr", "true or false"),
        ({"name": "linear", "beta_end": "much"}, "beta_end", "finite number"),
        ({"name": "linear", "beta_end": math.nan}, "beta_end", "beta_end must be a finite number"),
        ({"name": "linear", "beta_end": math.inf}, "beta_end", "beta_end must be a finite number"),
        ({"name": "linear", "beta_start": math.nan}, "beta_start", "beta_start must be a finite number"),
        ({"name": "linear", "s": math.inf}, "s", "finite number"),
        ({"name": "linear", "rho": 10**400}, "rho", "finite number"),
        ({"name": "linear", "knots": 3}, "knots", "list of at most"),
        ({"name": "linear", "knots": [[k / 1000, 0] for k in range(MAX_KNOTS + 1)]}, "knots", "at most 512"),
        ({"name": "linear", "knots": [[0, 1, 2]]}, "knots", "pair of finite numbers"),
        ({"name": "linear", "knots": [[0, math.nan]]}, "knots", "pair of finite numbers"),
        ({"name": "linear", "knots": [[0, "1"]]}, "knots", "pair of finite numbers"),
        ({"name": "linear", "knots": ["ab"]}, "knots", "pair of finite numbers"),
        ({"name": "linear", "beta_middle": 0.1}, "name", "no such knob: beta_middle"),
        ({"name": "linear", "values": [["beta_end", 0.1]]}, "name", "no such knob: values"),
    ],
)
def test_refused_at_the_knob(values: dict[str, Any], knob: str, words: str) -> None:
    with pytest.raises(ScheduleError, match=words) as refusal:
        ScheduleConfig.from_dict(values).make()
    assert refusal.value.knob == knob


@pytest.mark.parametrize("values", [None, [], {}, {"timesteps": 100}, "linear", 3])
def test_what_is_no_record_is_refused(values: Any) -> None:
    with pytest.raises(ScheduleError, match="no schedule"):
        ScheduleConfig.from_dict(values)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(list(SCHEDULES)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [*(field.name for field in fields(ScheduleConfig)), *knob_fields()]


@given(name=st.sampled_from(list(SCHEDULES)), values=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4))
def test_whatever_a_browser_sends(name: str, values: dict[str, Any]) -> None:
    fault, values = "", {"name": name} | values
    try:
        made = ScheduleConfig.from_dict(values).make()
    except ScheduleError as error:
        fault = error.knob
    assert fault in FIELDS or 2 <= len(made) <= 4000
