"""Scenes, captions, and the vocabulary that knows every word."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.stable_diffusion.digits.words import (
    COLOUR_NAMES,
    DIGITS,
    LEXICON,
    POSITIONS,
    Scene,
    draw_caption,
    draw_scene,
    held_out,
    make_tokenizer,
    vocabulary,
)


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


def test_every_word_of_every_caption_is_one_token(tokenizer):
    for word in LEXICON:
        assert len(tokenizer(word).input_ids) == 3, word  # start, the word, end
    rng = random.Random(0)
    for _ in range(200):
        caption = draw_caption(draw_scene(rng), rng)
        words = caption.replace(",", " ,").split()
        assert len(tokenizer(caption).input_ids) == len(words) + 2 <= POSITIONS, caption


TOKENIZER = make_tokenizer()


@given(st.text(max_size=200))
def test_any_prompt_is_read_by_its_bytes(prompt):
    tokenizer = TOKENIZER
    ids = tokenizer(prompt, truncation=True, padding="max_length").input_ids
    assert len(ids) == POSITIONS
    assert all(0 <= i < len(tokenizer) for i in ids)


def test_the_vocabulary_numbers_each_token_once():
    vocab, merges = vocabulary()
    assert sorted(vocab.values()) == list(range(len(vocab)))
    assert len(set(merges)) == len(merges)


def test_padding_is_the_end_token_as_in_stable_diffusion(tokenizer):
    ids = tokenizer("a red seven", padding="max_length").input_ids
    assert ids[0] == tokenizer.bos_token_id
    assert ids[4:] == [tokenizer.eos_token_id] * (POSITIONS - 4)


def test_twenty_pairs_are_held_out_two_for_every_digit_and_colour():
    pairs = [(d, c) for d in range(10) for c in range(10) if held_out(d, c)]
    assert len(pairs) == 20
    assert all(sum(p[side] == k for p in pairs) == 2 for side in (0, 1) for k in range(10))
    assert not held_out(7, COLOUR_NAMES.index("red"))


@given(st.integers(0, 2**32), st.booleans())
def test_scenes_can_be_seen_and_keep_what_is_held_out(seed, everything):
    rng = random.Random(seed)
    scene = draw_scene(rng, pairs=0.5, held_out_too=everything)
    assert scene.background not in scene.colours
    if not everything:
        assert not any(held_out(d, c) for d, c in zip(scene.digits, scene.colours, strict=True))
    said = draw_caption(scene, rng).replace(",", "").split()
    assert [DIGITS.index(w) for w in said if w in DIGITS] == list(scene.digits)
    colours = [COLOUR_NAMES.index(w) for w in said if w in COLOUR_NAMES]
    assert set(colours) <= {*scene.colours, scene.background}  # what is said is true


def test_the_whole_caption():
    scene = Scene((7,), (COLOUR_NAMES.index("red"),), COLOUR_NAMES.index("blue"), "thick")
    assert scene.caption == "a thick red seven on a blue background"
    pair = Scene((4, 9), (3, 3), 9)
    assert pair.caption == "a green four and a green nine on a black background"
