"""The words of the Stable Diffusion tab: how it works, and the source that is running."""

from __future__ import annotations

import json
from typing import Any

from playground.stable_diffusion import attention, clip_game, devices, generation, schedulers, start
from playground.stable_diffusion.digits.pipeline import FOLDER
from playground.ui.common import source


def _card(part: str) -> dict[str, Any]:
    return json.loads((FOLDER / part / "card.json").read_text(encoding="utf-8"))["figures"]


def _tiny() -> str:
    """What the tiny model can and cannot do, in the words of its cards."""
    unet, vae = _card("unet"), _card("vae")["single"]
    rows = [
        f"| {scale} | {kind} | {f['digit']:.3f} | {f['colour']:.3f} | {f['background']:.3f} |"
        for scale in (1, 3, 6)
        for kind in ("seen", "held-out")
        for f in [unet[f"guidance {scale}, {kind} pairs"]]
    ]
    two, blue = unet["two digits, guidance 4"], "blue, negative prompt "
    alone, sentence = unet[f"{blue}'blue'"], unet[f"{blue}'a six on a blue background'"]
    return f"""
A real `StableDiffusionPipeline` of 3.2 million weights, trained here on coloured handwritten digits: first the VAE, then
a tiny CLIP whose text encoder is frozen, then the U-Net. 20 of the 100 pairs of digit and colour were never shown to it.
Share of {unet["n"]} pictures that show what the words say, as a network reads them that learned from other digits:

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
$z_t = \alpha_t z_0 + \sigma_t \varepsilon$. The large model works on $4 \times 64 \times 64$ numbers in place of
$3 \times 512 \times 512$; the tiny one that ships here on $8 \times 8 \times 8$ in place of $3 \times 32 \times 32$.

The diagram shows the run on the stage: the words go once through the **text encoder**; then the **U-Net** says what of
$z_t$ is noise, the **scheduler** takes a step towards less of it, and so on; at the end the **VAE's decoder** makes the
picture. Everything written on the arrows was measured in this run.
""",
    "Guidance": r"""
At every step the U-Net is asked twice, with the words and without: $\varepsilon_c$ and $\varepsilon_\varnothing$. Their
difference is the direction in which the words pull, and **classifier-free guidance** (Ho & Salimans 2022) goes further
that way: $\hat\varepsilon = \varepsilon_\varnothing + s\,(\varepsilon_c - \varepsilon_\varnothing)$. diffusers calls $s$
`guidance_scale`, and 1 is none; the paper writes $w = s - 1$. A **negative prompt** takes the place of no words: the
picture is pushed away from it. Too much guidance leaves the places where the network knows its way: colours burn out.
""",
    "PNDM": r"""
The scheduler of Stable Diffusion 1.x (Liu et al. 2022). It remembers the last four answers and steps along
$\frac{1}{24}(55\,\varepsilon_t - 59\,\varepsilon_{t+1} + 37\,\varepsilon_{t+2} - 9\,\varepsilon_{t+3})$, a linear
multistep method of fourth order. At the start it has no former answers, so diffusers asks twice at the second timestep:
$n$ steps are $n + 1$ calls. One step is refused: it would be at $t \approx 0$, while the latents are pure noise. The
schedule is *scaled linear*, $\beta$ from 0.00085 to 0.012: see the Schedules tab.
""",
    "Words and where they act": r"""
The prompt is cut into **tokens**; what does not fit is struck out, the model never sees it. CLIP's text encoder (Radford
et al. 2021) gives each token a vector, and in the U-Net's cross-attention every place of the latents asks which tokens
concern it, $\mathrm{softmax}(QK^\top/\sqrt d)\,V$. Point at a word: bright is where its share is largest at this step,
the mean over layers and heads (as in Hertz et al. 2022). In a tiny model much goes to *⟨end⟩*: CLIP learned to put the
whole caption there.
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
    "Schedulers": source(schedulers.make, schedulers.level),
    "Start": source(start.begin, start.Start),
    "Attention": source(attention.RecordingProcessor, attention._probabilities),
    "CLIP paints": source(clip_game.paint_by_clip, clip_game._views),
    "Device": source(devices.plan),
}
