"""The words of the Schedules tab: how it works, and the source that is running."""

from __future__ import annotations

from playground.diffusion import knot_schedules, noise_schedule
from playground.diffusion.diffusers_schedulers import make_scheduler, spaced_timesteps
from playground.diffusion.schedules import by_formula
from playground.schedules import curves, diffusers_export, drawn, learned, quality, reference, steps
from playground.ui.shared.notices import samplers_source, source

HOW_IT_WORKS: dict[str, str] = {
    "One table, many curves": r"""
A schedule says how much of the data is left and how much noise is in at every $t$: $x_t = \alpha_t x_0 + \sigma_t
\varepsilon$. All else is derived: one step replaces the share $\beta_t$ of the variance, $\bar\alpha_t = \prod_s (1 -
\beta_s)$ is what is left of the signal's variance, $\mathrm{SNR} = \bar\alpha / (1 - \bar\alpha)$, and $\lambda = \ln
\mathrm{SNR}$. In each panel choose the curve; drag in it to zoom, double-click to see it whole, click to put the slider
there. Where the schedules differ in $T$, the axis is the share $t / (T - 1)$.

*linear*: Ho et al. 2020. *scaled linear* ($\sqrt\beta$ is linear): Rombach et al. 2022, Stable Diffusion. *cosine*: Nichol
& Dhariwal 2021, eq. 17. *sigmoid*: Xu et al. 2022. *Laplace*: Hang et al. 2024. *EDM*: Karras et al. 2022, eq. 5. *flow*:
Lipman et al. 2023, Liu et al. 2023. *Zero terminal SNR*: Lin et al. 2023, algorithm 1.
""",
    "Only the signal-to-noise ratio counts": r"""
Switch from **equal t** to **equal SNR**: the pictures become the same, whatever the schedule. (The straight path of *flow*
is paler by the factor $\sqrt{\alpha^2 + \sigma^2}$, so there all pictures are divided by it.) A schedule does not invent
another noise; it decides how much *time* is spent at which level (Kingma et al. 2021). **Over log-SNR** the curve of
$\bar\alpha$ is one for all. What differs is $p(\lambda) = |dt/d\lambda| / T$, how often training that draws $t$ uniformly
sees a level: for the cosine it is $\mathrm{sech}(\lambda/2)/2\pi$ (Kingma & Gao 2023).
""",
    "What the loss counts": r"""
Predicting $\varepsilon$, $x_0$ or $v$ asks for the same thing in other units. In the units of $\hat x_0$ a squared error on
$\varepsilon$ counts $\mathrm{SNR}$ times, on $x_0$ once, on $v$ $\mathrm{SNR} + 1$ times (Salimans & Ho 2022). So with
$\varepsilon$ an error at $t = 0$ weighs far more than one at the end, $2.5 \cdot 10^5$ times on scaled linear and $2.5 \cdot
10^8$ times on linear, and at zero terminal SNR nothing is learned at all at the end: predict $v$ there.
""",
    "Where the steps fall": r"""
Sampling visits $K$ of the $T$ timesteps. **leading** takes every $\lfloor T/K \rfloor$-th from 0 and never sees the last
one; **trailing** ends on it; **linspace** has both ends (Lin et al. 2023, table 2). **karras** spaces
$(\sigma_t/\alpha_t)^{1/\rho}$ evenly and makes levels of its own (Karras et al. 2022, who call that ratio $\sigma$). **PNDM** (Liu et al. 2022) takes the mean of the last four
$\hat\varepsilon$, weighted $(55, -59, 37, -9)/24$. At its start there are no former ones, so diffusers asks twice at the
second timestep: $n$ steps are $n + 1$ calls. The ring marks the repeat, the arcs lead to the calls that enter. With zero
terminal SNR it cannot start, for $\hat x_0 = (x - \sigma \hat\varepsilon)/\alpha$ divides by 0.
""",
    "Draw, or learn": r"""
**Draw your own**: what you draw is made to fall (pool adjacent violators, the nearest falling curve in squares), and its
$\beta$ is clipped to $(0, 1)$; the card says what was changed. **Learned**: Variational Diffusion Models (Kingma et al.
2021) let a monotone network give $\lambda(t)$. The bound does not depend on it, but the *variance* of its estimate from
random $t$ does: that is made small. The denoiser is the exact one of the chosen cloud, so the schedule depends on the data
alone.
""",
    "Quality against calls": r"""
The exact denoiser of a cloud makes no mistakes, so the chart shows the sampler's own. **Error against the exact path**: from
the same noise, how far from the end of the probability-flow ODE, solved finely, do we arrive? Where the steps end near no
noise (EDM, or *karras* spacing), a first-order sampler halves it with twice the calls (slope $-1$), a second-order one
quarters it ($-2$). Elsewhere the lowest level visited, $t \approx T/K$, is not that low, and the last jump, from there to
$\hat x_0$, is what one sees of a second-order sampler: its error grows with $1 - \bar\alpha$ there, so the schedule sets the
slope. From 32 to 128 calls DPM-Solver++ falls along $-0.5$ on *Laplace*, $-0.6$ on *scaled linear*, $-1.5$ on *linear*,
$-1.7$ on *cosine*, and $-2.2$ on EDM. DDPM adds noise and goes to no such end, so it has no such error. **Distance to the
data**: sliced Wasserstein-2 to fresh data, of digits the Fréchet distance of a reader's features; the dashed floor is what
fresh data have among themselves. A network trained live, or the digits' model, adds its own mistakes: then more calls soon
stop helping.
""",
}

RUNNING_CODE: dict[str, str] = {
    "Schedules": source(*(row.make for row in by_formula().values())),
    "Zero SNR": source(noise_schedule.rescale_zero_terminal_snr),
    "Curves": source(noise_schedule.NoiseSchedule, curves.curves, curves.density),
    "Drawn": source(drawn.knots_from_stroke, drawn.falling, knot_schedules.drawn),
    "Learned": source(learned.learn, learned.MonotoneNetwork, learned.Moments),
    "Samplers": samplers_source(),
    "Steps": source(steps.where, spaced_timesteps, make_scheduler),
    "Quality": source(quality._measure, quality._point, reference.ends),
    "In diffusers": source(diffusers_export.snippet, diffusers_export.scheduler_config),
}
