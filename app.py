"""Diffusion Playground: builds the page and serves it. `python app.py`, then open the address it prints."""

import gc
import os

gc.disable()  # start-up makes 100,000 objects that stay; collecting garbage among them takes a tenth of the time
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read while Gradio is imported
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import threading

import gradio as gr
import torch

from playground.sessions import Sessions
from playground.settings import SETTINGS
from playground.ui.page import build, warm_up
from playground.ui.schedules.stage import PLOTLY
from playground.ui.theme import STYLE, theme

torch.set_num_threads(SETTINGS.torch_threads)
gr.set_static_paths([PLOTLY])  # served as a file when the Schedules tab is first opened
demo = build(Sessions())
gc.enable()
gc.freeze()
demo.queue(max_size=SETTINGS.max_visitors * 4)

if __name__ == "__main__":
    demo.launch(
        theme=theme(),
        css=STYLE,
        run_history=False,
        footer_links=[],
        max_threads=SETTINGS.max_threads,
        max_file_size=SETTINGS.max_file_bytes,
        enable_monitoring=False,
        show_error=False,
        prevent_thread_lock=True,
    )
    threading.Thread(target=warm_up, daemon=True).start()  # slow imports, once the page is up
    demo.block_thread()
