"""Links and files of earlier versions: the schedule's knobs stood among those of the experiment."""

from __future__ import annotations

from typing import Any

KNOBS = ("timesteps", "beta_start", "beta_end", "rescale_betas_zero_snr")
NAMES = ("schedule", *KNOBS, "custom_schedule")
BROUGHT = "custom"  # the schedule's name where `custom_schedule` said what it was


def with_schedule(values: dict[str, Any], default: str) -> dict[str, Any]:
    """The configuration `values` in today's form, where `schedule` is one table of a name and knobs. `default` is the
    schedule of one that named none. Values of today's form pass unchanged; what is wrong is not judged here.
    """
    name = values.get("schedule", default)
    rest = {key: value for key, value in values.items() if key not in NAMES}
    if isinstance(name, dict):  # today's form, which counts where both are there
        return rest | {"schedule": name}
    knobs = {key: values[key] for key in KNOBS if values.get(key) is not None}
    brought = values.get("custom_schedule")
    if name == BROUGHT and isinstance(brought, dict):
        zero = bool(brought.get("rescale_betas_zero_snr")) or knobs.get("rescale_betas_zero_snr") is True
        return rest | {"schedule": brought | ({"rescale_betas_zero_snr": True} if zero else {})}
    return rest | {"schedule": {"name": name} | knobs}
