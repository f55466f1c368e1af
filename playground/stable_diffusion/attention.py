"""Where each word acts: the cross-attention maps of a U-Net, Hertz et al. 2022 (Prompt-to-Prompt), §3.

The U-Net is shared by all visitors, so a run must leave nothing on it. Its cross-attention layers get a processor once,
when the model is loaded, which looks for a recorder in a context variable: each thread has its own, and it is set for
one call only.
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
    """Collects the maps of a run, call by call: the mean over layers and heads, for the last `images` rows of the batch
    (with guidance, the rows with words are the second half).
    """

    def __init__(self, images: int, height: int, width: int) -> None:
        self.images, self.height, self.width = images, height, width
        self._sums: dict[int, Tensor] = {}  # (images, pixels, tokens) over the layers that see so many pixels
        self._layers = 0
        self._words: Tensor | None = None
        self._keys: dict[nn.Module, Tensor] = {}  # of those words: the same at every call of a run

    def add(self, attn: Any, hidden_states: Tensor, words: Tensor) -> None:
        """What one cross-attention layer sees: (…, pixels, C) at whatever resolution it has, (…, tokens, width)."""
        if self._words is not words:
            self._words = words
            self._keys = {}
        if attn not in self._keys:
            self._keys[attn] = _scaled_keys(attn, words[-self.images :])
        shares = _probabilities(attn, hidden_states[-self.images :], self._keys[attn]).mean(1)
        pixels = shares.shape[1]
        self._sums[pixels] = self._sums[pixels].add_(shares) if pixels in self._sums else shares
        self._layers += 1

    def maps(self) -> Tensor | None:
        """(N, tokens, h, w): the share of attention that each token has at each place of the latents; they add up to 1.
        Of the calls since this was last asked for; None if there were none.
        """
        total: Tensor | None = None
        for pixels, shares in self._sums.items():
            maps = (shares / self._layers).transpose(1, 2).unflatten(-1, self._grid(pixels))
            maps = F.interpolate(maps, (self.height, self.width), mode="bilinear")
            total = maps if total is None else total + maps
        self._sums, self._layers = {}, 0
        return None if total is None else total.cpu()

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
        # Not read while torch compiles: a run that records calls the U-Net that is not compiled.
        recorder = None if torch.compiler.is_compiling() else _RECORDER.get()
        if recorder is not None and encoder_hidden_states is not None:
            recorder.add(attn, hidden_states, encoder_hidden_states)
        return self.inner(attn, hidden_states, encoder_hidden_states, attention_mask, temb)


def install(unet: nn.Module) -> None:
    """Put the processor into every cross-attention layer of `unet`, once and for all."""
    for name, layer in unet.named_modules():
        if name.endswith("attn2") and not isinstance(layer.processor, RecordingProcessor):
            layer.set_processor(RecordingProcessor(layer.processor))


@contextmanager
def recording(recorder: Recorder | None) -> Iterator[None]:
    """Any U-Net that this thread calls meanwhile reports to `recorder`. Must not be held across a `yield` of a run."""
    token = _RECORDER.set(recorder)
    try:
        yield
    finally:
        _RECORDER.reset(token)


def _probabilities(attn: Any, hidden_states: Tensor, scaled_keys: Tensor) -> Tensor:
    """softmax(Q K^T / √d), (N, heads, pixels, tokens): Vaswani et al. 2017, equation 1, before the values."""
    queries = attn.to_q(hidden_states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
    return (queries @ scaled_keys).float().softmax(-1)


def _scaled_keys(attn: Any, words: Tensor) -> Tensor:
    """K^T / √d, (N, heads, d, tokens)."""
    keys = attn.to_k(words).unflatten(-1, (attn.heads, -1)).permute(0, 2, 3, 1)
    return (keys * keys.shape[-2] ** -0.5).contiguous()
