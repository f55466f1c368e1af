"""Where each word acts: the cross-attention maps of a U-Net, Hertz et al. 2022 (Prompt-to-Prompt), §3.

The U-Net is shared by all visitors, so nothing about a run may be left on it. Its cross-attention layers get a
processor once, when the model is loaded; it looks for a recorder in a context variable, which each thread has its own
of, and which is set for the duration of one call only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_RECORDER: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


class Recorder:
    """Collects the maps of one call: the mean over layers and heads, for the last `images` rows of its batch (with
    guidance, the rows with words are the second half).
    """

    def __init__(self, images: int, height: int, width: int) -> None:
        self.images, self.height, self.width = images, height, width
        self._sum: Tensor | None = None
        self._layers = 0

    def add(self, probabilities: Tensor) -> None:
        """One layer's attention (images, heads, pixels, tokens), from whatever resolution it has."""
        n, _, pixels, tokens = probabilities.shape
        height, width = self._grid(pixels)
        maps = probabilities.mean(1).transpose(1, 2).reshape(n, tokens, height, width)
        maps = F.interpolate(maps, (self.height, self.width), mode="bilinear")
        self._sum = maps if self._sum is None else self._sum + maps
        self._layers += 1

    def maps(self) -> Tensor | None:
        """(N, tokens, h, w): at each place of the latents, what share each token has; they add up to 1."""
        return None if self._sum is None else (self._sum / self._layers).cpu()

    def _grid(self, pixels: int) -> tuple[int, int]:
        height, width = self.height, self.width
        while height * width > pixels:  # each level of the U-Net halves, and rounds up
            height, width = math.ceil(height / 2), math.ceil(width / 2)
        return height, width


class RecordingProcessor:
    """Does what `inner` does, bit for bit, and hands a copy of the attention to the recorder, if there is one."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        # While torch compiles, the variable is not looked at: who records asks the U-Net that is not compiled.
        recorder = None if torch.compiler.is_compiling() else _RECORDER.get()
        if recorder is not None and encoder_hidden_states is not None:
            last = slice(-recorder.images, None)
            recorder.add(_probabilities(attn, hidden_states[last], encoder_hidden_states[last]))
        return self.inner(attn, hidden_states, encoder_hidden_states, attention_mask, temb)


def install(unet: nn.Module) -> None:
    """Put the processor into every cross-attention layer of `unet`, once and for all."""
    for name, layer in unet.named_modules():
        if name.endswith("attn2") and not isinstance(layer.processor, RecordingProcessor):
            layer.set_processor(RecordingProcessor(layer.processor))


@contextmanager
def recording(recorder: Recorder | None) -> Iterator[None]:
    """Whatever U-Net this thread calls meanwhile reports to `recorder`. Not to be held across a `yield` of a run."""
    token = _RECORDER.set(recorder)
    try:
        yield
    finally:
        _RECORDER.reset(token)


def _probabilities(attn: Any, hidden_states: Tensor, words: Tensor) -> Tensor:
    """softmax(Q K^T / √d), (N, heads, pixels, tokens): Vaswani et al. 2017, equation 1, before the values."""
    queries, keys = attn.to_q(hidden_states), attn.to_k(words)
    queries = queries.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
    keys = keys.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
    return (queries @ keys.transpose(-1, -2) * queries.shape[-1] ** -0.5).float().softmax(-1)
