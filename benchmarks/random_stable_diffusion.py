"""Stable Diffusion 1.5's architecture at any width, weights at random: what it draws is noise, its costs are real."""

from __future__ import annotations

from typing import Any

import torch

from playground.diffusion.diffusers_schedulers import import_diffusers
from playground.stable_diffusion.digits.pipeline import make_scheduler
from playground.stable_diffusion.digits.words import make_tokenizer

TOKENS = 77
HEADS = 8


def random_pipeline(widths: tuple[int, int, int, int], text_width: int, vae_widths: tuple[int, ...], size: int) -> Any:
    """A StableDiffusionPipeline block for block as 1.5: four levels, two blocks each, words at the upper three and
    in the middle, four latent channels, a VAE that halves three times, a text encoder of 12 layers and 77 tokens.

    Its own has widths 320, 640, 1280, 1280, text 768, VAE 128, 256, 512, 512. `size`: pixels.
    """
    import transformers

    diffusers = import_diffusers("StableDiffusionPipeline", "UNet2DConditionModel", "AutoencoderKL")
    tokenizer = make_tokenizer()
    tokenizer.model_max_length = TOKENS
    text = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=text_width,
        intermediate_size=4 * text_width,
        num_hidden_layers=12,
        num_attention_heads=max(1, text_width // 64),
        max_position_embeddings=TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = diffusers.UNet2DConditionModel(
            sample_size=size // 8,
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
            block_out_channels=widths,
            layers_per_block=2,
            cross_attention_dim=text_width,
            attention_head_dim=HEADS,  # heads, despite its name
        )
        vae = diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=vae_widths,
            layers_per_block=2,
            latent_channels=4,
            scaling_factor=0.18215,
            sample_size=size,
        )
        encoder = transformers.CLIPTextModel(text)
    for part in (encoder, unet, vae):
        part.eval()  # as from_pretrained leaves them
    pipeline = diffusers.StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def at_width(part: int, size: int = 512) -> Any:
    """1.5 with each layer about 1/`part` as wide: the groups that are normalised together have 32 channels or more."""
    a, b, c = (-(-width // part // 32) * 32 for width in (320, 640, 1280))
    return random_pipeline((a, b, c, c), 768 // part, tuple(max(32, w // part) for w in (128, 256, 512, 512)), size)
