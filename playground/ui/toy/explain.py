"""The words of the toy lab's tab: how each part works, in the symbols of the code, and the source that is running."""

from __future__ import annotations

import json
from typing import Any

from playground.diffusion import diffusers_schedulers, langevin, prediction, sampling, schedules, training
from playground.diffusion.exact import ExactDenoiser, GaussianMixture
from playground.diffusion.training import Trainer
from playground.toy.config import ToyConfig
from playground.toy.network import PointMLP
from playground.ui.shared.notices import samplers_source, source

# The text that belongs to each group of knobs
EXPLAINS = {
    "Data": "Data",
    "Noise": "Noise (forward)",
    "Network": "Network",
    "Learning": "Training (Algorithm 1)",
    "Sampling": "Sampling (Algorithm 2)",
}
HOW_IT_WORKS: dict[str, str] = {
    "Data": r"""
A data set is a handful of points, and the question is: *where would the next point be?* A diffusion model never sees
the rule that made the points. It sees points (`x0`), and learns to undo noise.

Everything is computed in standardised coordinates: mean 0, one common scale for both axes, variance 1. Your own drawings
and files are fitted to the same square.
""",
    "Noise (forward)": r"""
Noise is mixed in with two numbers that depend on the timestep $t$ alone:

$x_t = \alpha_t\, x_0 + \sigma_t\, \varepsilon, \qquad \varepsilon \sim \mathcal{N}(0, I)$

In the code: `alphas[t]`, `sigmas[t]`, `eps`. The share of the variance that is still signal is
$\bar\alpha_t = \alpha_t^2 / (\alpha_t^2 + \sigma_t^2)$, `alphas_cumprod[t]`; one step replaces the share
$\beta_t = 1 - \bar\alpha_t / \bar\alpha_{t-1}$ of it.

Nothing is learned here: drag **how noisy (t)** with **Forward** on and watch the formula. At the last $t$ nothing of the
data should be left, $\bar\alpha_T \approx 0$, or sampling starts from a place the network has never seen. Try the recipe
*Failure: T = 50*.
""",
    "Network": r"""
A multilayer perceptron is asked: given the noisy point `x` and how noisy it is (`alpha`, `sigma`), what was there? It may
answer with the noise $\varepsilon$, the clean point $x_0$, $v = \alpha\varepsilon - \sigma x_0$, or the flow
$\varepsilon - x_0$. Each can be turned into the others, but an error in one is not the same error in another: that is all
the difference between them.

Fourier features $\sin(w \cdot x), \cos(w \cdot x)$ let a small network draw fine detail. Where the noise is wider than a
wave, that wave says nothing, so it is damped by $e^{-|w|^2 \sigma^2 / 2}$.
""",
    "Training (Algorithm 1)": r"""
Ho et al. 2020, Algorithm 1, in the symbols of the code:

1. draw a batch `x0` of the data
2. draw noise levels `alpha, sigma` (in the paper: $t \sim \mathrm{Uniform}\{1 \ldots T\}$)
3. draw `eps` $\sim \mathcal{N}(0, I)$
4. one step of Adam on $\lVert \mathrm{target} - \mathrm{network}(\alpha x_0 + \sigma\varepsilon,\ \alpha, \sigma) \rVert^2$
5. repeat

**The loss does not go to 0.** Many clean points lead to the same noisy one, so even a perfect answer errs: the dashed line
in *Loss by timestep* is the least that any network can reach on these points. Samples are drawn with a running average of
the weights (EMA), which is steadier than the weights themselves.
""",
    "Sampling (Algorithm 2)": r"""
Start from pure noise and walk back. At every step the network guesses the clean point, $\hat x_0$, and with it the noise,
$\hat\varepsilon = (x_t - \alpha_t \hat x_0)/\sigma_t$; the sampler decides how far to go. DDPM (Algorithm 2 of Ho et al.)
goes a little way and adds fresh noise; DDIM goes the same way without noise; DPM-Solver++ also remembers where it came
from, and needs 20 steps where DDPM needs hundreds.

**Guidance** follows the class more than the network would: $\hat x_0 = \hat x_0^u + s\,(\hat x_0^c - \hat x_0^u)$, where
$s$ is diffusers' `guidance_scale` (1 is none). Ho & Salimans write $w = s - 1$.
""",
    "Score and floor": r"""
The arrows are the **score**, $\sigma_t \nabla_x \log p_t(x) = (\alpha_t \hat x_0 - x)/\sigma_t = -\hat\varepsilon$ (Tweedie's
formula): the way from a noisy point back to where data are denser. For finitely many points it is known exactly:
$\hat x_0$ is the mean of the data, each point weighted by $e^{-|x - \alpha_t x_i|^2 / 2\sigma_t^2}$.

So we can see what no picture model shows: the learned field beside the exact one, and their difference. At small $t$ they
part: the exact score of the *training points* pulls onto those very points. A network that matched it would have learned
them by heart. That it does not is generalisation.
""",
    "Distance": r"""
*Sliced Wasserstein-2*: look at both clouds from many directions; in each, sort the shadows and measure how far they must
be moved. Two fresh draws of the data are not at distance 0 either: that is the **floor**, and samples that reach it cannot
be told from data at this N. *Energy distance* compares the distances between points; *off the support* is the share of
samples where no data can be.
""",
}


RUNNING_CODE: dict[str, str] = {
    "Training": source(Trainer.step, training.draw_batch, training.draw_levels, training.Batch),
    "Network": source(PointMLP),
    "Samplers": samplers_source(),
    "Sampling": source(sampling._diffusers, diffusers_schedulers.make_scheduler, sampling.guide),
    "Predictions": source(prediction.target, prediction.to_x0, prediction.to_eps),
    "Schedules": source(schedules.linear, schedules.cosine, schedules.karras, schedules.flow, schedules.NoiseSchedule),
    "Exact score": source(ExactDenoiser, GaussianMixture),
    "Langevin": source(langevin.langevin_move, langevin.annealed_langevin, langevin.langevin),
}


def recipe_code(config: ToyConfig) -> str:
    """A script that repeats the experiment of `config` without any page."""
    default, values = ToyConfig().to_dict(), config.to_dict()
    changed: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict) and isinstance(default[name], dict):
            changed |= {f"{name}.{k}": v for k, v in value.items() if v != default[name].get(k)}
        elif value != default[name]:
            changed[name] = value
    knobs = json.dumps(changed, indent=4, ensure_ascii=False)
    knobs = knobs.replace(": true", ": True").replace(": false", ": False").replace(": null", ": None")
    begin = f"lab = ToyLab(ToyConfig().changed(**{knobs}))"
    if config.points is not None:
        begin = """# Your own points are in the saved experiment ("Save the experiment"); from step 0 of it:
lab = ToyLab.load("experiment.safetensors")
lab.reset()"""
    return f"""from playground.toy import ToyConfig, ToyLab

{begin}
for step in lab.train(steps=2000):
    if step.step % 200 == 0:
        print(step.step, step.loss)
path = lab.sample(2000, seed=0)          # path.x: (K+1, N, 2), the last one the samples
print(lab.quality(2000))                 # distances to fresh data, each with its floor
lab.save("experiment.safetensors")
"""
