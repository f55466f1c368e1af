"""The tiny Stable Diffusion's parts, of the large one's classes and with their roles, and the folder they lie in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from playground.diffusion.diffusers_schedulers import import_diffusers
from playground.stable_diffusion.digits.pictures import SIZE
from playground.stable_diffusion.digits.words import POSITIONS

FOLDER = Path(__file__).resolve().parents[3] / "assets" / "tiny-stable-diffusion"
WIDTH = 96  # of the text encoder
LATENT_CHANNELS = 8  # with Stable Diffusion's 4, the colour of a thin stroke does not survive the trip
LATENT_SIZE = SIZE // 4


def make_text_encoder(tokenizer: Any) -> Any:
    """transformers' CLIPTextModel: 2 layers, width 96, the last token read is the end token."""
    import transformers

    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        projection_dim=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=POSITIONS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return transformers.CLIPTextModel(config)


def make_vae() -> Any:
    """diffusers' AutoencoderKL: 32×32×3 ↔ 8×8×8."""
    vae = import_diffusers("AutoencoderKL").AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 48),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=SIZE,
        scaling_factor=1.0,  # the latents are whitened where they are made
        mid_block_add_attention=True,
    )
    return _quiet_at_first(vae)


def make_unet() -> Any:
    """diffusers' UNet2DConditionModel: 8×8×8 latents, the words enter by cross-attention at 4×4 and in the middle."""
    unet = import_diffusers("UNet2DConditionModel").UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        mid_block_type="UNetMidBlock2DCrossAttn",
        block_out_channels=(64, 96),
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,  # heads, despite its name (diffusers issue 2011)
        norm_num_groups=8,
    )
    return _quiet_at_first(unet)


def make_scheduler() -> Any:
    """PNDM as Stable Diffusion 1.4 has it."""
    return import_diffusers("PNDMScheduler").PNDMScheduler(
        num_train_timesteps=1000,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        skip_prk_steps=True,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def _quiet_at_first(network: Any) -> Any:
    """Every residual block begins as the identity (its second convolution at 0), which speeds up the first steps."""
    for name, part in network.named_modules():
        if name.endswith("conv2"):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)
    return network.to(memory_format=torch.channels_last)
