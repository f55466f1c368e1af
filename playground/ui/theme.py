"""How the page looks: Gradio's base theme, without fonts from outside."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

ROOMS = ("shared", "toy", "mnist", "schedules", "stable_diffusion")
STYLE = "".join((Path(__file__).parent / room / "style.css").read_text(encoding="utf-8") for room in ROOMS)


def theme() -> gr.themes.Base:
    """Compact, system fonts, the samples' orange for the one button to press."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.amber,
        neutral_hue=gr.themes.colors.gray,
        spacing_size=gr.themes.sizes.spacing_sm,
        radius_size=gr.themes.sizes.radius_md,
        text_size=gr.themes.sizes.text_sm,
        font=["system-ui", "-apple-system", "Segoe UI", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "monospace"],
    )
