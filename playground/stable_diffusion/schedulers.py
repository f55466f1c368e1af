"""The samplers of Stable Diffusion: diffusers' schedulers, built from the model's own scheduler configuration.

Left out: LMS and DPM-Solver SDE need scipy and torchsde, LCM and TCD distilled networks, EDM its own preconditioning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from playground.diffusion.diffusers_schedulers import import_diffusers
from playground.refusal import Refusal


class SchedulerError(Refusal):
    """This scheduler cannot do what was asked; the message says why and what can."""


@dataclass(frozen=True)
class Scheduler:
    """One way from noise to latents: a class of diffusers, and `options` that a model's configuration leaves open."""

    title: str
    source: str
    class_name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    min_steps: int = 2  # with one, most land on the clean end of the table only: see `make`
    order: int = 1  # of 2: two calls a step, but for the last
    stochastic: bool = False
    zero_terminal_snr: bool = True  # can it start where no signal is left?
    few: int = 0  # with fewer steps the tiny model's colours run off, as its judge reads them: leaps too long for it

    def calls(self, steps: int) -> int:
        """Evaluations of the U-Net in `steps` steps; a guided one is a doubled batch, not a second call."""
        return steps + 1 if self.class_name == "PNDMScheduler" else self.order * (steps - 1) + 1

    def note(self, steps: int) -> str:
        """What to say of a picture drawn in so many steps: nothing, unless they are too few for this scheduler."""
        if steps >= self.few:
            return ""
        return f"{self.title} in {steps} steps leaps too far: colours run off. Take {self.few} steps or more."


# Latents have no bounds: clip_sample, on by default in DDIM and DDPM, would cut x̂_0 to [-1, 1].
_LATENTS = {"clip_sample": False}
# Both ends of the table are visited, as these classes do by default: a configuration saved from another class may name
# that one's spacing instead.
_ENDS = {"timestep_spacing": "linspace"}
_SDE = _ENDS | {"algorithm_type": "sde-dpmsolver++"}
_KARRAS = "Karras et al. 2022"

SCHEDULERS: dict[str, Scheduler] = {
    "pndm": Scheduler(
        "PNDM", "Liu et al. 2022", "PNDMScheduler", {"skip_prk_steps": True}, zero_terminal_snr=False, few=3
    ),
    "ddim": Scheduler("DDIM", "Song et al. 2021", "DDIMScheduler", _LATENTS),
    "ddpm": Scheduler("DDPM", "Ho et al. 2020", "DDPMScheduler", _LATENTS, stochastic=True),
    "dpm++": Scheduler("DPM-Solver++ 2M", "Lu et al. 2022", "DPMSolverMultistepScheduler", _ENDS, 1),
    "dpm++_sde": Scheduler(
        "DPM-Solver++ 2M SDE", "Lu et al. 2022", "DPMSolverMultistepScheduler", _SDE, 1, stochastic=True
    ),
    "dpm++_2s": Scheduler(
        "DPM-Solver++ 2S",
        "Lu et al. 2022",
        "DPMSolverSinglestepScheduler",
        {"lower_order_final": True},
        1,
        zero_terminal_snr=False,
    ),
    "unipc": Scheduler("UniPC", "Zhao et al. 2023", "UniPCMultistepScheduler", _ENDS, 1),
    "deis": Scheduler("DEIS", "Zhang & Chen 2023", "DEISMultistepScheduler", _ENDS, 1, zero_terminal_snr=False),
    "euler": Scheduler("Euler", _KARRAS, "EulerDiscreteScheduler", _ENDS),
    "euler_a": Scheduler("Euler ancestral", _KARRAS, "EulerAncestralDiscreteScheduler", _ENDS, stochastic=True),
    "heun": Scheduler("Heun", _KARRAS, "HeunDiscreteScheduler", _ENDS, order=2, zero_terminal_snr=False, few=5),
    "dpm2": Scheduler("DPM2", _KARRAS, "KDPM2DiscreteScheduler", _ENDS, order=2, zero_terminal_snr=False, few=7),
    "dpm2_a": Scheduler(
        "DPM2 ancestral",
        _KARRAS,
        "KDPM2AncestralDiscreteScheduler",
        _ENDS,
        order=2,
        stochastic=True,
        zero_terminal_snr=False,
        few=8,
    ),
}


def allowed(base_config: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of SCHEDULERS that a model with this scheduler configuration can be sampled with."""
    zero_snr = bool(base_config.get("rescale_betas_zero_snr", False))
    return tuple(name for name, kind in SCHEDULERS.items() if kind.zero_terminal_snr or not zero_snr)


def check(name: str, base_config: Mapping[str, Any], steps: int) -> None:
    """Raise SchedulerError where `make` would."""
    if name not in SCHEDULERS:
        raise SchedulerError(f"Unknown scheduler {name!r}. Choose one of: {', '.join(SCHEDULERS)}.")
    kind = SCHEDULERS[name]
    if name not in allowed(base_config):
        raise SchedulerError(
            f"{kind.title} cannot start where no signal is left, as this model was trained to (zero terminal SNR). "
            f"Choose one of: {', '.join(SCHEDULERS[other].title for other in allowed(base_config))}."
        )
    trained = int(base_config.get("num_train_timesteps", 1000))
    if steps < kind.min_steps:
        raise SchedulerError(
            f"{kind.title} with {steps} step would ask the network once, at the clean end of the schedule (t ≈ 0), "
            f"while the latents are still pure noise: nothing could come of it. Take at least {kind.min_steps} steps, "
            "or DPM-Solver++, whose single step is at the noisy end."
        )
    if steps > trained:
        raise SchedulerError(f"{steps} steps do not fit into a schedule of T = {trained}: take {trained} at most.")
    # Heun and DPM2 keep to the table, and ask twice on purpose; with few steps, no two timesteps are one.
    if kind.order == 1 and 2 * steps > trained and not _fits(_built(name, base_config, steps)):
        most = next((n for n in range(steps - 1, 0, -1) if _fits(_built(name, base_config, n))), None)
        raise SchedulerError(
            f"{kind.title} with {steps:,} steps would leave the schedule of T = {trained:,}, or ask twice at one place "
            f"of it: take {'another scheduler' if most is None else f'{most:,}'}."
        )


def make(name: str, base_config: Mapping[str, Any], steps: int, device: str | torch.device = "cpu") -> Any:
    """diffusers' scheduler `name` on a model's own noise schedule, its timesteps set; a new one for every run.

    `base_config`: the configuration of the scheduler that the model came with. Raises SchedulerError.
    """
    check(name, base_config, steps)
    return _built(name, base_config, steps, device)


def _built(name: str, base_config: Mapping[str, Any], steps: int, device: str | torch.device = "cpu") -> Any:
    kind = SCHEDULERS[name]
    options = dict(kind.options)
    if base_config.get("timestep_spacing") == "trailing":  # a model trained to start at the very end says so
        options.pop("timestep_spacing", None)
    # `_use_default_values` would drop what the model's own scheduler had by default, and take another class's default.
    config = {key: value for key, value in base_config.items() if key != "_use_default_values"}
    scheduler = getattr(import_diffusers(kind.class_name), kind.class_name).from_config(config, **options)
    scheduler.set_timesteps(steps, device=device)
    return scheduler


def _fits(scheduler: Any) -> bool:
    """Whether every timestep is in the table (Stable Diffusion 1.x's offset of 1 can lead beyond it), and no multistep
    method meets one level twice: it would divide by the way between the two, which is 0.
    """
    inside = bool(scheduler.timesteps.max() <= scheduler.config.num_train_timesteps - 1)
    return inside and (not hasattr(scheduler, "sigmas") or bool((scheduler.sigmas[:-1].diff() < 0).all()))


def level(scheduler: Any, index: int, t: torch.Tensor) -> tuple[float, float]:
    """(α, σ) with α² + σ² = 1 of the scheduler's call number `index`, at timestep `t`."""
    if hasattr(scheduler, "sigmas"):  # σ/α, of the calls in order
        ratio = float(scheduler.sigmas[index])
        alpha = (1 + ratio * ratio) ** -0.5
        return alpha, ratio * alpha
    alpha_cumprod = float(scheduler.alphas_cumprod[int(t)])
    return alpha_cumprod**0.5, (1 - alpha_cumprod) ** 0.5
