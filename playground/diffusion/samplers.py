"""SAMPLERS: one row for each way from noise to data. Every tab reads the rows, and nothing else knows their names.

diffusers' schedulers left out: LMS and DPM-Solver SDE need scipy and torchsde, LCM and TCD distilled networks, EDM its
own preconditioning.
"""

from __future__ import annotations

from typing import Any

from playground.diffusion.langevin import annealed_langevin, langevin
from playground.diffusion.sampler import KARRAS_SPACING, Sampler

DEFAULT_SAMPLER = "dpm++"


def _twice(steps: int) -> int:
    return 2 * steps - 1  # the last step arrives at σ = 0 with one call


def _repeated(steps: int) -> int:
    return steps + 1


def _levels_times_inner(steps: int, langevin_inner: int, **others: Any) -> int:
    return steps * langevin_inner


def _looked_at_last(steps: int, **others: Any) -> int:
    return steps + 1


def _adams_bashforth(k: int, calls: int) -> int:
    # Liu et al. 2022, equation 12: four ε̂, fewer until there are four. The repeat, k = 1, goes back and takes the mean
    # of both; it is then forgotten.
    return 1 if k == 0 else 2 if k == 1 else min(k, 4)


def _multistep(k: int, calls: int) -> int:
    # First order where nothing came before, and on the last step, which goes all the way to x̂_0.
    return 1 if k in (0, calls - 1) else 2


def _deis(k: int, calls: int) -> int:
    # It ends at the schedule's least noise, not at none: there a second order is possible, from 15 steps on.
    return 1 if k == 0 or (k == calls - 1 and calls < 15) else 2


def _predictor_corrector(k: int, calls: int) -> int:
    # The corrector has one output more than the predictor before it had (Zhao et al. 2023), which is of order 2.
    return 1 if k == calls - 1 else min(k + 1, 3)


def _singlestep(k: int, calls: int) -> int:
    # Every other call goes back to where the one before it began (Lu et al. 2022, algorithm 1).
    return 2 if k % 2 and k < calls - 1 else 1


def _mean_of_two(k: int, calls: int) -> int:
    return 2 if k % 2 else 1  # the trial's slope averaged with the first


_DPM = ("trailing", "leading", "linspace", KARRAS_SPACING)
_SIGMA = ("linspace", "leading", "trailing", KARRAS_SPACING)
_PLUS_PLUS, _KARRAS = "Lu et al. 2022", "Karras et al. 2022"
_UNBOUNDED = {"clip_sample": False}  # else x̂_0 is cut to [-1, 1], which is right for pixels only

SAMPLERS: dict[str, Sampler] = {
    "dpm++": Sampler(
        "DPM-Solver++ 2M",
        _PLUS_PLUS,
        "DPMSolverMultistepScheduler",
        spacings=_DPM,
        history=_multistep,
        order=2,
        fewest_steps=1,
        colour="#e69f00",
        charted=True,
        webui_names=("dpm++ 2m", "dpm++ 2m karras"),
    ),
    "ddim": Sampler(
        "DDIM",
        "Song et al. 2021",
        "DDIMScheduler",
        options=_UNBOUNDED,
        knobs={"eta": "eta"},
        order=1,
        colour="#0072b2",
        charted=True,
    ),
    "ddpm": Sampler(
        "DDPM",
        "Ho et al. 2020",
        "DDPMScheduler",
        options=_UNBOUNDED,
        knobs={"variance": "variance_type"},
        stochastic=True,
        colour="#6b7280",
        charted=True,
    ),
    "pndm": Sampler(
        "PNDM",
        "Liu et al. 2022",
        "PNDMScheduler",
        options={"skip_prk_steps": True},
        table_options={"set_alpha_to_one": True},
        spacings=("leading", "trailing", "linspace"),
        prediction_type="epsilon",  # what its average is over; other classes turn their input into x̂_0 or ε
        count=_repeated,
        history=_adams_bashforth,
        forgotten=(1,),
        zero_terminal_snr=False,
        few=3,
        colour="#cc79a7",
        charted=True,
        webui_names=("plms",),
    ),
    "unipc": Sampler(
        "UniPC",
        "Zhao et al. 2023",
        "UniPCMultistepScheduler",
        spacings=_DPM,
        history=_predictor_corrector,
        fewest_steps=1,
        colour="#009e73",
        charted=True,
    ),
    "heun": Sampler(
        "Heun",
        _KARRAS,
        "HeunDiscreteScheduler",
        spacings=_SIGMA,
        count=_twice,
        history=_mean_of_two,
        order=2,
        zero_terminal_snr=False,
        few=5,
        colour="#56b4e9",
        charted=True,
    ),
    "euler": Sampler("Euler", _KARRAS, "EulerDiscreteScheduler", spacings=_SIGMA, order=1, colour="#8c6d1f"),
    "deis": Sampler(
        "DEIS",
        "Zhang & Chen 2023",
        "DEISMultistepScheduler",
        spacings=_DPM,
        history=_deis,
        order=2,
        zero_terminal_snr=False,
        fewest_steps=1,
        colour="#a33b20",
    ),
    "dpm++_2s": Sampler(
        "DPM-Solver++ 2S",
        _PLUS_PLUS,
        "DPMSolverSinglestepScheduler",
        options={"lower_order_final": True},  # which the class would set itself, with a warning
        spacings=_DPM,
        history=_singlestep,
        order=2,
        zero_terminal_snr=False,
        fewest_steps=1,
        colour="#b36b00",
    ),
    "dpm++_sde": Sampler(
        "DPM-Solver++ 2M SDE",
        _PLUS_PLUS,
        "DPMSolverMultistepScheduler",
        options={"algorithm_type": "sde-dpmsolver++"},
        spacings=_DPM,
        history=_multistep,
        stochastic=True,
        fewest_steps=1,
        colour="#d9b44a",
        webui_names=("dpm++ 2m sde", "dpm++ 2m sde karras"),
    ),
    "euler_a": Sampler(
        "Euler ancestral",
        _KARRAS,
        "EulerAncestralDiscreteScheduler",
        spacings=("linspace", "leading", "trailing"),
        stochastic=True,
        colour="#5b7f3a",
        webui_names=("euler a",),
    ),
    "dpm2": Sampler(
        "DPM2",
        _KARRAS,
        "KDPM2DiscreteScheduler",
        spacings=_SIGMA,
        count=_twice,
        interpolated=0,
        order=2,
        zero_terminal_snr=False,
        few=7,
        colour="#7f5fa8",
    ),
    "dpm2_a": Sampler(
        "DPM2 ancestral",
        _KARRAS,
        "KDPM2AncestralDiscreteScheduler",
        spacings=_SIGMA,
        count=_twice,
        interpolated=-1,
        stochastic=True,
        zero_terminal_snr=False,
        few=8,
        colour="#b79ad1",
        webui_names=("dpm2 a",),
    ),
    "annealed_langevin": Sampler(
        "Annealed Langevin",
        "Song & Ermon 2019",
        walk=annealed_langevin,
        spacings=("linspace",),
        knobs={"langevin_step": "langevin_step", "langevin_inner": "langevin_inner"},
        count=_levels_times_inner,
        stochastic=True,
    ),
    "langevin": Sampler(
        "Langevin at one noise level",
        "Roberts & Tweedie 1996",
        walk=langevin,
        spacings=("linspace",),
        knobs={"langevin_step": "langevin_step", "langevin_t": "langevin_t"},
        count=_looked_at_last,  # its last state is one more place of the walk
        stochastic=True,
        arrives=False,
    ),
}
