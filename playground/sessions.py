"""Who is here: one lab for every visitor, a limit on how many, and room made by letting idle ones go."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from playground.settings import SETTINGS, Settings
from playground.toy import ToyLab
from playground.toy.live import Control, Ruler


class FullHouse(RuntimeError):
    """All places are taken by people at work; the message says what to do."""


@dataclass
class Visitor:
    """One open page: its lab, and the run that is on, if any."""

    lab: ToyLab
    ruler: Ruler
    control: Control = field(default_factory=lambda: Control(paused=True))
    last_seen: float = field(default_factory=time.monotonic)

    @property
    def training(self) -> bool:
        """Whether a run is on, as far as anyone has asked."""
        return not self.control.paused

    def touch(self) -> None:
        """Still here."""
        self.last_seen = time.monotonic()

    def begin(self) -> Control:
        """A new run; whatever ran before stops at its next step."""
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
        """This page's visitor, welcomed if new. Raises FullHouse when nobody can be asked to leave."""
        with self._lock:
            visitor = self._visitors.get(session)
            if visitor is None:
                self._make_room()
                lab = ToyLab()
                visitor = Visitor(lab, Ruler(lab, self._settings.preview_points))
                self._visitors[session] = visitor
            visitor.last_seen = self._clock()
            return visitor

    def leave(self, session: str) -> None:
        """The page was closed: its run stops, its lab goes."""
        with self._lock:
            visitor = self._visitors.pop(session, None)
        if visitor:
            visitor.control.paused = True

    def _make_room(self) -> None:
        """Let go of those idle for too long and, at the limit, of whoever stood still the longest."""
        now = self._clock()
        for session, visitor in list(self._visitors.items()):
            if now - visitor.last_seen > self._settings.max_idle_seconds and not visitor.training:
                del self._visitors[session]
        if len(self._visitors) < self._settings.max_visitors:
            return
        still = [(v.last_seen, s) for s, v in self._visitors.items() if not v.training]
        if not still:
            raise FullHouse("Everyone's place is in use right now. Please try again in a minute.")
        del self._visitors[min(still)[1]]
