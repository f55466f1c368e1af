"""Cold diffusion: degradations against closed forms, Algorithms 1 and 2 against their algebra, both restorers."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from playground.mnist.cold import (
    LAST_BLUR,
    SIZE,
    ColdError,
    Degradation,
    Kind,
    T,
    restore,
)
from tests.mnist.cold_cases import both, degradation, digits, noise

severities = st.integers(0, T)


@both
@given(severity=severities, a=st.floats(-3, 3), b=st.floats(-3, 3))
def test_degrading_is_linear(kind: Kind, severity: int, a: float, b: float) -> None:
    degrade, x, y = degradation(kind), noise(2, 0), noise(2, 1)
    expected = a * degrade(x, severity) + b * degrade(y, severity)
    torch.testing.assert_close(degrade(a * x + b * y, severity), expected, rtol=0, atol=1e-5)


@both
def test_severity_0_changes_no_bit(kind: Kind) -> None:
    x0 = noise(4, 0)
    assert torch.equal(degradation(kind)(x0, 0), x0)


@both
@given(severity=severities)
def test_brightness_stays_and_no_pixel_leaves_the_range(kind: Kind, severity: int) -> None:
    x = degradation(kind)(digits(), severity)
    torch.testing.assert_close(x.mean((1, 2, 3)), digits().mean((1, 2, 3)), rtol=0, atol=1e-5)
    assert x.abs().max() <= 1 + 1e-5


@both
def test_a_severity_for_each_image(kind: Kind) -> None:
    degrade, x0, severity = degradation(kind), digits()[:3], torch.tensor([0, 7, T])
    one_by_one = torch.cat([degrade(x0[i : i + 1], int(s)) for i, s in enumerate(severity)])
    torch.testing.assert_close(degrade(x0, severity), one_by_one, rtol=0, atol=1e-6)


@both
def test_more_is_lost_at_every_step(kind: Kind) -> None:
    """Contrast falls, and the digits move away from what they were."""
    states = [degradation(kind)(digits(), s) for s in range(T + 1)]
    assert all(a > b for a, b in pairwise(x.std((2, 3)).mean() for x in states))
    assert all(a < b for a, b in pairwise((x - digits()).square().mean() for x in states))


def test_blur_takes_the_finest_waves_first() -> None:
    """Waves shorter than 4 pixels lose energy at every step, down to float32's rounding; longer ones lose less."""
    place = torch.arange(SIZE) + 0.5
    waves = torch.cos(math.pi / SIZE * torch.arange(SIZE)[:, None] * place)  # the discrete cosine transform
    fine = torch.maximum(torch.arange(SIZE)[:, None], torch.arange(SIZE)) > SIZE / 2
    spectra = [(waves @ degradation("blur")(digits(), s) @ waves.T).square().mean((0, 1)) for s in range(T + 1)]
    energy = [(spectrum[fine] / spectra[0][fine]).mean().item() for spectrum in spectra]
    coarse = [(spectrum[~fine] / spectra[0][~fine]).mean().item() for spectrum in spectra]
    assert all(a > b for a, b in pairwise([e for e in energy if e > 1e-6]))
    assert energy[-1] < 1e-6
    assert all(a < b for a, b in zip(energy[1:], coarse[1:], strict=True))


@both
def test_almost_only_the_brightness_is_left(kind: Kind) -> None:
    x = degradation(kind)(digits(), T)
    assert x.std((2, 3)).mean() < 2 / 255  # one grey level


@pytest.mark.parametrize("severity", [1, 5, 10, 15, T])
@pytest.mark.parametrize(("across", "down"), [(1, 0), (2, 3), (13, 1), (27, 27)])
def test_blur_of_a_wave_is_the_same_wave_lower(severity: int, across: int, down: int) -> None:
    """Cosines that fit reflecting borders are the heat equation's own: each falls by exp(-w²(1 - cos ω)) (Lindeberg
    1990, whose kernel has this transform), and the width w grows evenly on a log scale.
    """
    width = 0.5 * (LAST_BLUR / 0.5) ** ((severity - 1) / (T - 1))
    place = torch.arange(SIZE, dtype=torch.float64) + 0.5
    wave = torch.outer(torch.cos(math.pi * down / SIZE * place), torch.cos(math.pi * across / SIZE * place))
    left = math.exp(-(width**2) * (2 - math.cos(math.pi * down / SIZE) - math.cos(math.pi * across / SIZE)))
    blurred = degradation("blur")(wave.float()[None, None], severity)
    torch.testing.assert_close(blurred, left * wave.float()[None, None], rtol=0, atol=2e-6)


def test_blur_looks_like_a_sampled_gaussian() -> None:
    """Away from the borders, at widths of 2 to 4, where sampling the bell curve is as good."""
    severity = 10
    width = 0.5 * (LAST_BLUR / 0.5) ** ((severity - 1) / (T - 1))
    point = torch.zeros(1, 1, SIZE, SIZE)
    point[..., 14, 14] = 1
    bell = torch.exp(-((torch.arange(SIZE) - 14) ** 2) / (2 * width**2)) / (width * math.sqrt(2 * math.pi))
    torch.testing.assert_close(
        degradation("blur")(point, severity)[0, 0, 4:25, 4:25], torch.outer(bell, bell)[4:25, 4:25], rtol=0, atol=1e-3
    )


def test_pixels_are_area_averages_each_of_the_ones_before() -> None:
    expected = digits()
    for stage, side in enumerate([28, 14, 7, 4, 2, 1]):
        expected = F.interpolate(F.adaptive_avg_pool2d(expected, side), SIZE, mode="nearest")
        torch.testing.assert_close(degradation("pixelate")(digits(), stage * T // 5), expected, rtol=0, atol=1e-5)


@both
@given(severity=st.one_of(st.integers(max_value=-1, min_value=-(10**9)), st.integers(T + 1, 10**9), st.floats(0, T)))
def test_severities_out_of_range_raise(kind: Kind, severity: int | float) -> None:
    with pytest.raises(ColdError, match=f"whole number in 0 … {T}"):
        degradation(kind)(digits()[:1], severity)  # type: ignore[arg-type]


def test_what_cannot_be_asked() -> None:
    degrade = degradation("blur")
    with pytest.raises(ColdError, match="blur, pixelate"):
        Degradation("noise")  # type: ignore[arg-type]
    with pytest.raises(ColdError, match="28×28"):
        degrade(torch.zeros(1, 1, 32, 32), 3)
    with pytest.raises(ColdError, match="naive, improved"):
        list(restore(lambda x, s, labels: x, degrade, digits()[:1], 3, "best"))  # type: ignore[arg-type]
    for start in (0, T + 1, -1):
        with pytest.raises(ColdError, match=f"1 … {T}"):
            list(restore(lambda x, s, labels: x, degrade, digits()[:1], start))
