"""The page: header, tabs, footer."""

from __future__ import annotations

import gradio as gr

from playground.sessions import Sessions
from playground.toy import live as toy_live
from playground.ui.mnist import tab as mnist_tab
from playground.ui.mnist.tab import MnistTab
from playground.ui.schedules import tab as schedules_tab
from playground.ui.schedules.tab import SchedulesTab, Taker
from playground.ui.stable_diffusion import models as stable_diffusion_models
from playground.ui.stable_diffusion.tab import StableDiffusionTab
from playground.ui.toy.tab import ToyTab

HEADER = """
<header class="pg-header"><h1>Diffusion Playground</h1>
<p>See how a model learns to turn noise into data.</p>
<button type="button" id="pg-theme" aria-label="switch between light and dark" title="light or dark">◐</button></header>
"""
FOOTER = """
<footer class="pg-footer">Keys: space plays, trains and pauses · . one step · ← → scrub · Home data · End noise</footer>
"""
THEME_BUTTON = """
document.getElementById("pg-theme").addEventListener("click", () => document.body.classList.toggle("dark"));
"""


def warm_up() -> None:
    """What takes seconds to import or to load, tab by tab, before a visitor has to wait for it."""
    toy_live.warm_up()
    mnist_tab.warm_up()
    schedules_tab.warm_up()
    stable_diffusion_models.warm_up()


def build(sessions: Sessions) -> gr.Blocks:
    """The whole page as Gradio blocks, ready to launch."""
    with gr.Blocks(
        title="Diffusion Playground", fill_width=True, analytics_enabled=False, delete_cache=(3600, 3600)
    ) as page:
        gr.HTML(HEADER, js_on_load=THEME_BUTTON, apply_default_css=False)
        with gr.Tabs() as tabs:
            with gr.Tab("Toy lab", id="toy"):
                toy = ToyTab(sessions)
            with gr.Tab("MNIST", id="mnist"):
                mnist = MnistTab(sessions)
            with gr.Tab("Schedules", id="schedules") as schedules:
                pass  # its buttons carry a schedule to the other tabs: those come first
            with gr.Tab("Stable Diffusion", id="stable_diffusion"):
                diffusion = StableDiffusionTab(sessions)
            with schedules:
                takers = {
                    "toy": Taker("the toy lab", toy.take_schedule, toy.takes),
                    "mnist": Taker("MNIST", mnist.take_schedule, mnist.takes, mnist.knobs),
                    "stable_diffusion": Taker("Stable Diffusion", diffusion.take_schedule, diffusion.takes),
                }
                SchedulesTab(tabs, takers)
        gr.HTML(FOOTER, apply_default_css=False)

        def leave(request: gr.Request) -> None:
            sessions.leave(str(request.session_hash))

        page.unload(leave)
    return page
