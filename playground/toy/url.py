"""An experiment as the query of a web address, which a teacher can send; it holds what differs from the default."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlencode

from playground.diffusion import earlier_forms
from playground.diffusion.schedule_config import SCHEDULE_FIELDS, knob_fields
from playground.toy.config import LabError, ToyConfig


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """A part's knobs as `part.knob`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= {f"{name}.{knob}": v for knob, v in value.items()} if isinstance(value, dict) else {name: value}
    return flat


DEFAULTS = _flat(ToyConfig().to_dict())


def to_query(config: ToyConfig) -> str:
    """For example `?dataset=disc_grid&training.learning_rate=0.003`; empty for the default. Points are left out."""
    changed = {k: v for k, v in _flat(config.to_dict()).items() if v != DEFAULTS.get(k)}
    words = {k: v if isinstance(v, str) else json.dumps(v, separators=(",", ":")) for k, v in changed.items()}
    return f"?{urlencode(words)}" if words else ""


def from_query(query: str) -> ToyConfig:
    """The inverse of `to_query`, also for links of earlier versions; names that are not knobs (servers add some) are
    ignored.

    Raises LabError.
    """
    config = ToyConfig().to_dict()
    try:
        pairs = parse_qsl(query.lstrip("?"), max_num_fields=100)
    except ValueError as error:
        raise LabError("This link's experiment has more than 100 knobs, so here is the default one.") from error
    known = {*DEFAULTS, *(f"schedule.{knob}" for knob in (*SCHEDULE_FIELDS, *knob_fields()))}
    earlier: dict[str, Any] = {}
    for name, word in pairs:
        try:
            value = json.loads(word)
        except (ValueError, RecursionError):  # a word, or JSON too large or too deep for any knob
            value = word
        if name in earlier_forms.NAMES:
            earlier[name] = value
        elif name in known:
            part, _, knob = name.rpartition(".")
            (config[part] if part else config)[knob] = value
    if earlier:
        config["schedule"] |= earlier_forms.with_schedule(earlier, ToyConfig().schedule.name)["schedule"]
    try:
        return ToyConfig.from_dict(config)
    except ValueError as error:
        raise LabError(f"This link's experiment cannot be run, so here is the default one. {error}") from error
