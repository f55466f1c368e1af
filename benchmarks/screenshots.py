"""Makes the README's pictures anew: each tab with something worth seeing on its stage, on a light page and a dark one.

python -m benchmarks.screenshots            # all of them, into assets/
python -m benchmarks.screenshots toy mnist  # only these
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from benchmarks.page import CHROMIUM_ARGS, ROOT, app, serving
from tests.browser.chromium import HELP, find
from tests.browser.conftest import Watched
from tests.browser.mnist_page import MnistPage
from tests.browser.schedules_page import SchedulesPage
from tests.browser.stable_diffusion_page import StableDiffusionPage
from tests.browser.toy_page import ToyPage

ASSETS = ROOT / "assets"
SIZE: ViewportSize = {"width": 1440, "height": 900}  # a laptop's window
MAX_BYTES = 400_000  # of one picture: a README with four of them should still open at once
SETTLE_MS = 1_500  # for what fades, and for charts that wait until nothing is pressed


def toy(watched: Watched, url: str) -> ToyPage:
    """The spiral, learned; on the way back from the noise, with paths and the score that pulls."""
    tab = ToyPage(watched, url)
    tab.train(3_000)
    tab.pause()
    tab.press("Paths")
    tab.page.locator(".pg-toy .pg-score").select_option("learned")
    slider = tab.page.locator(".pg-toy .pg-t")
    slider.evaluate("(s) => { s.value = 230; s.dispatchEvent(new Event('input', {bubbles: true})); }")
    return tab


def mnist(watched: Watched, url: str) -> ToyPage:
    """Sixteen digits on their way into the noise, sixteen others on their way out of it."""
    tab = MnistPage(watched, url)
    tab.hold()
    tab.scrub(250)
    return tab


def schedules(watched: Watched, url: str) -> ToyPage:
    """Four schedules at the same t."""
    tab = SchedulesPage(watched, url)
    tab.hold()
    tab.scrub(300)
    return tab


def stable_diffusion(watched: Watched, url: str) -> ToyPage:
    """A prompt drawn, the second time: what the first one loads is not in its seconds."""
    tab = StableDiffusionPage(watched, url)
    tab.draw("a red seven on a blue background")
    return tab


SCENES: dict[str, Callable[[Watched, str], ToyPage]] = {
    "toy": toy,
    "mnist": mnist,
    "schedules": schedules,
    "stable-diffusion": stable_diffusion,
}


def take(name: str, browser: Browser, url: str, folder: Path) -> list[Path]:
    """Set the scene once and take it on both pages, so that the two pictures differ in nothing but the light."""
    context = browser.new_context(viewport=SIZE, color_scheme="light", reduced_motion="reduce")
    try:
        tab = SCENES[name](Watched(context.new_page()), url)
        paths = []
        for light in ("light", "dark"):
            if light == "dark":
                tab.page.locator("#pg-theme").click()
            tab.page.mouse.move(SIZE["width"] - 1, SIZE["height"] // 2)  # over nothing that shows a hint
            tab.page.wait_for_timeout(SETTLE_MS)
            tab.still()
            paths.append(folder / f"{name}-{light}.png")
            save(tab.page, paths[-1])
    finally:
        context.close()
    return paths


def save(page: Page, path: Path) -> None:
    """What the window shows, as a PNG of at most MAX_BYTES; one that would be larger has 256 colours."""
    with Image.open(io.BytesIO(page.screenshot())) as image:
        picture = image.convert("RGB")
    picture.save(path, optimize=True)
    if path.stat().st_size > MAX_BYTES:
        picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tabs", nargs="*", metavar="tab", help=f"of {', '.join(SCENES)}; without any, all of them")
    parser.add_argument("--out", type=Path, default=ASSETS, help="folder of the pictures")
    arguments = parser.parse_args()
    if unknown := set(arguments.tabs) - SCENES.keys():
        parser.error(f"no such tab: {', '.join(sorted(unknown))}")
    browser_path = find()
    if browser_path is None:
        sys.exit(HELP)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with serving(app()) as (port, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=CHROMIUM_ARGS)
        for name in arguments.tabs or SCENES:
            for path in take(name, browser, f"http://127.0.0.1:{port}", arguments.out):
                print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")
        browser.close()


if __name__ == "__main__":
    main()
