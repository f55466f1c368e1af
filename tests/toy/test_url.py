"""An experiment as a link: there and back for every experiment; a malicious link is refused, and no more."""

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from playground.diffusion.prediction import PREDICTIONS
from playground.diffusion.sampling import SAMPLERS
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.schedules import by_formula
from playground.toy import PRESETS, LabError, ToyConfig
from playground.toy.data import DATASETS
from playground.toy.url import DEFAULTS, from_query, to_query

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "dataset": st.sampled_from(sorted(DATASETS)),
    "n_points": st.integers(2, 25_000),
    "seed": st.integers(0, 2**32 - 1),
    "conditional": st.booleans(),
    "schedule.name": st.sampled_from(sorted(by_formula())),
    "schedule.s": st.none() | st.floats(0, 0.9),
    "schedule.timesteps": st.integers(20, 4000),
    "schedule.beta_end": st.none() | st.floats(0.0001, 0.03),  # more leaves no signal at T = 4000
    "label": st.none() | st.integers(0, 15),
    "guidance_scale": st.floats(0, 20),
    "network.width": st.integers(4, 256),
    "network.depth": st.integers(1, 6),
    "network.damp_features": st.booleans(),
    "training.learning_rate": st.floats(1e-9, 100),
    "training.prediction": st.sampled_from(PREDICTIONS),
    "training.p_mean": st.floats(-10, 10),
    "sampling.sampler": st.sampled_from(sorted(name for name, row in SAMPLERS.items() if row.zero_terminal_snr)),
    "sampling.steps": st.integers(2, 20),
    "sampling.eta": st.floats(0, 1),
}


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_there_and_back(name: str) -> None:
    config = PRESETS[name].config
    assert from_query(to_query(config)) == config


def test_the_default_needs_no_query() -> None:
    assert to_query(ToyConfig()) == ""
    assert from_query("") == from_query("?") == ToyConfig()


def test_only_what_differs_is_named() -> None:
    config = ToyConfig(dataset="disc_grid").changed(**{"training.learning_rate": 0.003})
    assert to_query(config) == "?dataset=disc_grid&training.learning_rate=0.003"


def test_a_brought_schedule_is_in_the_link() -> None:
    drawn = ScheduleConfig("drawn", 250, knots=tuple((k / 100, round(1 - k / 100, 4)) for k in range(101)))
    config = ToyConfig(schedule=drawn)
    query = to_query(config)
    assert len(query) < 4000, "a link that a mail program takes"
    assert from_query(query) == config
    assert torch.equal(from_query(query).schedule.make().alphas, drawn.make().alphas)
    assert to_query(ToyConfig(schedule=ScheduleConfig("flow"))) == "?schedule.name=flow"
    assert to_query(ToyConfig(schedule=ScheduleConfig("cosine", 50, s=0.1))) == (
        "?schedule.name=cosine&schedule.timesteps=50&schedule.s=0.1"
    )


EARLIER = {  # links that the first version made
    "?schedule=linear&timesteps=50&sampling.steps=10": ScheduleConfig("linear", 50),
    "?schedule=scaled_linear&beta_end=0.02&rescale_betas_zero_snr=true": ScheduleConfig(
        "scaled_linear", 1000, True, beta_end=0.02
    ),
    "?timesteps=200": ScheduleConfig("karras", 200),
    "?beta_start=0.001": ScheduleConfig("karras"),
    "?schedule=custom&custom_schedule=%7B%22name%22%3A%22flow%22%7D": ScheduleConfig("flow"),
    "?schedule=custom&timesteps=60&custom_schedule=%7B%22name%22%3A%22cosine%22%2C%22timesteps%22%3A60%2C%22s%22%3A0.1%7D"
    "&rescale_betas_zero_snr=true": ScheduleConfig("cosine", 60, True, s=0.1),
    "?custom_schedule=%7B%22name%22%3A%22flow%22%7D": ScheduleConfig("karras"),
}


@pytest.mark.parametrize("query", EARLIER)
def test_links_of_the_first_version_still_open(query: str) -> None:
    assert from_query(query).schedule == EARLIER[query]


def test_every_knob_but_the_points_can_be_in_a_link() -> None:
    assert {knob for knob in VALUES if not knob.startswith("schedule")} <= set(DEFAULTS)
    assert "points" not in DEFAULTS
    with_points = ToyConfig(points=[[0.0, 0.0], [1.0, 1.0]], seed=4)
    assert to_query(with_points) == "?seed=4"


@given(st.fixed_dictionaries({}, optional=VALUES))
def test_there_and_back(changes: dict[str, Any]) -> None:
    config = ToyConfig().changed(**changes)
    query = to_query(config)
    assert from_query(query) == config
    assert query.isascii()
    assert from_query(f"{query or '?'}&__theme=dark&utm=1") == config, "a server's own names are passed over"


HOSTILE = [
    "?seed=" + "[" * 100_000,
    "?seed=" + "9" * 5000,
    "?seed=1e999",
    "?seed=NaN",
    "?guidance_scale=NaN",
    "?guidance_scale=-Infinity",
    "?seed=true",
    "?conditional=1",
    "?conditional=True",
    "?label=0.0",
    '?dataset={"a":1}',
    "?dataset=nessie",
    "?dataset=%00",
    "?training.learning_rate=[]",
    "?sampling.steps=1e9",
    "?timesteps=1000000000",
    "?seed=1&seed=-1",
    "?" + "&".join(["seed=1"] * 101),
    "?network.width=4&network.width=100000",
    "?schedule=%F0%9F%A6%96",
    "?schedule=custom",
    "?schedule=custom&custom_schedule=flow",
    '?schedule=custom&custom_schedule={"name":"nessie"}',
    "?schedule.name=nessie",
    "?schedule=3",
    "?schedule=[1]",
    "?schedule.name=cosine&schedule.s=-1",
    "?schedule.timesteps=1e9",
    "?schedule.name=drawn&schedule.knots=[[0,0],[1,1]]",
    '?schedule=custom&custom_schedule={"name":"drawn"}',
    '?schedule=custom&custom_schedule={"name":"drawn","knots":[[0,0],[1,1]]}',
    '?schedule=custom&custom_schedule={"name":"linear","timesteps":1e99}',
    '?schedule=custom&custom_schedule={"name":"linear","%s":1}' % ("x" * 5000),
]


@pytest.mark.parametrize("query", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_links_are_refused_in_words(query: str) -> None:
    with pytest.raises(LabError, match="so here is the default one") as refusal:
        from_query(query)
    assert len(str(refusal.value)) < 600


@pytest.mark.parametrize("query", ["?seed=", "?network=null", "?points=[[0,0],[1,1]]", "?=1", "?&&", "?__class__=1"])
def test_what_names_no_knob_is_passed_over(query: str) -> None:
    assert from_query(query) == ToyConfig()


WORDS = st.text(max_size=20) | st.sampled_from(["null", "[]", "{}", "1e400", "NaN", "-1", "0"])


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(sorted(DEFAULTS)) | st.text(max_size=10), WORDS), max_size=5))
def test_any_link_is_an_experiment_or_refused(pairs: list[tuple[str, str]]) -> None:
    try:
        config = from_query("?" + urlencode(pairs))
    except LabError:
        return
    assert from_query(to_query(config)) == config


def test_the_refusal_says_what_is_wrong() -> None:
    with pytest.raises(LabError, match=r"default one\. Unknown data set .nessie."):
        from_query("?dataset=nessie")
    with pytest.raises(LabError, match="seed"):
        from_query("?seed=" + "[" * 100_000)
    assert from_query("?dataset=" + quote(json.dumps("heart"))).dataset == "heart"
