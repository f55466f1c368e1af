"""What is on show, as code: with this playground, and with diffusers alone."""

from __future__ import annotations

from pathlib import Path

from playground.stable_diffusion.models import CATALOGUE
from playground.stable_diffusion.picture import Parameters
from playground.stable_diffusion.schedulers import SCHEDULERS


def scripts(parameters: Parameters) -> str:
    """Two short programs that draw the same picture."""
    made, kind = parameters.request, SCHEDULERS[parameters.request.scheduler]
    model = CATALOGUE.get(parameters.model)
    source = "your/model" if model is None else model.source
    where = f"assets/{source.name}" if isinstance(source, Path) else source
    options = "".join(f", {name}={value!r}" for name, value in kind.options.items())
    begun = "" if parameters.kind == "text" else "# It began with a picture: give init_image=… (and mask=…) too.\n"
    return f"""{begun}# In a notebook, from a checkout of this repository; every step is handed out
from playground.stable_diffusion import StableDiffusionLab

lab = StableDiffusionLab({parameters.model!r})
for step in lab.generate(
    {made.prompt!r},
    negative_prompt={made.negative_prompt!r},
    steps={made.steps}, guidance_scale={made.guidance_scale:g}, scheduler={made.scheduler!r},
    seed={made.seeds[0]}, width={made.width}, height={made.height},
):
    print(step.index, step.t, step.guidance_norm)
step.images            # (1, 3, {made.height}, {made.width}) in [0, 1]


# The same picture with diffusers alone
import torch
from diffusers import StableDiffusionPipeline, {kind.class_name}

pipeline = StableDiffusionPipeline.from_pretrained({str(where)!r}, use_safetensors=True)
pipeline.scheduler = {kind.class_name}.from_config(pipeline.scheduler.config{options})
image = pipeline(
    {made.prompt!r},
    negative_prompt={made.negative_prompt!r},
    num_inference_steps={made.steps}, guidance_scale={made.guidance_scale:g},
    generator=torch.Generator().manual_seed({made.seeds[0]}), width={made.width}, height={made.height},
).images[0]
image.save("picture.png")
"""
