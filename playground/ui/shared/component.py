"""What every live component is: an empty element, and scripts of the rooms of this folder that draw in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

ROOMS = Path(__file__).parents[1]


def script(*names: str) -> str:
    """The named scripts, one after the other, each below its name: "toy/draw" is `draw.js` in the room `toy`."""
    texts = ((name, (ROOMS / f"{name}.js").read_text(encoding="utf-8")) for name in names)
    return "".join(f"// --- {name}.js ---\n{text}" for name, text in texts)


def component(kind: str, *scripts: str, **arguments: Any) -> gr.HTML:
    """A component of this `kind`, a class of the style sheets, drawn by the named scripts, one after the other.

    A plain gr.HTML, which also takes `arguments`: for a subclass Gradio would write a .pyi file beside this one.
    """
    return gr.HTML(
        value="",
        html_template=f'<div class="pg-lab {kind}"></div>',
        js_on_load=script(*scripts),
        apply_default_css=False,
        elem_classes="pg-live",
        **arguments,
    )


def channel(name: str) -> gr.HTML:
    """A way for Python to send `name` messages to a stage: nothing to see, each value becomes a document event."""
    return gr.HTML(
        value="",
        html_template="<span></span>",
        js_on_load=f"""watch("value", () => props.value &&
            document.dispatchEvent(new CustomEvent("playground:{name}", {{ detail: props.value }})));""",
        apply_default_css=False,
        elem_classes="pg-channel",
    )
