"""The words of the MNIST tab: how it works, and the source that is running."""

from __future__ import annotations

from playground.diffusion import diffusers_schedulers, sampling, training
from playground.mnist import cold, generate, live
from playground.mnist.lab import ForwardTable
from playground.mnist.unet import Attention, Block, SmallUNet
from playground.ui.shared.notices import samplers_source, source

HOW_IT_WORKS: dict[str, str] = {
    "Forward and reverse": r"""
A digit $x_0$ of 784 grey values is mixed with noise: $x_t = \alpha_t x_0 + \sigma_t \varepsilon$, with the *same*
$\varepsilon$ at every $t$ (the third panel). Drag **how noisy**: at the right end nothing of the digit is left, and the
histogram of its pixels is the bell of $\mathcal N(0, 1)$.

Below, the same slider shows the way back, by a network. At each step it sees only $x_t$ and how noisy it is, and guesses
$\hat x_0$, the digit, which is the same as guessing $\hat\varepsilon = (x_t - \alpha_t \hat x_0) / \sigma_t$. Early
guesses are a grey average of all digits that fit; late ones are sharp. The sampler takes a small step towards the guess,
and asks again.
""",
    "Guidance": r"""
In training the label was hidden now and then, so one network can guess with the class and without. **Guidance** goes
further in the direction in which the class pulls: $\hat x = \hat x_u + s\,(\hat x_c - \hat x_u)$ (Ho & Salimans 2022).
$s = 1$ is none, as in diffusers; the paper's $w$ is $s - 1$. More makes each digit clearer and all of them more alike:
compare 1, 2, 4 and 8.
""",
    "Schedules and samplers": r"""
The network is told the noise **angle** $\mathrm{atan2}(\sigma, \alpha)$, not a timestep. So the same weights serve every
schedule and every sampler, and you may compare them from the same noise (Compare). DDPM adds fresh noise at every step
and needs hundreds; DPM-Solver++ and UniPC remember the last guesses and need ten or twenty; PNDM is the one of Stable
Diffusion.
""",
    "Start from something": r"""
*SDEdit* (Meng et al. 2022): noise your drawing to where the last of the steps begin, and walk only those. Few of them
keep your strokes, many let the network decide. *RePaint* (Lugmayr et al. 2022): outside the painted part every state is replaced by the
real digit noised to that level, so that what grows inside has to fit. *Between two noises*: over the sphere (slerp),
since halfway on the straight line there is less noise than the network expects.

*Cold diffusion* (Bansal et al. 2022) has no noise at all: digits are blurred or made coarse, and a small network of its
own restores them step by step, $x_{s-1} = x_s - D(\hat x_0, s) + D(\hat x_0, s - 1)$. From a fully degraded image it
makes new digits; they are softer than those of noise, as in the paper.
""",
    "What the classifier reads": r"""
A small convolutional network, trained on real digits only, reads every image as you scrub. It reads 99.5 % of MNIST's test digits, and it
also calls pure noise a digit, often with full confidence: it knows nothing else. So its confidence alone says nothing
about quality. The figures in docs/figures.md ask two things instead: does it read the class that was asked for, and are
its 64 inner features spread as those of real digits (the Fréchet distance)?
""",
    "Training live": r"""
The same loop as in the toy lab: draw digits, levels and noise, mix, predict, step. At 14×14 a small network is readable
within a minute on one core of a laptop. What you see are guided samples ($s = 2$) of the averaged weights, always from
the same noise, so that what changes is the network and not the noise. *Teach it this*: draw a few digits of your own and
let the network that ships learn them, among real ones, so that it does not forget those.
""",
}

RUNNING_CODE: dict[str, str] = {
    "Forward": source(ForwardTable),
    "Network": source(SmallUNet, Block, Attention),
    "Training": source(training.Trainer.step, training.draw_batch, training.draw_levels, training.Batch),
    "Denoiser": source(sampling.network_denoiser, sampling.guide),
    "Samplers": samplers_source(),
    "Sampling": source(sampling._diffusers, diffusers_schedulers.make_scheduler),
    "SDEdit, slerp": source(sampling.sample_from, sampling.steps_from, sampling.slerp, generate.between_classes),
    "RePaint": source(generate._repaint),
    "Cold diffusion": source(cold.Degradation, cold.restore),
    "Teaching": source(live.LiveConfig.teach, live.LiveConfig.images),
}
