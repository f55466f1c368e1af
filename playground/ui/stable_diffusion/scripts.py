"""The picture on show as code: with this playground, and with diffusers alone."""

from __future__ import annotations

from pathlib import Path

from playground.diffusion.samplers import SAMPLERS
from playground.stable_diffusion.models import CATALOGUE
from playground.stable_diffusion.picture import Kind, Parameters
from playground.stable_diffusion.schedulers import options

PIPELINES: dict[Kind, str] = {
    "text": "StableDiffusionPipeline",
    "img2img": "StableDiffusionImg2ImgPipeline",
    "inpaint": "StableDiffusionInpaintPipeline",
}
INITIAL_IMAGE, MASK = "initial-image.png", "mask.png"
NO_INPAINTING = """# With diffusers alone: not this one. Its inpainting pipeline takes Stable Diffusion's latents of 4
# channels, and this model's have 8.
"""


def scripts(parameters: Parameters) -> str:
    """Short programs that draw the same picture: with this playground, and with diffusers. If it started from another
    picture, they read that one, and the mask, from files that have to be saved first.
    """
    made, kind = parameters.request, parameters.kind
    scheduler = SAMPLERS[made.scheduler]
    model = CATALOGUE.get(parameters.model)
    source = "your/model" if model is None else model.source
    where = f"assets/{source.name}" if isinstance(source, Path) else source
    told = "".join(f", {name}={value!r}" for name, value in options(made.scheduler, {}).items())
    size = f"width={made.width}, height={made.height}"
    ours, theirs = ("", ""), ("", f" {size}")
    if kind != "text":
        ours, theirs = _initial_image(kind, made.strength, size)
    program = f"""# In a notebook, from a checkout of this repository; every step is handed out
from playground.stable_diffusion import StableDiffusionLab
{ours[0]}
lab = StableDiffusionLab({parameters.model!r})
for step in lab.generate(
    {made.prompt!r},
    negative_prompt={made.negative_prompt!r},
    steps={made.steps}, guidance_scale={made.guidance_scale:g}, scheduler={made.scheduler!r},
    seed={made.seeds[0]}, {size}{ours[1]},
):
    print(step.index, step.t, step.guidance_norm)
step.images            # (1, 3, {made.height}, {made.width}) in [0, 1]
"""
    if kind == "inpaint" and parameters.model == "tiny":
        return f"{program}\n{NO_INPAINTING}"
    return f"""{program}

# The same picture with diffusers alone
import torch
from diffusers import {PIPELINES[kind]}, {scheduler.class_name}
{theirs[0]}
pipeline = {PIPELINES[kind]}.from_pretrained(
    {str(where)!r}, use_safetensors=True, dtype=torch.float32
)
pipeline.scheduler = {scheduler.class_name}.from_config(pipeline.scheduler.config{told})
image = pipeline(
    {made.prompt!r},
    negative_prompt={made.negative_prompt!r},
    num_inference_steps={made.steps}, guidance_scale={made.guidance_scale:g},
    generator=torch.Generator().manual_seed({made.seeds[0]}),{theirs[1]},
).images[0]
image.save("picture.png")
"""


def _initial_image(kind: Kind, strength: float, size: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """For the playground and for diffusers: the lines that read the initial image, and the arguments that pass it."""
    part = kind == "inpaint"
    read = "from playground.stable_diffusion.picture import read_png\n\n"
    read += f"picture = read_png(open({INITIAL_IMAGE!r}, 'rb').read()).image  # the one it started from, saved as PNG\n"
    load = "from diffusers.utils import load_image\n\n"
    load += f"picture = load_image({INITIAL_IMAGE!r})\n"
    if part:
        read += f"mask = read_png(open({MASK!r}, 'rb').read()).image[0] > 0.5  # white where it was repainted\n"
        load += f"mask = load_image({MASK!r}).convert('L')\n"
    ours = f",\n    init_image=picture{', mask=mask' if part else ''}, strength={strength:g}"
    theirs = f"\n    image=picture, {f'mask_image=mask, {size}, ' if part else ''}strength={strength:g}"
    return (read, ours), (load, theirs)
