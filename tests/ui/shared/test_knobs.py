"""The table of knobs: each sets a field there is, takes every value it shows, and refuses everything else in words."""

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.diffusion.schedule_config import SCHEDULE_FIELDS
from playground.diffusion.schedules import SCHEDULES
from playground.toy import PRESETS, LabError, ToyConfig
from playground.toy.url import DEFAULTS
from playground.ui.shared.knobs import NOTHING, OWN, Knob
from playground.ui.shared.schedule_knobs import NAME, TIMESTEPS, RowKnob
from playground.ui.toy.knobs import all_knobs, groups

KNOBS = all_knobs()
ROWS = [knob for knob in KNOBS if isinstance(knob, RowKnob)]

OTHERS = [knob for knob in KNOBS if not isinstance(knob, RowKnob)]
EVERY = pytest.mark.parametrize("knob", OTHERS, ids=[knob.path for knob in OTHERS])
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
    assert len({knob.path for knob in KNOBS}) == len(KNOBS)
    paths = {knob.path for knob in OTHERS}
    of_schedules = {path for path in paths if path.startswith("schedule.")}
    assert of_schedules == {f"schedule.{field}" for field in SCHEDULE_FIELDS} - {"schedule.knots"}, "curves are drawn"
    # Muon steps convolutions, and a perceptron has none.
    assert set(DEFAULTS) - {"training.optimizer"} == paths - of_schedules | {NAME}, "every knob of the config is there"
    assert [knob for group in groups().values() for knob in group] == list(KNOBS)


@pytest.mark.parametrize("knob", ROWS, ids=[knob.path for knob in ROWS])
def test_a_knob_of_a_schedule(knob: RowKnob) -> None:
    assert knob.spec is not None
    field, plain = knob.spec.field, ToyConfig().changed(**{NAME: knob.row})
    assert knob.applies(plain)
    assert knob.value(plain) == knob.spec.default
    turned = plain.changed(**knob.changes(knob.spec.high))
    assert turned.schedule.knobs()[field] == knob.value(turned) == knob.spec.high
    other = next(name for name, row in SCHEDULES.items() if name != knob.row and not row.by_knots)
    elsewhere = turned.changed(**{NAME: other})
    assert not knob.applies(elsewhere)
    assert knob.value(elsewhere) == knob.spec.default
    control = knob.component(plain)
    assert (control.value, control.visible) == (knob.spec.default, True)
    assert not knob.component(elsewhere).visible
    for value in [*JUNK, True]:
        with pytest.raises(LabError, match=re.escape(knob.label)):
            knob.clean(value)


def test_all_schedules_have_their_knobs() -> None:
    assert {(knob.row, knob.spec.field) for knob in ROWS if knob.spec} == {
        (name, spec.field) for name, row in SCHEDULES.items() for spec in row.knobs
    }


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
    points = {"drawn": ((0.0, 1.0), (1.0, 0.0)), "learned": ((0.0, 9.0), (1.0, -9.0))}
    for value in shown(knob):
        clean = knob.clean(value)
        assert clean == (None if value == NOTHING else value)
        if clean == OWN:
            continue
        changes: dict[str, Any] = {knob.path: clean}
        if knob.path == TIMESTEPS:
            changes["sampling.steps"] = 2
        if knob.path == "sampling.spacing":
            changes["sampling.sampler"] = "dpm++"
        if knob.path == NAME and SCHEDULES[clean].by_knots:
            changes["schedule.knots"] = points[clean]
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


@given(st.sampled_from(OTHERS), junk)
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
    for knob in OTHERS:
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
