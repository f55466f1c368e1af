"""What all tabs share: a word beside a control, a file for the browser to save, how events are set up."""

from __future__ import annotations

import base64
import html
import inspect
import textwrap
import time
from typing import Any

import gradio as gr

from playground.diffusion import algorithms
from playground.ui.shared.wire import pack

Update = dict[Any, Any]
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
MATHS: list[dict[str, str | bool]] = [{"left": "$", "right": "$", "display": False}]


def notice(text: str, wrong: bool = False) -> str:
    """A message as HTML, heard by screen readers; empty for an empty one."""
    return f'<span class="{"pg-wrong" if wrong else ""}" role="status">{html.escape(text)}</span>' if text else ""


def file_message(name: str, data: bytes) -> str:
    """A file for the browser to save, as a message of a file channel."""
    at = time.time_ns()  # the page hears of new values alone: without it, the same file could not be saved twice
    return pack({"name": name, "base64": base64.b64encode(data).decode(), "at": at})


def source(*parts: Any) -> str:
    """The source of classes and functions as it runs, one after the other."""
    return "\n\n".join(textwrap.dedent(inspect.getsource(part)).rstrip() for part in parts)


def samplers_source() -> str:
    """The samplers that one can read, and what runs instead."""
    said = (
        "# To be read. What runs on this page is diffusers' class of each sampler. These functions take the same\n"
        "# steps, equal to 1e-5 at every state, by test (DPM-Solver++ to 5e-5, as its class rounds to float32).\n\n"
    )
    return said + source(algorithms.ddpm, algorithms.ddim, algorithms.heun, algorithms.dpm_solver_2m)


def lay_out_code(sources: dict[str, str]) -> None:
    """The folded part of a tab that shows the code that is running."""
    with gr.Accordion("The code that is running", open=False), gr.Tabs():
        for title, text in sources.items():
            with gr.Tab(title):
                gr.Code(text, language="python", interactive=False, show_label=False, max_lines=30)
