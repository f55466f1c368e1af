"""The table of knobs: each sets a field there is, takes every value it shows, and refuses everything else in words."""

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.diffusion.schedule_config import CUSTOM
from playground.toy import PRESETS, LabError, ToyConfig
from playground.toy.url import DEFAULTS
from playground.ui.shared.knobs import NOTHING, OWN, Knob
from playground.ui.toy.knobs import GROUPS, KNOBS

EVERY = pytest.mark.parametrize("knob", KNOBS, ids=[knob.path for knob in KNOBS])
NUMBERS = [0, 1, 2, 10, 100, 0.5, 1.0, -1]
JUNK = [None, "", "nonsense", [], [1], {}, {"a": 1}, (), 1j, b"1", math.nan, math.inf, -math.inf, 10**400, object()]
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


def shown(knob: Knob) -> list[Any]:
    """Every value that the control lets one choose; of a slider its ends and its first steps."""
    if knob.choices:
        return [value for _, value in knob.choices]
    if knob.limits:
        low, high, step = knob.limits
        return [low, high, low + step, high - step]
    return [True, False]


def test_every_path_is_a_knob_of_the_config_and_there_once() -> None:
    paths = [knob.path for knob in KNOBS]
    assert len(set(paths)) == len(paths)
    assert set(paths) <= set(DEFAULTS)
    # Muon steps convolutions, and a perceptron has none; a schedule is brought from its own tab.
    hidden = {"training.optimizer", "custom_schedule"}
    assert set(DEFAULTS) - hidden == set(paths), "and every knob of the config is in the table"
    assert [knob for group in GROUPS.values() for knob in group] == list(KNOBS)


@EVERY
def test_words_are_there(knob: Knob) -> None:
    assert knob.label
    assert knob.info.endswith((".", "?"))
    assert not (knob.choices and knob.limits)
    values = [value for _, value in knob.choices]
    assert len(set(values)) == len(values) == len({title for title, _ in knob.choices})


@EVERY
def test_what_is_shown_can_be_set(knob: Knob) -> None:
    part, _, field = knob.path.rpartition(".")
    for value in shown(knob):
        clean = knob.clean(value)
        assert clean == (None if value == NOTHING else value)
        if clean == OWN:
            continue
        changes: dict[str, Any] = {knob.path: clean}
        if knob.path == "timesteps":
            changes["sampling.steps"] = 2
        if knob.path == "sampling.spacing":
            changes["sampling.sampler"] = "dpm++"
        if clean == CUSTOM:
            changes["custom_schedule"] = {"name": "laplace"}
        config = ToyConfig().changed(**changes)
        assert knob.value(config) == value
        assert knob.clean(knob.value(config)) == clean
        default = getattr(getattr(ToyConfig(), part) if part else ToyConfig(), field)
        if clean is not None and default is not None:
            assert type(clean) is type(default)


@EVERY
@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_can_be_shown(knob: Knob, name: str) -> None:
    config = PRESETS[name].config
    assert ToyConfig.from_dict(config.changed(**{knob.path: knob.clean(knob.value(config))}).to_dict()) == config


@EVERY
def test_junk_of_every_type_is_refused(knob: Knob) -> None:
    for value in [*JUNK, *([] if knob.choices or knob.limits else NUMBERS)]:
        with pytest.raises(LabError, match=re.escape(knob.label)):
            knob.clean(value)
    for value in (True, False) if knob.choices or knob.limits else ():
        with pytest.raises(ValueError):  # noqa: PT011 (True equals 1, so a list of numbers leaves it to the config)
            ToyConfig().changed(**{knob.path: knob.clean(value)})


@given(st.sampled_from(KNOBS), junk)
def test_any_value_is_one_of_the_knobs_or_refused(knob: Knob, value: Any) -> None:
    try:
        clean = knob.clean(value)
    except LabError:
        return
    if knob.limits:
        assert knob.limits[0] <= clean <= knob.limits[1]
        assert type(clean) in (int, float)
    elif knob.choices:
        assert clean in [None if choice == NOTHING else choice for _, choice in knob.choices]
    else:
        assert isinstance(clean, bool)


def test_numbers_outside_a_sliders_ends_are_refused() -> None:
    for knob in KNOBS:
        if not knob.limits:
            continue
        low, high, step = knob.limits
        for value in (low - step, high + step, low - 1e-6, high + 1e-6, 10**12):
            with pytest.raises(LabError, match=f"from {low:g} to {high:g}"):
                knob.clean(value)
        if step == int(step):
            with pytest.raises(LabError, match="whole number"):
                knob.clean(low + 0.5)
            assert type(knob.clean(float(low))) is int


def test_own_points_are_a_choice_of_the_cloud() -> None:
    (dataset,) = [knob for knob in KNOBS if knob.path == "dataset"]
    assert dataset.value(ToyConfig(points=[[0.0, 0.0], [1.0, 1.0]])) == OWN
    assert dataset.clean(OWN) == OWN
    assert dataset.value(ToyConfig()) == "spiral"


@EVERY
def test_the_control_shows_the_config(knob: Knob) -> None:
    control = knob.component(ToyConfig())
    assert control.value == knob.value(ToyConfig())
    assert control.label == knob.label
