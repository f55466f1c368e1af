"""The toy lab's page as its visitor sees it: buttons and knobs by name, and what is painted."""

import base64
import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Request

from tests.browser.conftest import Watched

WAIT_MS = 60_000  # two slow cores that others use too
QUIET_MS = 700  # nothing asked for so long: nothing is under way
LEFT_OPEN_MS = 10_000  # so long nothing asked and nothing more came: Gradio's stream of answers was left open
STILL_MS = 300  # nothing painted for so long: longer than the charts wait between two drawings
HEARTBEAT = "/heartbeat/"  # Gradio's, open as long as the page
CANVAS = "canvas[data-testid=toy-live]"
TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
# One colour per meaning, as in the legend
ORANGE, BLUE, GREEN, PINK, RED = "#e69f00", "#0072b2", "#009e73", "#cc79a7", "#d55e00"

Picture = np.ndarray  # (height, width, 3) of 0 … 255
Mask = np.ndarray  # (height, width) of bool


def like(picture: Picture, colour: str, tolerance: int = 45) -> Mask:
    """Pixels of this colour, or nearly."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return np.abs(picture.astype(int) - wanted).max(axis=2) < tolerance


def count(picture: Picture, colour: str, tolerance: int = 45) -> int:
    """How many pixels are of this colour, or nearly."""
    return int(like(picture, colour, tolerance).sum())


def grey(picture: Picture) -> Mask:
    """The data's pixels on a white page."""
    values = picture.astype(int)
    return (values.max(axis=2) < 235) & (np.ptp(values, axis=2) < 30)


def around(mask: Mask, pixels: int) -> Mask:
    """Everything at most so many pixels, along each axis, from `mask`."""
    steps = range(-pixels, pixels + 1)
    rows = np.any([np.roll(mask, k, axis=0) for k in steps], axis=0)
    return np.any([np.roll(rows, k, axis=1) for k in steps], axis=0)


class ToyPage:
    """One open toy lab. Every wait is for something that shows on the page."""

    selector = CANVAS

    def __init__(self, watched: Watched, url: str, query: str = "", tab: str = "") -> None:
        self.watched, self.page = watched, watched.page
        self.canvas = self.page.locator(self.selector)
        self.under_way: set[Request] = set()  # Gradio's stream of answers among it, as long as any is to come
        self.page.on("request", lambda request: None if HEARTBEAT in request.url else self.under_way.add(request))
        self.page.on("requestfinished", lambda request: self.under_way.discard(request))
        self.page.on("requestfailed", lambda request: self.under_way.discard(request))
        self.page.set_default_timeout(WAIT_MS)
        self.page.goto(f"{url}/{query}")
        if tab:
            self.page.get_by_role("tab", name=tab, exact=True).click()
        self.until("c => c.dataset.painted > 0")  # data and schedule are there

    # --- what shows ----------------------------------------------------------------------------------------------

    def until(self, condition: str, argument: Any = None, within: float = WAIT_MS) -> None:
        """Wait for a JavaScript `(canvas, argument) => …` to be true."""
        find = f"const c = document.querySelector('{self.selector}')"
        self.page.wait_for_function(
            f"argument => {{ {find}; return c && ({condition})(c, argument); }}", arg=argument, timeout=within
        )

    def data(self, name: str) -> int:
        """A number that the canvas carries: step, frames, painted, t."""
        return int(self.canvas.get_attribute(f"data-{name}") or 0)

    @property
    def step(self) -> int:
        """The training step that is shown."""
        return self.data("step")

    def stat(self, name: str) -> float:
        """A number above the charts; NaN while there is none."""
        text = self.page.locator(f"[data-stat={name}]:visible").inner_text()
        return math.nan if text == "–" else float(text.replace(",", ""))

    def status(self) -> str:
        """The line beside the buttons."""
        return self.page.locator(".pg-status:visible").inner_text()

    def picture(self) -> Picture:
        """What is painted on the canvas now."""
        url = self.canvas.evaluate("c => c.toDataURL()")
        with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
            return np.asarray(image.convert("RGB"))

    def notice(self, text: str) -> Locator:
        """Messages that say `text`."""
        return self.page.locator("[role=status]", has_text=text)

    def steps_since(self, action: Callable[[], None], condition: str, argument: Any = None) -> list[int]:
        """Every step that was shown, frame by frame, from `action` until `condition` on the canvas and `stepsSeen`."""
        self.canvas.evaluate(
            """c => { window.stepsSeen = []; let old = [];
            window.watching = new MutationObserver((changes) => {
              old.push(...changes.map((change) => Number(change.oldValue)));
              window.stepsSeen = [...old.slice(1), Number(c.dataset.step)]; });
            watching.observe(c, {attributeFilter: ["data-step"], attributeOldValue: true}) }"""
        )
        action()
        self.until(condition, argument)
        steps: list[int] = self.page.evaluate("() => { watching.disconnect(); return stepsSeen; }")
        return steps

    def restarted_by(self, action: Callable[[], None]) -> None:
        """Wait until `action` has put the run back to step 0, however briefly that shows."""
        self.steps_since(action, "() => stepsSeen.includes(0)")

    # --- what visitors do ----------------------------------------------------------------------------------------

    def button(self, name: str) -> Locator:
        """The button of exactly this name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def press(self, *names: str) -> None:
        """Press buttons, one after the other."""
        for name in names:
            self.button(name).click()

    def press_at_once(self, *actions: str) -> None:
        """Press buttons of the stage faster than any answer can come."""
        presses = ";".join(f"document.querySelector('[data-do={action}]').click()" for action in actions)
        self.page.evaluate(f"() => {{ {presses} }}")

    def train(self, steps: int = 20) -> None:
        """Press Train and wait until so many more steps are done; it goes on training."""
        goal = self.step + steps
        self.press("Train")
        self.until("(c, goal) => Number(c.dataset.step) >= goal", goal)

    def pause(self) -> int:
        """Press Pause. Returns the step it stopped at."""
        self.press("Pause")
        return self.stopped()

    def stopped(self) -> int:
        """Wait until Train can be pressed and no point moves. Returns the step."""
        self.until("() => !document.querySelector('[data-do=train]').disabled")
        self.still()
        return self.step

    def still(self) -> None:
        """Wait until nothing is painted any more."""
        painted = -1
        while painted != self.data("painted"):
            painted = self.data("painted")
            self.page.wait_for_timeout(STILL_MS)

    def quiet(self) -> int:
        """Wait until every answer is there and nothing new is asked for. Returns how much was asked for until now."""
        asked, waited = -1, 0
        while asked != len(self.watched.requests) or (self.under_way and waited < LEFT_OPEN_MS):
            waited = waited + QUIET_MS if asked == len(self.watched.requests) else 0
            asked = len(self.watched.requests)
            self.page.wait_for_timeout(QUIET_MS)
        return asked

    def look_back(self, share: float) -> int:
        """Put the training time to this share of the way. Returns the step chosen there."""
        slider = self.page.get_by_label("training time, rewind").locator("visible=true")
        slider.press("Home")
        for _ in range(round(share * int(slider.get_attribute("max") or 0))):
            slider.press("ArrowRight")
        self.still()
        return int(self.training_time().split()[1])

    def training_time(self) -> str:
        """What stands beside the slider of training time."""
        return self.page.locator(".pg-time-readout:visible").inner_text()

    def unfold(self, *titles: str) -> None:
        """Open folded parts of the page."""
        for title in titles:
            heading = self.page.locator("button.label-wrap", has=self.page.get_by_text(title, exact=True))
            for part in heading.locator("visible=true").all():
                if "open" not in (part.get_attribute("class") or "").split():
                    part.click()

    def settled(self, control: Locator) -> Locator:
        """`control`, once it keeps what is typed: Gradio gives what has just been unfolded its value anew, a frame
        after it shows.
        """
        control.wait_for()
        self.page.evaluate(TWO_FRAMES)
        return control

    def choose(self, knob: str, option: str | None = None) -> None:
        """Choose from one of the knobs that are lists, with the mouse; without `option` the last that is not chosen."""
        self.settled(self.page.get_by_role("combobox", name=knob, exact=True)).click()
        options = self.page.get_by_role("option", selected=None if option else False)
        (options.and_(self.page.get_by_role("option", name=option, exact=True)) if option else options.last).click()

    def number(self, knob: str) -> Locator:
        """The number beside a knob that is a slider."""
        return self.settled(self.page.get_by_label(f"number input for {knob}", exact=True).locator("visible=true"))

    def upload(self, button: str, name: str, content: bytes) -> None:
        """Press `button` and choose a file."""
        with self.page.expect_file_chooser() as chooser:
            self.button(button).click()
        chooser.value.set_files({"name": name, "mimeType": "application/octet-stream", "buffer": content})

    def download(self, button: str) -> tuple[str, bytes]:
        """Press `button`. Returns name and content of the file that comes."""
        with self.page.expect_download() as coming:
            self.button(button).click()
        return coming.value.suggested_filename, coming.value.path().read_bytes()


Visit = Callable[..., ToyPage]  # (query, **options of the browser context)
