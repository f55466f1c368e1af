"""The open pages: labs for every visitor, a limit on how many, and idle ones dropped to make room."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from playground.fair_lock import FairLock
from playground.mnist.session import MnistSession
from playground.refusal import Refusal
from playground.settings import SETTINGS, Settings
from playground.stable_diffusion.session import StableDiffusionSession
from playground.toy import ToyLab
from playground.toy.live import Control, DistanceMeter


class FullHouse(Refusal):
    """The server is full of active visitors; the message says what to do."""


class Gone(Refusal):
    """This page's session has been dropped; the message says what to do."""


@dataclass(eq=False)  # compared by identity, and hashable
class Visitor:
    """One open page: its labs, and the runs that are on, if any."""

    lab: ToyLab
    meter: DistanceMeter
    control: Control = field(default_factory=lambda: Control(paused=True))
    last_seen: float = field(default_factory=time.monotonic)
    changes: FairLock = field(default_factory=FairLock)  # a visitor's changes, one at a time, first come first served
    mnist: MnistSession = field(default_factory=MnistSession)
    stable_diffusion: StableDiffusionSession = field(default_factory=StableDiffusionSession)

    @property
    def training(self) -> bool:
        """Whether a run was started in any lab and not yet asked to stop."""
        return not (self.control.paused and self.mnist.control.paused)

    @property
    def at_work(self) -> bool:
        """Whether something is training or being drawn, so that the session must not be dropped."""
        return self.training or self.stable_diffusion.runs > 0

    @property
    def busy(self) -> bool:
        """Whether there is work that would be lost."""
        return self.lab.step > 0 or self.mnist.busy or self.stable_diffusion.busy

    def stop(self) -> None:
        """Stop every run at its next step."""
        self.control.paused = self.mnist.control.paused = True

    def touch(self) -> None:
        """Note that the visitor is still here."""
        self.last_seen = time.monotonic()

    def begin(self) -> Control:
        """The control of a new run; the run before it stops at its next step."""
        with self.changes.work():
            self.control.paused = True
            self.control = Control(steps_per_second=self.control.steps_per_second, gentle=self.control.gentle)
            return self.control


class Sessions:
    """Visitors by their page's session hash; safe to use from several threads."""

    def __init__(self, settings: Settings = SETTINGS, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._visitors: dict[str, Visitor] = {}
        self._lock = threading.Lock()

    def __contains__(self, session: object) -> bool:
        return session in self._visitors

    def __len__(self) -> int:
        return len(self._visitors)

    def visitor(self, session: str) -> Visitor:
        """This page's visitor, with a new lab if it was just opened. Raises FullHouse if no session can be dropped."""
        with self._lock:
            visitor = self._visitors.get(session)
            if visitor is None:
                self._make_room()
                visitor = self._visitors[session] = Visitor(ToyLab(), DistanceMeter(self._settings.preview_points))
            visitor.last_seen = self._clock()
            return visitor

    def known(self, session: str) -> Visitor:
        """This page's visitor, if its session is still kept. Raises Gone."""
        with self._lock:
            visitor = self._visitors.get(session)
            if visitor is None:
                raise Gone("This page was idle for too long, so its session was closed. Reload it to start again.")
            visitor.last_seen = self._clock()
            return visitor

    @property
    def training(self) -> int:
        """How many visitors are training right now."""
        with self._lock:
            return sum(visitor.training for visitor in self._visitors.values())

    def leave(self, session: str) -> None:
        """The page was closed: stop its runs and drop its labs."""
        with self._lock:
            visitor = self._visitors.pop(session, None)
        if visitor:
            visitor.stop()

    def _make_room(self) -> None:
        """Drop sessions that were idle for too long and, at the limit, the one that has been idle longest."""
        now = self._clock()
        for session, visitor in list(self._visitors.items()):
            if now - visitor.last_seen > self._settings.max_idle_seconds and not visitor.at_work:
                del self._visitors[session]
        if len(self._visitors) < self._settings.max_visitors:
            return
        still = [(v.busy, v.last_seen, s) for s, v in self._visitors.items() if not v.at_work]
        if not still:
            raise FullHouse("All places are in use right now. Please try again in a minute.")
        del self._visitors[min(still)[2]]  # those without work to lose go first
