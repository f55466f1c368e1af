"""A class in one room: many students train at once on one server.

    python -m benchmarks.classroom [--students 1 10 30] [--seconds 20] [--json FILE|-]

Starts the real app, opens that many sessions over HTTP as browsers do, presses Train in each, and prints what reaches a
student: new frames a second, training steps a second, and how long a turned knob takes to be answered meanwhile. The
students' own machines draw; here nobody does. Traffic stays on this machine.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import asdict, dataclass
from typing import Any

import httpx

from benchmarks.table import Figure, Report, make_parser, say


@dataclass(frozen=True)
class Lesson:
    """What a class of `students` saw: medians over them, the slowest one's frames, knobs' answers in milliseconds."""

    students: int
    frames_per_second: float
    slowest_frames_per_second: float
    steps_per_second_each: float
    steps_per_second_all: float
    knob_ms_median: float
    knob_ms_worst: float


class Student:
    """One session: joins the queue and listens, as a page does."""

    def __init__(self, url: str, functions: dict[str, int]) -> None:
        self.url, self.functions = url, functions
        self.session = uuid.uuid4().hex[:11]
        self.client = httpx.Client(base_url=url, timeout=60)
        self.frames: list[tuple[float, int]] = []  # (time, training step)
        self.answered: dict[str, float] = {}
        self.training = ""
        self.listening = True
        self.thread = threading.Thread(target=self._listen, daemon=True)

    def ask(self, function: str, data: list[Any], event: dict[str, Any]) -> str:
        """Join the queue for `function`; returns the event's id."""
        body = {
            "data": data,
            "fn_index": self.functions[function],
            "session_hash": self.session,
            "event_data": event,
            "trigger_id": None,
        }
        answer = self.client.post("/gradio_api/queue/join", json=body)
        answer.raise_for_status()
        return str(answer.json()["event_id"])

    def press_train(self) -> None:
        """Take a place, as an opened page does, then press Train."""
        ready = self.ask("ready", [], {"search": ""})
        self._listen()  # until the server, with nothing more to say, closes the stream
        if ready not in self.answered:
            raise RuntimeError("The app gave this student no place.")
        self.training = self.ask("train", [], {"rewind": None})
        self.thread.start()

    def turn_knob(self) -> float:
        """Milliseconds from turning the learning rate to its answer."""
        asked = time.perf_counter()
        event = self.ask("knob", [0.005], {})
        while event not in self.answered and time.perf_counter() - asked < 60:
            time.sleep(0.002)
        return 1e3 * (self.answered.get(event, time.perf_counter()) - asked)

    def _listen(self) -> None:
        address = f"{self.url}/gradio_api/queue/data?session_hash={self.session}"
        with httpx.stream("GET", address, timeout=60) as stream, contextlib.suppress(httpx.RemoteProtocolError):
            for line in stream.iter_lines():  # the lesson ends with the server, in the middle of a line
                if not self.listening:
                    return
                if line.startswith("data:"):
                    self._hear(json.loads(line[5:]))

    def _hear(self, message: dict[str, Any]) -> None:
        now = time.perf_counter()
        if message["msg"] == "process_completed":
            self.answered[message["event_id"]] = now
        elif message["msg"] == "process_generating" and message["event_id"] == self.training:
            step = _step(message["output"]["data"][0])
            if step is not None:
                self.frames.append((now, step))


def _step(value: Any) -> int | None:
    """The training step in a frame: a packed string, or Gradio's difference from the one before."""
    text = value if isinstance(value, str) else value[0][-1] if value else None
    if not isinstance(text, str) or not text:
        return None
    raw = base64.b64decode(text)
    return int(json.loads(raw[4 : 4 + int.from_bytes(raw[:4], "little")])["meta"]["step"])


def teach(url: str, students: int, seconds: float) -> Lesson:
    """Let a class of `students` train for `seconds`, after as long a start as it needs for first frames to arrive."""
    config = httpx.get(f"{url}/config", timeout=60).json()
    names = {c["id"]: c["props"].get("label") for c in config["components"]}
    targets = {(target[0], target[1]): d["id"] for d in config["dependencies"] for target in d["targets"]}
    functions = {
        "train": next(i for (_, name), i in targets.items() if name == "train"),
        "ready": next(i for (_, name), i in targets.items() if name == "ready"),
        "knob": next(i for (c, name), i in targets.items() if name == "input" and names.get(c) == "learning rate"),
    }
    room = [Student(url, functions) for _ in range(students)]
    for student in room:
        student.press_train()
    deadline = time.perf_counter() + 60
    while not all(s.frames for s in room) and time.perf_counter() < deadline:
        time.sleep(0.1)
    time.sleep(5)  # past the gentle start
    begin = time.perf_counter()
    knobs: list[float] = []
    while time.perf_counter() - begin < seconds:
        knobs.append(room[len(knobs) % students].turn_knob())
        time.sleep(0.2)
    end = time.perf_counter()
    for student in room:
        student.listening = False
    seen = [[f for f in s.frames if begin <= f[0] <= end] for s in room]
    frames = [len(f) / (end - begin) for f in seen]
    steps = [(f[-1][1] - f[0][1]) / (f[-1][0] - f[0][0]) if len(f) > 1 else 0.0 for f in seen]
    return Lesson(
        students,
        statistics.median(frames),
        min(frames),
        statistics.median(steps),
        sum(steps),
        statistics.median(knobs),
        max(knobs),
    )


def figures(lessons: list[Lesson]) -> list[Figure]:
    """The table's rows, by class size."""
    rows = []
    for lesson in lessons:
        of = f"{lesson.students} students"
        frames, slowest = f"{lesson.frames_per_second:.1f}", f"slowest {lesson.slowest_frames_per_second:.1f}"
        steps, all_steps = f"{lesson.steps_per_second_each:.0f}", f"all {lesson.steps_per_second_all:.0f}"
        knob, worst = f"{lesson.knob_ms_median:.0f}", f"worst {lesson.knob_ms_worst:.0f}"
        rows += [
            Figure(f"{of}: new frames/s", frames, slowest, None),
            Figure(f"{of}: training steps/s", steps, all_steps, None),
            Figure(f"{of}: milliseconds until a knob is answered", knob, worst, None),
        ]
    return rows


def main() -> None:
    """Teach classes of several sizes, one after the other."""
    parser = make_parser(__doc__)
    parser.add_argument("--students", type=int, nargs="+", default=[1, 10, 30])
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    report, lessons = Report(arguments), []
    for students in arguments.students:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = {**os.environ, "GRADIO_SERVER_PORT": str(port)}
        app = subprocess.Popen([sys.executable, "app.py"], env=environment, stdout=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url)
            lessons.append(teach(url, students, arguments.seconds))
        finally:
            app.terminate()
            app.wait()
        say(str(lessons[-1]))
    report.finish(figures(lessons), ("median", "and"), lessons=[asdict(lesson) for lesson in lessons])


def _wait_for(url: str) -> None:
    for _ in range(240):
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.25)
    raise RuntimeError("The app did not start.")


if __name__ == "__main__":
    main()
