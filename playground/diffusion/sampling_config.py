"""Which sampler, how many steps and where they fall: what a visitor turns before walking from noise to data."""

from __future__ import annotations

from dataclasses import dataclass

from playground.diffusion.knobs import check_types
from playground.diffusion.sampler import KARRAS_SPACING, LEAST_STEPS, Sampler, SamplerError
from playground.diffusion.samplers import DEFAULT_SAMPLER, SAMPLERS

DEFAULT_SPACING = "default"  # the sampler's own, the first of its row


@dataclass(frozen=True)
class SamplingConfig:
    """How to walk from noise to data; every field a knob. Raises SamplerError."""

    sampler: str = DEFAULT_SAMPLER
    steps: int = 20
    spacing: str = DEFAULT_SPACING  # where the steps fall
    eta: float = 0.0  # 0 is deterministic, 1 adds as much noise as DDPM (Song et al. 2021, equation 16)
    variance: str = "fixed_small"  # DDPM's: σ_t² = β̃_t ("fixed_small") or β_t ("fixed_large")
    langevin_step: float = 0.2  # step size over σ²
    langevin_inner: int = 5  # annealed Langevin: steps at each noise level
    langevin_t: float = 0.2  # plain Langevin: the noise level, as a share of T

    def __post_init__(self) -> None:
        check_types(self, SamplerError)
        row = row_of(self.sampler)
        if self.spacing not in (DEFAULT_SPACING, *row.spacings):
            raise SamplerError(
                f"{row.title} has no {self.spacing!r} spacing. Choose one of: {', '.join(row.spacings)}."
            )
        if self.steps < (least := max(LEAST_STEPS, row.fewest_steps)):
            raise SamplerError(f"{row.title} needs at least {least} steps.")
        if self.variance not in ("fixed_small", "fixed_large"):
            raise SamplerError("The variance is 'fixed_small' (β̃) or 'fixed_large' (β).")
        if not (
            0 <= self.eta <= 1
            and 0 < self.langevin_step < 2
            and 1 <= self.langevin_inner <= 20
            and 0 <= self.langevin_t <= 1
        ):
            raise SamplerError(
                "η and the Langevin level lie in [0, 1], the Langevin step in (0, 2), its inner steps in 1 … 20."
            )

    @property
    def row(self) -> Sampler:
        """What SAMPLERS says of the sampler."""
        return SAMPLERS[self.sampler]

    @property
    def where(self) -> str:
        """The spacing by name, the sampler's own where "default" is asked for."""
        return self.row.spacings[0] if self.spacing == DEFAULT_SPACING else self.spacing

    @property
    def own_knobs(self) -> dict[str, object]:
        """The values of the knobs that this sampler reads, by the name of its own argument."""
        return {argument: getattr(self, knob) for knob, argument in self.row.knobs.items()}

    @property
    def calls(self) -> int:
        """Network calls of the whole run."""
        return self.calls_of(self.steps)

    def calls_of(self, steps: int) -> int:
        """Network calls of the last `steps` steps."""
        return self.row.calls(steps, **self.own_knobs)

    def check(self, timesteps: int, zero_terminal_snr: bool) -> None:
        """Raise SamplerError where this cannot run on a schedule of so many timesteps."""
        check_schedule(self.sampler, self.steps, timesteps, zero_terminal_snr, self.where)


def row_of(name: str) -> Sampler:
    """The row of SAMPLERS. Raises SamplerError."""
    if name not in SAMPLERS:
        raise SamplerError(f"Unknown sampler {name!r}. Choose one of: {', '.join(SAMPLERS)}.")
    return SAMPLERS[name]


def scheduled() -> dict[str, Sampler]:
    """The rows that are schedulers of diffusers: they visit timesteps, and can drive a pipeline."""
    return {name: row for name, row in SAMPLERS.items() if row.class_name}


def named(text: str) -> str | None:
    """The name in SAMPLERS of what somebody, or the web UI of AUTOMATIC1111, calls so; None where nothing is."""
    text = text.strip().lower()
    known = ((name, {name, row.title.lower(), *row.webui_names}) for name, row in scheduled().items())
    return next((name for name, names in known if text in names), None)


def with_knob(knob: str) -> str:
    """The titles of those that read this field of SamplingConfig."""
    return ", ".join(row.title for row in SAMPLERS.values() if knob in row.knobs)


def every_spacing() -> tuple[str, ...]:
    """All spacings that some sampler has."""
    return tuple(sorted({spacing for row in SAMPLERS.values() for spacing in row.spacings}, key=_last_if_karras))


def _last_if_karras(spacing: str) -> tuple[bool, str]:
    return spacing == KARRAS_SPACING, spacing


def can_start(zero_terminal_snr: bool) -> dict[str, Sampler]:
    """diffusers' samplers that can run on a schedule, at whose end there is no signal or some."""
    return {name: row for name, row in scheduled().items() if row.zero_terminal_snr or not zero_terminal_snr}


def check_fewest(name: str, steps: int) -> None:
    """Raise SamplerError for fewer steps than a pipeline can take with this sampler."""
    row = row_of(name)
    if steps >= row.fewest_steps:
        return
    if steps > 1:
        raise SamplerError(f"{row.title} needs at least {row.fewest_steps} steps.")
    others = [other.title for other in scheduled().values() if other.fewest_steps == 1]
    instead = f", or {others[0]}, whose single step is at the noisy end" if others else ""
    raise SamplerError(
        f"{row.title} with 1 step would ask the network once, at the clean end of the schedule (t ≈ 0), while the "
        f"samples are still pure noise: nothing could come of it. Take at least {row.fewest_steps} steps{instead}."
    )


def check_schedule(name: str, steps: int, timesteps: int, zero_terminal_snr: bool, spacing: str = "") -> None:
    """Raise SamplerError where `name` cannot run in so many steps on a schedule of so many timesteps."""
    row = row_of(name)
    if row.arrives and steps > timesteps:  # Langevin at one level visits no timesteps
        raise SamplerError(
            f"{steps} sampling steps do not fit into a schedule of T = {timesteps}: take {timesteps} at most."
        )
    if zero_terminal_snr and not row.zero_terminal_snr:
        titles = [other.title for other in can_start(zero_terminal_snr).values()]
        raise SamplerError(
            f"{row.title} cannot start where no signal is left (zero terminal SNR): it divides by α, which is 0 there. "
            f"Choose {', '.join(titles[:-1])} or {titles[-1]}, or a schedule without it."
        )
    if zero_terminal_snr and spacing == KARRAS_SPACING:
        raise SamplerError(
            "Karras spacing divides the way from the largest σ/α to the smallest, and with zero terminal SNR the "
            "largest is infinite. Choose trailing spacing, or switch zero terminal SNR off."
        )
