"""Training to be watched: a generator of Frames, paced for the eye rather than for speed.

Training and drawing have clocks of their own. Training runs as fast as it can, or as slowly as asked. Frames come at a
limited rate, and less often where drawing them would take more than a set share of the time.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from playground.diffusion.metrics import sliced_wasserstein
from playground.diffusion.sampling import SampleStep
from playground.diffusion.training import Diverged
from playground.fair_lock import COMPUTE_LOCK, FairLock, Turn
from playground.settings import SETTINGS, Settings
from playground.toy.config import ToyConfig
from playground.toy.lab import ToyLab
from playground.toy.snapshot import LossByTimestep, Snapshot

START_SEED = 20_200_626  # the same noise for all frames, so that points glide; no data set is drawn from this seed
FIELD_GRID = 19
FIELD_LEVELS = 16
PATH_POINTS = 500
PATH_STATES = 40
LOSS_POINTS = 128  # at each of the 20 timesteps: the exact floor of that many takes a fifth of a second
LIVE_PROJECTIONS = 64  # directions of the sliced distance while training: an eighth of the cost of the usual 500
REFERENCES = 3
DISTANCE_SECONDS = 0.5
GENTLE = 1.25  # "auto" speed: a frame at least every 1.25-fold steps, so that nobody misses the start
NAP_SECONDS = 0.05  # in slow motion: the longest that Pause has to wait


@dataclass(frozen=True)
class Study:
    """What scrubbing and the charts need: a path (K+1, M, 2) in the data's coordinates, score fields (L, G², 2)."""

    path_t: Tensor
    path_x: Tensor
    path_x0: Tensor
    field_t: Tensor
    learned: Tensor
    exact: Tensor | None
    by_timestep: LossByTimestep


@dataclass(frozen=True)
class Frame:
    """The run at one moment. `losses`: (step, mean loss since the last entry). `distance`, `floor`: sliced
    Wasserstein-2 of `x` (N, 2) to N fresh data points, and of data to data; None where not measured this time.
    """

    run: int  # which experiment of the lab this is; see ToyLab.run
    step: int
    x: Tensor
    losses: list[tuple[int, float]]
    steps_per_second: float
    distance: float | None
    floor: float | None
    running: bool
    calls: int  # of the network, to draw `x`
    study: Study | None = None
    note: str = ""  # why it stopped, where that is not obvious


@dataclass
class Control:
    """What other threads may change while a run goes on: Pause, and the speed."""

    paused: bool = False
    steps_per_second: float | None = None  # None: as fast as it can
    gentle: bool = True  # slower at first, so that one sees it learn


@dataclass
class DistanceMeter:
    """Distance to fresh data with its floor, each a root mean square over several draws, as the distance to a single
    draw of a thousand points varies too much. The draws are kept for as long as the data stay the same.
    """

    n: int
    key: object = None
    references: list[Tensor] = field(default_factory=list)
    floor: float = 0.0

    def measure(self, now: Snapshot, samples: Tensor) -> tuple[float, float]:
        """(distance, floor) of `samples` (n, 2)."""
        if self.key is not now.cloud:
            self.key, self.references = now.cloud, [now.fresh(self.n, seed) for seed in range(REFERENCES)]
            pairs = [(now.fresh(self.n, seed), self.references[seed % REFERENCES]) for seed in range(10, 16)]
            self.floor = _rms([sliced_wasserstein(a, b, LIVE_PROJECTIONS) for a, b in pairs])
        return _rms([sliced_wasserstein(samples, r, LIVE_PROJECTIONS) for r in self.references]), self.floor


def _rms(values: list[float]) -> float:
    return math.sqrt(sum(v * v for v in values) / len(values))


def warm_up() -> None:
    """Import what takes seconds (torch's optimisers, diffusers' schedulers), so that no visitor waits for it."""
    lab = ToyLab(ToyConfig(n_points=100))
    next(lab.train(1))
    with COMPUTE_LOCK.work() as turn:
        study(lab.now(), _states(lab.now(), SETTINGS.preview_steps, SETTINGS, turn), turn)


def _states(now: Snapshot, steps: int, settings: Settings, turn: Turn) -> list[SampleStep]:
    """A path of samples from the fixed start noise, in at most `steps` steps."""
    states = []
    for state in now.sampling(settings.preview_points, seed=START_SEED, steps=min(now.config.sampling.steps, steps)):
        states.append(state)
        turn.share()
    return states


def study(now: Snapshot, states: list[SampleStep], turn: Turn, exact: bool = False) -> Study:
    """The path `states`, the score field at some levels and the loss by timestep, all of one moment."""
    kept = [states[k] for k in torch.linspace(0, len(states) - 1, min(len(states), PATH_STATES)).round().int().tolist()]
    levels = torch.linspace(0, len(now.schedule) - 1, FIELD_LEVELS).round().long()

    def field(pulls: Iterator[Tensor]) -> Tensor:
        rows = []
        for pull in pulls:
            rows.append(pull)
            turn.share()
        return torch.stack(rows)

    return Study(
        path_t=torch.tensor([max(s.t, 0.0) for s in kept]),
        path_x=torch.stack([s.x[:PATH_POINTS] for s in kept]),
        path_x0=torch.stack([s.x0[:PATH_POINTS] for s in kept]),
        field_t=levels,
        learned=field(now.learned_fields(levels.tolist(), FIELD_GRID)),
        exact=field(now.exact_fields(levels.tolist(), FIELD_GRID)) if exact else None,
        by_timestep=now.loss_by_timestep(LOSS_POINTS),
    )


def look(
    lab: ToyLab, meter: DistanceMeter, turn: Turn, exact: bool = False, note: str = "", settings: Settings = SETTINGS
) -> Frame:
    """A frame of a lab that is not training, with its study."""
    now = lab.now()
    states = _states(now, settings.still_steps, settings, turn)
    distance, floor = meter.measure(now, states[-1].x)
    return Frame(
        run=now.run,
        step=now.step,
        x=states[-1].x,
        losses=[],
        steps_per_second=0.0,
        distance=distance,
        floor=floor,
        running=False,
        calls=states[-1].calls,
        study=study(now, states, turn, exact),
        note=note,
    )


def live(
    lab: ToyLab, control: Control, meter: DistanceMeter, settings: Settings = SETTINGS, lock: FairLock = COMPUTE_LOCK
) -> Iterator[Frame]:
    """Train until paused, diverged or at a limit, yielding Frames on the way and one with a Study at the end."""
    clock, cpu = time.perf_counter, time.thread_time  # costs are in CPU time: wall time includes other threads' turns
    began = started = clock()
    next_frame = next_distance = next_study = 0.0
    drawing = studying = since_study = 0.0  # cpu seconds
    pending: list[float] = []
    note, drawn, run = "", lab.step, lab.run
    with lock.work() as turn:
        mark = cpu()
        try:
            for step in lab.train():
                turn.share()
                if lab.run != run:  # the experiment was replaced: these losses belong to the old one
                    run, pending, drawn = lab.run, [], 0
                pending.append(step.loss)
                wait = control.gentle and step.step >= GENTLE * drawn + 1
                if wait:
                    _nap(turn, control, next_frame)
                now, trained = clock(), cpu() - mark
                paced = now >= next_frame and trained >= drawing * (1 / settings.sampling_share - 1)
                if wait or paced or (control.steps_per_second or 1e9) <= settings.frames_per_second:
                    seen = lab.now()
                    states = _states(seen, settings.preview_steps, settings, turn)
                    with_distance = now >= next_distance
                    distance, floor = meter.measure(seen, states[-1].x) if with_distance else (None, None)
                    drawing = cpu() - mark - trained
                    since_study += trained + drawing
                    looked = None
                    if now >= next_study and since_study >= studying * (1 / settings.study_share - 1):
                        looked = study(seen, states, turn)
                        studying, since_study = cpu() - mark - trained - drawing, 0.0
                        next_study = now + settings.study_seconds
                    losses = [(step.step, sum(pending) / len(pending))]
                    rate = len(pending) / (now - began)
                    if seen.run == run == lab.run:  # else the experiment was replaced meanwhile
                        frame = Frame(
                            run, step.step, states[-1].x, losses, rate, distance, floor, True, states[-1].calls, looked
                        )
                        with turn.rest():
                            yield frame
                    began, drawn, pending, mark = now, step.step, [], cpu()
                    next_frame = now + 1 / settings.frames_per_second
                    if with_distance:
                        next_distance = now + DISTANCE_SECONDS
                if control.steps_per_second:
                    _nap(turn, control, now + 1 / control.steps_per_second)
                if control.paused:
                    break
                if step.step >= settings.max_training_steps:
                    note = f"Stopped at {step.step:,} steps, the most one run may take. Reset to train anew."
                    break
                if now - started > settings.max_training_seconds:
                    note = f"Paused after {settings.max_training_seconds / 60:.0f} minutes. Press Train to go on."
                    break
            lab.keep()
        except Diverged as error:
            note = str(error)  # no checkpoint: the timeline ends before it went wrong
        losses = [(lab.step, sum(pending) / len(pending))] if pending and lab.run == run else []
        last = dataclasses.replace(look(lab, meter, turn, note=note, settings=settings), losses=losses)
    yield last


def _nap(turn: Turn, control: Control, until: float) -> None:
    with turn.rest():
        while not control.paused and (left := until - time.perf_counter()) > 0:
            time.sleep(min(left, NAP_SECONDS))
