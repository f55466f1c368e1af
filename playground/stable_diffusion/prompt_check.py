"""Composition: pairs of words that the tiny model never saw together, and whether its pictures show what they name.

Of the 100 pairs of digit and colour 20 are in none of its training pictures (`words.held_out`). The judge, a network
that learned from other people's digits, reads what a picture shows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from playground.stable_diffusion.digits.judge import NOTHING, load_judge
from playground.stable_diffusion.digits.words import COLOUR_NAMES, DIGITS, held_out

GROUNDS = ("background", "paper")
ARTICLES = ("a", "the")


@dataclass(frozen=True)
class DigitPrompt:
    """What a prompt says about its one digit: indices into DIGITS and COLOUR_NAMES, None where it does not say."""

    digit: int
    colour: int | None
    background: int | None

    @property
    def unseen(self) -> bool:
        """Whether no training picture shows this digit in this colour."""
        return self.colour is not None and held_out(self.digit, self.colour)


@dataclass(frozen=True)
class Reading:
    """What the judge reads in a picture; `second`: a digit beside the first, if it sees one."""

    digit: int
    colour: int
    background: int
    second: int | None

    def wrong(self, prompt: DigitPrompt) -> tuple[str, ...]:
        """What of `prompt` is wrong in the picture: digit, colour, background. A second digit makes the first wrong."""
        digit = self.digit == prompt.digit and self.second is None
        colour = prompt.colour in (None, self.colour)
        background = prompt.background in (None, self.background)
        right = {"digit": digit, "colour": colour, "background": background}
        return tuple(name for name, fits in right.items() if not fits)

    def in_words(self, prompt: DigitPrompt) -> str:
        """In one line: "the judge reads a red one on blue: digit wrong"."""
        shown = _a(f"{COLOUR_NAMES[self.colour]} {DIGITS[self.digit]}")
        if self.second is not None:
            shown = f"{shown} beside {_a(DIGITS[self.second])}"
        verdict = f"{' and '.join(wrong)} wrong" if (wrong := self.wrong(prompt)) else "right"
        return f"the judge reads {shown} on {COLOUR_NAMES[self.background]}: {verdict}"


def parse_prompt(prompt: str) -> DigitPrompt | None:
    """What `prompt` says, if it says it as the training captions do (`words.draw_caption`); None where it does not name
    exactly one digit.
    """
    words = ["", "", *re.findall(r"[a-z]+", prompt.lower()), "", "", ""]
    places = [place for place, word in enumerate(words) if word in DIGITS]
    if len(places) != 1:
        return None
    (at,) = places
    colour = _colour(words[at - 1])
    if colour is None and words[at + 1] == "in" and words[at + 3] not in GROUNDS:  # "a seven in red"
        colour = _colour(words[at + 2])
    backgrounds = [
        _colour(word)
        for k, word in enumerate(words)
        if word in COLOUR_NAMES
        and (words[k + 1] in GROUNDS or words[k - 1] == "on" or (words[k - 1] in ARTICLES and words[k - 2] == "on"))
    ]
    return DigitPrompt(DIGITS.index(words[at]), colour, backgrounds[0] if backgrounds else None)


def _colour(word: str) -> int | None:
    return COLOUR_NAMES.index(word) if word in COLOUR_NAMES else None


def _a(words: str) -> str:
    return f"{'an' if words.startswith(('orange', 'eight')) else 'a'} {words}"


@torch.inference_mode()
def read(image: Tensor) -> Reading:
    """What the judge reads in a picture (3, 32, 32) in [0, 1]."""
    digit, second, colour, _, background = load_judge().answers(image[None] * 2 - 1)[0].tolist()
    return Reading(digit, colour, background, None if second == NOTHING else second)
