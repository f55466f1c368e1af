"""What every live component is: an empty element, and the scripts of this folder that draw in it."""

from __future__ import annotations

import gradio as gr

from playground.ui.live.stage import script


def component(kind: str, *scripts: str) -> gr.HTML:
    """A component of this `kind`, a class of the style sheets, drawn by the named scripts, one after the other.

    A plain gr.HTML: for a subclass Gradio would write a .pyi file beside this one.
    """
    return gr.HTML(
        value="",
        html_template=f'<div class="pg-toy {kind}"></div>',
        js_on_load=script(*scripts),
        apply_default_css=False,
        elem_classes="pg-live",
    )
