"""The configuration: knobs by name, through JSON and back, and a refusal in words for everything else."""

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playground.diffusion.noise_schedule import ScheduleError
from playground.diffusion.prediction import PREDICTIONS
from playground.diffusion.sampling import SAMPLERS, SamplerError, SamplingConfig
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.schedules import SCHEDULES
from playground.diffusion.training import TrainingConfig, TrainingError
from playground.toy import PRESETS, LabError, ToyConfig
from playground.toy.data import DATASETS
from playground.toy.network import NetworkConfig, NetworkError

KNOBS = [
    *(f.name for f in dataclasses.fields(ToyConfig) if f.name != "points"),
    *(f"network.{f.name}" for f in dataclasses.fields(NetworkConfig)),
    *(f"training.{f.name}" for f in dataclasses.fields(TrainingConfig)),
    *(f"sampling.{f.name}" for f in dataclasses.fields(SamplingConfig)),
]


def through_json(config: ToyConfig) -> ToyConfig:
    return ToyConfig.from_dict(json.loads(json.dumps(config.to_dict())))


# ---- Knobs


def test_changed_turns_nested_knobs_and_leaves_the_old_one_alone() -> None:
    old = ToyConfig()
    new = old.changed(**{"seed": 3, "network.width": 16, "network.depth": 2, "training.learning_rate": 1})
    assert (new.seed, new.network.width, new.network.depth, new.training.learning_rate) == (3, 16, 2, 1)
    assert old == ToyConfig()
    assert new.changed(seed=0, network=NetworkConfig(), training=TrainingConfig()) == old
    assert old.changed() == old


@pytest.mark.parametrize("name", ["", ".", "nonsense", "__class__", "changed", ".seed", "network.", "network.nonsense"])
@pytest.mark.parametrize("end", ["", ".x"])
def test_unknown_knobs(name: str, end: str) -> None:
    with pytest.raises(LabError, match="No such knob"):
        ToyConfig().changed(**{name + end: 1})
    with pytest.raises(LabError):
        ToyConfig.from_dict({name + end: 1})


@pytest.mark.parametrize("name", ["seed.x", "points.x", "network.width.x", "training.prediction.x"])
def test_a_knob_has_no_knobs(name: str) -> None:
    with pytest.raises(LabError, match="No such knob"):
        ToyConfig().changed(**{name: 1})


def test_a_part_and_its_knob_cannot_be_given_at_once() -> None:
    with pytest.raises(LabError):
        ToyConfig().changed(**{"network": NetworkConfig(), "network.width": 8})


# ---- JSON


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_go_through_json(name: str) -> None:
    config = PRESETS[name].config
    assert through_json(config) == config
    assert PRESETS[name].title
    assert PRESETS[name].about


def test_every_field_goes_through_json() -> None:
    config = ToyConfig(
        dataset="rings",
        n_points=7,
        seed=2**32 - 1,
        conditional=True,
        schedule=ScheduleConfig("linear", 77, True, beta_start=0.001, beta_end=0.1),
        network=NetworkConfig(4, 1, "tanh", "append", 0, False),
        training=TrainingConfig("x0", "uniform", 0, 1, 1, "muon", 1, 0, 0, "cosine", 1, 0, 1, 1, 1),
        sampling=SamplingConfig("ddpm", 2, "leading", 0.5, "fixed_large", 1, 2, 1),
        guidance_scale=0,
        label=2,
    )
    default = ToyConfig().to_dict()
    for part, values in {"": config.to_dict(), **{p: config.to_dict()[p] for p in ("network", "training")}}.items():
        assert all(value != (default[part] if part else default)[name] for name, value in values.items())
    assert through_json(config) == config


def test_missing_fields_are_the_defaults_and_the_points_stay_out() -> None:
    assert ToyConfig.from_dict({}) == ToyConfig()
    assert ToyConfig.from_dict({"network": {"width": 8}}).network == NetworkConfig(width=8)
    with_points = ToyConfig(points=[[0.0, 0.0], [1.0, 1.0]])
    assert "points" not in with_points.to_dict()
    assert ToyConfig.from_dict(with_points.to_dict(), with_points.points) == with_points
    with pytest.raises(LabError):
        ToyConfig.from_dict({"points": [[0, 0], [1, 1]]})


# ---- Junk

whole = st.integers() | st.sampled_from([0, 1, 2, 2**31, 2**32, 2**63, 10**18, 10**400, -(10**400)])
real = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1e308, 5e-324])
words = st.text(max_size=8) | st.sampled_from(
    [*DATASETS, *SCHEDULES, *SAMPLERS, *PREDICTIONS, "append", "cosine", "default"]
)
atoms = st.none() | st.booleans() | whole | real | words
junk = st.recursive(atoms, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3))


def names(prefix: str) -> st.SearchStrategy[str]:
    mine = [knob.removeprefix(prefix) for knob in KNOBS if knob.startswith(prefix)]
    return st.sampled_from([name for name in mine if "." not in name]) | st.text(max_size=5)


def tables(prefix: str) -> st.SearchStrategy[Any]:
    return st.dictionaries(names(prefix), atoms, max_size=4) | junk


@settings(max_examples=200)
@given(
    st.dictionaries(names(""), junk, max_size=5),
    st.fixed_dictionaries({}, optional={part: tables(f"{part}.") for part in ("network", "training", "sampling")}),
)
def test_junk_is_read_or_refused(own: dict[str, Any], parts: dict[str, Any]) -> None:
    try:
        config = ToyConfig.from_dict({**own, **parts})
    except ValueError:  # every error of the parts is one
        return
    assert ToyConfig.from_dict(config.to_dict()) == config
    assert 2 <= len(config.schedule.make()) <= 4000


@given(junk)
def test_a_junk_table_is_read_or_refused(values: Any) -> None:
    try:
        ToyConfig.from_dict(values)
    except ValueError:
        return
    assert isinstance(values, dict), "only an empty table or one with knobs is a configuration"


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(KNOBS), junk, min_size=1, max_size=3))
def test_junk_knobs_are_turned_or_refused(changes: dict[str, Any]) -> None:
    try:
        config = ToyConfig().changed(**changes)
    except ValueError:
        return
    assert ToyConfig.from_dict(config.to_dict()) == config


# For a knob of any kind, and for one whose default is of this kind.
NEVER = [math.nan, math.inf, -math.inf, 10**400, "", [], {}, 1j, b"8"]
WRONG: dict[type, list[Any]] = {
    int: [*NEVER, 0.5, 7.0, True, None],
    float: [*NEVER, True, None],
    bool: [*NEVER, 0, 1, 0.0, None],
    str: [*NEVER, 0, 0.5, True, None],
    type(None): [*NEVER, True],  # a number, or none
    ScheduleConfig: [*NEVER, 0, None, NetworkConfig()],
    NetworkConfig: [*NEVER, 0, None, TrainingConfig()],
    TrainingConfig: [*NEVER, 0, None, NetworkConfig()],
    SamplingConfig: [*NEVER, 0, None, NetworkConfig()],
}


@pytest.mark.parametrize("knob", KNOBS)
def test_a_knob_takes_only_its_own_kind_of_value(knob: str) -> None:
    default: Any = ToyConfig()
    for part in knob.split("."):
        default = getattr(default, part)
    for value in WRONG[type(default)]:
        with pytest.raises((LabError, ScheduleError, NetworkError, TrainingError, SamplerError)):
            ToyConfig().changed(**{knob: value})
