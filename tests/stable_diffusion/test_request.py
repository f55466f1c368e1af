"""What may be asked for, and the words for what may not."""

import contextlib
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.stable_diffusion.request import Request, RequestError, seeds_from


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"prompt": ""}, "Write what to draw"),
        ({"prompt": " \n"}, "Write what to draw"),
        ({"prompt": "a" * 10_000}, "10,000 characters, the limit is 1,000"),
        ({"prompt": "a" * 1_001}, "CLIP reads 75 tokens of it at most"),
        ({"negative_prompt": "a" * 1_001}, "The negative prompt has 1,001"),
        ({"prompt": None}, "prompt must be a word"),
        ({"steps": 0}, "Between 1 and 1,000 steps"),
        ({"steps": 2.5}, "steps must be a whole number"),
        ({"steps": True}, "steps must be a whole number"),
        ({"guidance_scale": math.nan}, "The guidance scale must be a number, 0 … 30"),
        ({"guidance_scale": -1.0}, "must lie in 0 … 30"),
        ({"seeds": ()}, "Between 1 and 16 images"),
        ({"seeds": (0,) * 17}, "Between 1 and 16 images"),
        ({"seeds": (-1,)}, "-1 is none"),
        ({"seeds": (2**32,)}, "is none"),
        ({"seeds": ("7",)}, "'7' is none"),
        ({"steps": 1_000, "seeds": (1, 2, 3, 4, 5)}, "5 images × 1,000 steps are too many"),
        ({"height": 30}, "multiple of 8 pixels, at most 1024; it is 30. The nearest that fits is 32"),
        ({"width": 0}, "The nearest that fits is 8"),
        ({"width": 100_000}, "The nearest that fits is 1024"),
        ({"strength": 0.0}, "strength must be more than 0"),
        ({"preview": "all"}, "No preview 'all'"),
    ],
)
def test_what_is_refused(knobs: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        Request(**{"prompt": "a red seven", **knobs})


def test_without_guidance_no_words_are_needed() -> None:
    assert not Request("", guidance_scale=1.0).guided
    assert Request("a seven", guidance_scale=1.001).guided


@given(seed=st.integers(0, 2**32 - 1), images=st.integers(1, 16))
def test_seeds_follow_on_each_other(seed: int, images: int) -> None:
    seeds = seeds_from(seed, images)
    assert seeds[0] == seed
    assert len(set(seeds)) == images
    assert Request("a", seeds=seeds).images == images


@given(st.dictionaries(st.sampled_from(sorted(Request.__dataclass_fields__)), st.from_type(object), max_size=3))
def test_whatever_a_stranger_sends_is_a_request_or_refused_in_words(knobs: dict[str, Any]) -> None:
    with contextlib.suppress(RequestError):
        Request(**{"prompt": "a", **knobs})


def test_seeds_out_of_bounds() -> None:
    for seed, images in [(-1, 1), (2**32, 1), (0, 0), (0, 17)]:
        with pytest.raises(RequestError):
            seeds_from(seed, images)
