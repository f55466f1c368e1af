"""The table of knobs: each sets a field there is, takes every value it shows, and refuses everything else in words."""

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.diffusion.noise_schedule import ScheduleError
from playground.diffusion.schedule_config import ScheduleConfig
from playground.diffusion.schedules import SCHEDULES
from playground.toy import PRESETS, LabError, ToyConfig
from playground.toy.url import DEFAULTS
from playground.ui.shared.knobs import NOTHING, OWN, Knob
from playground.ui.shared.schedule_knobs import NAME, TIMESTEPS, RowKnob
from playground.ui.shared.schedule_knobs import schedule_of as schedule_of_controls
from playground.ui.toy.knobs import all_knobs, groups
from tests.diffusion.every_schedule import CURVES, schedule_of

KNOBS = all_knobs()

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
    if isinstance(knob, RowKnob):
        assert knob.spec is not None
        return [knob.spec.low, knob.spec.default, knob.spec.high]
    if knob.limits:
        low, high, step = knob.limits
        return [low, high, low + step, high - step]
    return [True, False]


def test_every_path_is_a_knob_of_the_config_and_there_once() -> None:
    paths = [knob.path for knob in KNOBS]
    assert len(set(paths)) == len(paths)
    # What `ScheduleConfig.to_dict` leaves out where it is the default; a curve is brought from its own tab.
    schedules = {"schedule.timesteps", "schedule.rescale_betas_zero_snr"}
    of_rows = {f"schedule.{name}.{knob.field}" for name, row in SCHEDULES.items() for knob in row.knobs}
    hidden = {"training.optimizer"}  # Muon steps convolutions, and a perceptron has none
    assert set(DEFAULTS) - hidden | schedules | of_rows == set(paths), "every knob of the config is in the table"
    assert [knob for group in groups().values() for knob in group] == list(KNOBS)


@EVERY
def test_words_are_there(knob: Knob) -> None:
    assert knob.label
    assert knob.info.endswith((".", "?"))
    assert not (knob.choices and knob.limits)
    values = [value for _, value in knob.choices]
    assert len(set(values)) == len(values) == len({title for title, _ in knob.choices})


@EVERY
def test_what_is_shown_can_be_set(knob: Knob) -> None:
    for value in shown(knob):
        clean = knob.clean(value)
        assert clean == (None if value == NOTHING else value)
        if clean == OWN:
            continue
        changes: dict[str, Any] = {"schedule.name": knob.row} if isinstance(knob, RowKnob) else {}
        changes |= knob.changes(value)
        if knob.path == TIMESTEPS:
            changes["sampling.steps"] = 2
        if knob.path == "sampling.spacing":
            changes["sampling.sampler"] = "dpm++"
        if knob.path == NAME and SCHEDULES[clean].by_knots:
            changes["schedule.knots"] = CURVES[SCHEDULES[clean].knots_from]
        config = ToyConfig().changed(**changes)
        assert knob.value(config) == value
        assert knob.clean(knob.value(config)) == clean
        default = knob.value(ToyConfig())
        if clean is not None and default is not None:
            assert type(clean) is type(default)


@EVERY
@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_can_be_shown(knob: Knob, name: str) -> None:
    config = PRESETS[name].config
    value = knob.value(config)
    assert ToyConfig.from_dict(config.changed(**knob.changes(value)).to_dict()) == config


@EVERY
def test_junk_of_every_type_is_refused(knob: Knob) -> None:
    number = bool(knob.choices or knob.limits or isinstance(knob, RowKnob))
    for value in [*JUNK, *([] if number else NUMBERS)]:
        with pytest.raises(LabError, match=re.escape(knob.label)):
            knob.clean(value)
    for value in (True, False) if number else ():
        with pytest.raises(ValueError):  # noqa: PT011 (True equals 1, so a list of numbers leaves it to the config)
            ToyConfig().changed(**knob.changes(value))


@given(st.sampled_from(KNOBS), junk)
def test_any_value_is_one_of_the_knobs_or_refused(knob: Knob, value: Any) -> None:
    try:
        clean = knob.clean(value)
    except LabError:
        return
    if knob.limits:
        assert knob.limits[0] <= clean <= knob.limits[1]
        assert type(clean) in (int, float)
    elif isinstance(knob, RowKnob):
        assert type(clean) is float
        assert math.isfinite(clean)
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


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_only_the_chosen_schedules_knobs_are_seen(name: str) -> None:
    config = ToyConfig(schedule=schedule_of(name))
    seen = [knob for knob in KNOBS if isinstance(knob, RowKnob) and knob.applies(config)]
    assert [knob.spec for knob in seen] == list(SCHEDULES[name].knobs)
    for knob in KNOBS:
        assert knob.component(config).visible == (knob in seen or not isinstance(knob, RowKnob))


def test_what_a_schedule_refuses_it_says() -> None:
    """A control takes any finite number: it is the row that knows its own limits."""
    (knob,) = (knob for knob in KNOBS if knob.path == "schedule.cosine.s")
    cosine = ToyConfig(schedule=ScheduleConfig("cosine"))
    with pytest.raises(ScheduleError, match="offset s"):
        cosine.changed(**knob.changes(-1))
    assert cosine.changed(**knob.changes(0.1)).schedule == ScheduleConfig("cosine", s=0.1)


# What the controls of a tab say together


def said(config: Any, **others: Any) -> dict[str, Any]:
    return {knob.path: knob.value(config) for knob in KNOBS} | others


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_the_controls_say_the_schedule(name: str) -> None:
    config = ToyConfig(schedule=schedule_of(name, 250, True, **{k.field: k.low for k in SCHEDULES[name].knobs}))
    values = said(config)
    assert schedule_of_controls(values, json.dumps(config.schedule.to_dict())) == config.schedule
    assert not any(path.startswith("schedule.") for path in values), "taken out"


def test_a_curve_that_was_brought_is_for_its_own_kind() -> None:
    brought = json.dumps(schedule_of("drawn", 50).to_dict())
    assert schedule_of_controls(said(ToyConfig(), **{NAME: "drawn"}), brought) == schedule_of("drawn")
    assert not schedule_of_controls(said(ToyConfig(), **{NAME: "learned"}), brought).knots
    assert not schedule_of_controls(said(ToyConfig(), **{NAME: "cosine"}), brought).knots
    for nothing in ("", None):
        with pytest.raises(ScheduleError, match="no curve yet"):
            schedule_of_controls(said(ToyConfig(), **{NAME: "drawn"}), nothing).make()
    for wrong in ("{", "[" * 100_000, "3", '{"name":"nessie"}', 3):
        with pytest.raises((LabError, ScheduleError), match=" "):
            schedule_of_controls(said(ToyConfig(), **{NAME: "drawn"}), wrong)
