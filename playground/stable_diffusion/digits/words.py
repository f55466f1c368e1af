"""What a picture shows, and the words for it: scenes, captions, and a tokenizer that knows each word as one token."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import Any

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COLOURS: dict[str, tuple[int, int, int]] = {  # sRGB
    "red": (214, 39, 40),
    "orange": (255, 140, 0),
    "yellow": (250, 225, 30),
    "green": (34, 150, 60),
    "cyan": (40, 205, 215),
    "blue": (30, 60, 215),
    "purple": (150, 40, 165),
    "pink": (250, 150, 190),
    "white": (245, 245, 245),
    "black": (20, 20, 20),
}
COLOUR_NAMES = tuple(COLOURS)
STROKES = ("thin", "", "thick")  # "" is as the writer wrote it
POSITIONS = 32  # tokens the text encoder reads, start and end among them; Stable Diffusion has 77


@dataclass(frozen=True)
class Scene:
    """One picture: one or two digits left to right, each with its colour's index, on a background."""

    digits: tuple[int, ...]
    colours: tuple[int, ...]
    background: int
    stroke: str = ""

    @property
    def caption(self) -> str:
        """All of it in words: "a thick red seven on a blue background"."""
        return f"{self.subject()} on a {COLOUR_NAMES[self.background]} background"

    def subject(self, coloured: bool = True, stroked: bool = True, article: str = "a ") -> str:
        """What stands in front, some of it left unsaid: "a red seven and a green nine"."""
        stroke = f"{self.stroke} " if stroked and self.stroke else ""
        each = [
            article + stroke + (f"{COLOUR_NAMES[c]} " if coloured else "") + DIGITS[d]
            for d, c in zip(self.digits, self.colours, strict=True)
        ]
        return " and ".join(each)


def held_out(digit: int, colour: int) -> bool:
    """Whether no training picture shows `digit` in `colour`: 20 of the 100 pairs, two for every digit and colour."""
    return (digit + colour) % 5 == 0


def draw_scene(rng: random.Random, pairs: float = 0.15, held_out_too: bool = False) -> Scene:
    """A random scene; `pairs`: the share with two digits."""
    while True:
        count = 2 if rng.random() < pairs else 1
        digits = tuple(rng.randrange(10) for _ in range(count))
        colours = tuple(rng.randrange(10) for _ in range(count))
        background = rng.randrange(10)
        if background in colours:
            continue
        if not held_out_too and any(held_out(d, c) for d, c in zip(digits, colours, strict=True)):
            continue
        return Scene(digits, colours, background, rng.choice(STROKES))


def draw_caption(scene: Scene, rng: random.Random) -> str:
    """One of many ways to say it, some of it left unsaid at times; what is said is true."""
    coloured = rng.random() < 0.9
    stroked = rng.random() < 0.8
    grounded = rng.random() < 0.85
    article = rng.choice(("a ", "a ", "a ", "the ", ""))
    subject = scene.subject(coloured, stroked, article)
    if len(scene.digits) == 1 and coloured and rng.random() < 0.15:
        stroke = f"{scene.stroke} " if stroked and scene.stroke else ""
        subject = f"{article}{stroke}{DIGITS[scene.digits[0]]} in {COLOUR_NAMES[scene.colours[0]]}"
    lead = rng.choice(("", "", "", "", "a picture of ", "a photo of ", "a drawing of ", "the number ", "the digit "))
    if lead.startswith("the "):
        subject = subject.removeprefix(article)
    if not grounded:
        return lead + subject
    ground = COLOUR_NAMES[scene.background]
    ending = rng.choice(
        (
            f" on a {ground} background",
            f" on a {ground} background",
            f" on a {ground} background",
            f" on {ground}",
            f" on {ground} paper",
            f", {ground} background",
        )
    )
    return lead + subject + ending


LEXICON = (
    *DIGITS,
    *COLOUR_NAMES,
    *("thick", "thin", "a", "the", "and", "in", "on", "of", "background", "paper"),
    *("picture", "photo", "number", "digit", "drawing", ","),
)


def vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A byte-pair vocabulary as CLIP has it: every byte, every byte that ends a word, and merges that make each word of
    the lexicon one token. Anything else falls back to pieces, so no prompt is refused.
    """
    letters = _bytes_as_characters()
    tokens = [*letters, *(f"{c}</w>" for c in letters)]
    merges: list[tuple[str, str]] = []
    for word in LEXICON:
        pieces = _merge([*word[:-1], f"{word[-1]}</w>"], merges)
        while len(pieces) > 1:  # merges of earlier words come first and stay as they are; new ones join what is left
            merges.append((pieces[0], pieces[1]))
            tokens.append(pieces[0] + pieces[1])
            pieces = _merge(pieces, merges)
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return {token: k for k, token in enumerate(dict.fromkeys(tokens))}, merges


def make_tokenizer() -> Any:
    """transformers' CLIPTokenizer with this vocabulary; padding is the end token, as in Stable Diffusion."""
    from transformers import CLIPTokenizer  # seconds to import

    vocab, merges = vocabulary()
    return CLIPTokenizer(
        vocab=vocab,
        merges=merges,  # type: ignore[arg-type]  # declared as words, handed on to tokenizers, which takes pairs
        model_max_length=POSITIONS,
        pad_token="<|endoftext|>",
    )


def _merge(pieces: list[str], merges: list[tuple[str, str]]) -> list[str]:
    """Byte-pair encoding (Sennrich et al. 2016): of the pairs that lie side by side, the earliest merge first."""
    rank = {pair: k for k, pair in enumerate(merges)}
    while True:
        known = [(rank[pair], k) for k, pair in enumerate(itertools.pairwise(pieces)) if pair in rank]
        if not known:
            return pieces
        _, k = min(known)
        pieces = [*pieces[:k], pieces[k] + pieces[k + 1], *pieces[k + 2 :]]


def _bytes_as_characters() -> list[str]:
    """A printable character for each of the 256 bytes, as the byte-level encoding of GPT-2 assigns them."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [b for b in range(256) if b not in printable]
    table = {b: chr(b) for b in printable} | {b: chr(256 + k) for k, b in enumerate(others)}
    return [table[b] for b in range(256)]
