"""The words of the Stable Diffusion tab: how it works, and the source that is running."""

from __future__ import annotations

import json
from typing import Any

from playground.diffusion import diffusers_schedulers
from playground.stable_diffusion import attention, clip_game, devices, generation, initial_latents, schedulers
from playground.stable_diffusion.digits.pipeline import FOLDER
from playground.stable_diffusion.digits.words import COLOUR_NAMES, DIGITS, held_out
from playground.ui.shared.notices import samplers_source, source


def _card(part: str) -> dict[str, Any]:
    return json.loads((FOLDER / part / "card.json").read_text(encoding="utf-8"))["figures"]


def _held_out() -> str:
    """Which pairs no training picture shows: "zero and five: red, blue; …"."""
    digits: dict[tuple[str, ...], list[str]] = {}
    for digit, name in enumerate(DIGITS):
        colours = tuple(colour for k, colour in enumerate(COLOUR_NAMES) if held_out(digit, k))
        digits.setdefault(colours, []).append(name)
    return "; ".join(f"{' and '.join(names)}: {', '.join(colours)}" for colours, names in digits.items())


def _tiny() -> str:
    """What the tiny model can and cannot do, in the words of its cards."""
    unet, vae = _card("unet"), _card("vae")["single"]
    rows = [
        f"| {scale} | {kind} | {f['digit']:.3f} | {f['colour']:.3f} | {f['background']:.3f} |"
        for scale in (1, 3, 6)
        for kind in ("seen", "held-out")
        for f in [unet[f"guidance {scale}, {kind} pairs"]]
    ]
    seen, unseen = (unet[f"guidance 3, {kind} pairs"]["all"] for kind in ("seen", "held-out"))
    two, blue = unet["two digits, guidance 4"], "blue, negative prompt "
    alone, sentence = unet[f"{blue}'blue'"], unet[f"{blue}'a six on a blue background'"]
    return f"""
A real `StableDiffusionPipeline` of 3.2 million weights, trained here on coloured handwritten digits: first the VAE, then
a tiny CLIP whose text encoder is frozen, then the U-Net. **Composition.** 20 of the 100 pairs of digit and colour were
never shown to any part: {_held_out()}. It draws them all the same: at guidance 3 everything is right in
{unseen:.3f} of them, and in {seen:.3f} of the others. In the grid put digits along x (*word*: seven, four, three) and
colours along y (*word*: red, orange, yellow): unseen pairs are told apart, and what the judge reads in a picture is said
with it. Share of {unet["n"]} pictures of each kind that show what the words say, as this judge reads them, a network that
learned from other digits:

| guidance | pairs | digit | colour | background |
|---|---|---|---|---|
{chr(10).join(rows)}

Its VAE keeps {vae["psnr_db"]:.1f} dB. Stroke words act: *thin* and *thick*. **What fails.** Two digits at once: try *a four
and a nine*; of {two["n"]} such pictures both digits are right in {two["both digits"]:.3f}. A colour alone as a negative
prompt is taken for the digit's: *blue* leaves {alone["digit"]:.3f} blue digits of {unet[f"{blue}''"]["digit"]:.3f}, but blue
backgrounds go from {unet[f"{blue}''"]["background"]:.3f} to {alone["background"]:.3f}; *a six on a blue background* takes
those to {sentence["background"]:.3f}. And whatever is no digit: try *an orange dog*.
"""


HOW_IT_WORKS: dict[str, str] = {
    "Latent diffusion": r"""
Stable Diffusion (Rombach et al. 2022) is the same diffusion as in the other tabs, in another place: a *VAE* has learned to
turn pictures into small **latents** and back, and all noise is mixed in and taken out there,
$x_t = \alpha_t x_0 + \sigma_t \varepsilon$, with latents for $x_0$. The large model works on $4 \times 64 \times 64$ numbers in place of
$3 \times 512 \times 512$; the tiny one that ships here on $8 \times 8 \times 8$ in place of $3 \times 32 \times 32$.

The diagram shows the run on the stage: the words go once through the **text encoder**; then the **U-Net** says what of
$x_t$ is noise, the **scheduler** takes a step towards less of it, and so on; at the end the **VAE's decoder** makes the
picture. Everything written on the arrows was measured in this run. What the tiny model shows of $\hat x_0$ on the way
comes from a quick copy of the VAE's decoder; the last picture is by the VAE itself.
""",
    "Guidance": r"""
At every step the U-Net is asked twice, with the words and without: $\varepsilon_c$ and $\varepsilon_\varnothing$. Their
difference is the direction in which the words pull, and **classifier-free guidance** (Ho & Salimans 2022) goes further
that way: $\hat\varepsilon = \varepsilon_\varnothing + s\,(\varepsilon_c - \varepsilon_\varnothing)$. diffusers calls $s$
`guidance_scale`, and 1 is none; the paper writes $w = s - 1$. A **negative prompt** takes the place of no words: the
picture is pushed away from it. Too much guidance leaves the places where the network knows its way: colours burn out.
""",
    "PNDM": r"""
The scheduler of Stable Diffusion 1.x (Liu et al. 2022, *pseudo numerical methods*). It remembers the last four answers
and mixes them, a linear multistep method of fourth order (Adams–Bashforth):
$\hat\varepsilon = \frac{1}{24}(55\,\varepsilon_t - 59\,\varepsilon_{t+1} + 37\,\varepsilon_{t+2} - 9\,\varepsilon_{t+3})$.
*Pseudo*, because a classical method would then step along a straight line; here $x_t$ moves by DDIM's formula with
$\hat\varepsilon$ in it (the paper's transfer part), which is exact where $\varepsilon$ is.

At the start there are no former answers. The paper begins with three Runge–Kutta steps of four calls each;
`skip_prk_steps` leaves these out, which makes it the paper's PLMS (pseudo linear multistep): diffusers asks twice at the
second timestep instead, so $n$ steps are $n + 1$ calls. One step is refused: it would be at $t \approx 0$, while the
latents are pure noise. The schedule is *scaled linear*, $\beta$ from 0.00085 to 0.012: see the Schedules tab.

Heun and DPM2 look twice at every step, the second time ahead of where they are. With few steps that place is a guess
gone wrong, and colours run off: take at least 5 with Heun, 7 with DPM2, 8 with DPM2 ancestral.
""",
    "Words and where they act": r"""
The prompt is cut into **tokens**; what does not fit is struck out, the model never sees it. CLIP's text encoder (Radford
et al. 2021) gives each token a vector, and in the U-Net's cross-attention every place of the latents asks which tokens
concern it, $\mathrm{softmax}(QK^\top/\sqrt d)\,V$. Point at a word: bright is where its share is largest at this step,
the mean over layers and heads (as in Hertz et al. 2022). At each place the shares of all 32 positions add up to 1. In
the tiny model, with *a red seven on a blue background*, the seven words together have about a half at every step,
*⟨start⟩* 0.15 to 0.24, and the end mark by itself 0.08 to 0.11. The other 23 positions are filled up with the end mark
again and have about 0.2 together; *⟨end⟩* above the picture stands for all 24. The text encoder gives each of them a
vector of its own, so they are no mere copies.
""",
    "CLIP": r"""
CLIP learned from pairs of pictures and captions to point both in the same direction. Stable Diffusion keeps its text half,
frozen. The picture half can judge: the table in CLIP's corner is the cosine of every picture with every caption. It can
even paint: **CLIP+VQGAN** (Crowson et al. 2022) follows the gradient of that cosine through a decoder to its latents. No
diffusion is involved, and it shows: CLIP is content with much that no one would call a picture.
""",
    "From a picture": r"""
*Start from it* (img2img; SDEdit, Meng et al. 2022): the picture's latents are noised part of the way, and the words take
over from there. *Repaint*: outside of what you cover, every state is replaced by the picture noised to that level,
so what grows inside has to fit.
""",
    "The tiny model": _tiny(),
}

RUNNING_CODE: dict[str, str] = {
    "The loop": source(generation.denoise),
    "Words": source(generation.encode),
    "Samplers": samplers_source(),
    "Schedulers": source(schedulers.make, schedulers.options, diffusers_schedulers.level),
    "Initial latents": source(initial_latents.initial_latents, initial_latents.InitialLatents),
    "Attention": source(attention.RecordingProcessor, attention._probabilities),
    "CLIP paints": source(clip_game.paint_by_clip, clip_game._views),
    "Device": source(devices.plan),
}
