"""What the loop tells at every step, and several runs at once on one copy of the weights."""

import gc
import itertools
import threading
import weakref

import pytest
import torch

from playground.diffusion.samplers import SAMPLERS
from playground.diffusion.sampling_config import scheduled
from playground.stable_diffusion.generation import DenoisingStep, generate
from tests.stable_diffusion.runs import picture, request, theirs
from tests.stable_diffusion.tiny import reference, tiny

torch.set_num_threads(1)

# ---- What the steps say


@pytest.mark.parametrize("scheduler", scheduled())
def test_the_parts_of_a_step_fit_together(scheduler: str) -> None:
    steps = list(generate(tiny(), request(scheduler=scheduler, seeds=(3, 4), guidance_scale=2.5)))
    total = 5 if scheduler == "pndm" else 4
    assert [s.index for s in steps] == list(range(total + 1))
    assert {s.total for s in steps} == {total}
    assert steps[-1].calls == SAMPLERS[scheduler].calls(4)
    for step in steps[:-1]:
        assert step.eps_uncond is not None
        assert step.guidance is not None
        assert step.alpha**2 + step.sigma**2 == pytest.approx(1)
        eps = step.eps_uncond + 2.5 * step.guidance
        mixed = step.alpha * step.x0 + step.sigma * eps
        torch.testing.assert_close(mixed, step.latents, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(step.guidance_norm, step.guidance.flatten(1).norm(dim=1))
    assert (steps[-1].t, steps[-1].alpha, steps[-1].sigma) == (-1.0, 1.0, 0.0)
    assert all(a.sigma >= b.sigma for a, b in itertools.pairwise(steps))
    assert set(steps[-1].parts) == {"text_encoder", "unet", "scheduler", "vae"}
    assert all(seconds > 0 for seconds in steps[-1].parts.values())
    assert steps[-1].seconds == pytest.approx(sum(steps[-1].parts.values()))


@pytest.mark.parametrize("scheduler", sorted(set(scheduled()) - {"pndm"}))
def test_the_level_is_the_networks_own(scheduler: str) -> None:
    """σ/α of the step is the training schedule's at the timestep that the U-Net is told, interpolated in log σ."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    bar = (1 - betas).cumprod(0)
    log_ratio = ((1 - bar) / bar).sqrt().log()
    for step in list(generate(tiny(), request(scheduler=scheduler)))[:-1]:
        low = int(step.t)
        high = min(low + 1, 999)
        expected = torch.lerp(log_ratio[low], log_ratio[high], step.t - low).exp()
        assert step.sigma / step.alpha == pytest.approx(float(expected), rel=5e-3)


def test_the_first_step_is_the_noise_of_its_seed() -> None:
    first = next(generate(tiny(), request(seeds=(5, 9))))
    for row, seed in enumerate((5, 9)):
        noise = torch.randn((1, 8, 8, 8), generator=torch.Generator().manual_seed(seed))
        assert torch.equal(first.latents[row : row + 1], noise)


def test_an_image_of_many_is_the_one_of_its_seed_alone() -> None:
    many, alone = picture(tiny(), request(seeds=(1, 2, 3))), picture(tiny(), request(seeds=(2,)))
    torch.testing.assert_close(many[1:2], alone, atol=1e-4, rtol=0)  # a larger batch adds up in another order


def test_guidance_off_asks_once_and_says_so() -> None:
    step = next(generate(tiny(), request(guidance_scale=1.0)))
    assert step.eps_uncond is None
    assert step.guidance is None
    assert step.guidance_norm.tolist() == [0.0]


def test_previews_become_the_picture() -> None:
    steps = list(generate(tiny(), request(preview="decode", steps=8)))
    images = [s.images for s in steps if s.images is not None]
    assert len(images) == len(steps)
    assert all(i.shape == (1, 3, 32, 32) and i.min() >= 0 and i.max() <= 1 for i in images)
    away = [float((i - images[-1]).abs().mean()) for i in images]
    assert away[-2] < away[0]


# ---- Several at once, on one copy of the weights


def test_two_runs_in_turn_do_not_mix() -> None:
    asked = [
        request(preview="decode"),
        request(prompt="a green two", scheduler="euler_a", guidance_scale=1.0, seeds=(8, 9), attention=True),
    ]
    alone = [list(generate(tiny(), a)) for a in asked]
    runs = [generate(tiny(), a) for a in asked]
    together: list[list[DenoisingStep]] = [[], []]
    for _ in range(6):
        for run, steps in zip(runs, together, strict=True):
            steps += [step for step in [next(run, None)] if step is not None]
    for a, b in zip(alone, together, strict=True):
        assert len(a) == len(b)
        assert a[-1].images is not None
        assert b[-1].images is not None
        assert torch.equal(a[-1].images, b[-1].images)
        assert all(torch.equal(s.x0, z.x0) for s, z in zip(a, b, strict=True))


def test_two_threads_do_not_mix() -> None:
    asked = [request(attention=k % 2 == 0, seeds=(k,), steps=6) for k in range(4)]
    alone = [list(generate(tiny(), a)) for a in asked]
    together: dict[int, list[DenoisingStep]] = {}

    def work(k: int) -> None:
        together[k] = list(generate(tiny(), asked[k]))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, steps in enumerate(alone):
        for a, b in zip(steps, together[k], strict=True):
            assert torch.equal(a.latents, b.latents)
            assert (a.attention is None) == (b.attention is None)
            if a.attention is not None and b.attention is not None:
                assert torch.equal(a.attention, b.attention)


def test_a_stopped_run_keeps_nothing() -> None:
    run = generate(tiny(), request(steps=20))
    kept = weakref.ref(next(run).x0)
    run.close()  # type: ignore[attr-defined]
    gc.collect()
    assert kept() is None
    assert torch.equal(picture(tiny(), request()), theirs(reference(), request()))
