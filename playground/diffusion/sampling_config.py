"""Which sampler, how many steps and where they fall: what a visitor turns before walking from noise to data."""

from __future__ import annotations

from dataclasses import dataclass

from playground.diffusion.knobs import check_types
from playground.refusal import Refusal


class SamplerError(Refusal):
    """This sampler cannot do what was asked; the message says why and what can."""


@dataclass(frozen=True)
class Sampler:
    """One way from noise to data, and where its steps may fall."""

    title: str
    source: str
    spacings: tuple[str, ...]  # the first is the default
    zero_terminal_snr: bool = True  # can it start where no signal is left?
    stochastic: bool = False


SAMPLERS: dict[str, Sampler] = {
    "dpm++": Sampler("DPM-Solver++ 2M", "Lu et al. 2022", ("trailing", "leading", "linspace", "karras")),
    "ddim": Sampler("DDIM", "Song et al. 2021", ("trailing", "leading", "linspace")),
    "ddpm": Sampler("DDPM", "Ho et al. 2020", ("trailing", "leading", "linspace"), stochastic=True),
    "pndm": Sampler("PNDM", "Liu et al. 2022", ("leading", "trailing", "linspace"), zero_terminal_snr=False),
    "unipc": Sampler("UniPC", "Zhao et al. 2023", ("trailing", "leading", "linspace", "karras")),
    "heun": Sampler(
        "Heun", "Karras et al. 2022", ("linspace", "leading", "trailing", "karras"), zero_terminal_snr=False
    ),
    "euler": Sampler("Euler", "Karras et al. 2022", ("linspace", "leading", "trailing", "karras")),
    "annealed_langevin": Sampler("Annealed Langevin", "Song & Ermon 2019", ("linspace",), stochastic=True),
    "langevin": Sampler("Langevin at one noise level", "Roberts & Tweedie 1996", ("linspace",), stochastic=True),
}


@dataclass(frozen=True)
class SamplingConfig:
    """How to walk from noise to data; every field a knob."""

    sampler: str = "dpm++"
    steps: int = 20
    spacing: str = "default"  # where the steps fall; "default" is the sampler's own
    eta: float = 0.0  # DDIM only: 0 is deterministic, 1 adds as much noise as DDPM (Song et al. 2021, equation 16)
    variance: str = "fixed_small"  # DDPM only: σ_t² = β̃_t ("fixed_small") or β_t ("fixed_large")
    langevin_step: float = 0.2  # Langevin only: step size over σ²
    langevin_inner: int = 5  # annealed Langevin only: steps at each noise level
    langevin_t: float = 0.2  # plain Langevin only: the noise level, as a share of T

    def __post_init__(self) -> None:
        check_types(self, SamplerError)
        if self.sampler not in SAMPLERS:
            raise SamplerError(f"Unknown sampler {self.sampler!r}. Choose one of: {', '.join(SAMPLERS)}.")
        allowed = SAMPLERS[self.sampler].spacings
        if self.spacing not in ("default", *allowed):
            raise SamplerError(
                f"{SAMPLERS[self.sampler].title} has no {self.spacing!r} spacing. Choose one of: {', '.join(allowed)}."
            )
        if self.steps < 2:
            raise SamplerError("Sampling needs at least 2 steps.")
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
