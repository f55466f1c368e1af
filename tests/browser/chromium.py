"""The Chromium of the browser tests. Run as a script: finds or installs one, and prints its path."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

COMMANDS = ["chromium", "chromium-browser", "google-chrome"]
MAC_APPS = ["/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"]
APT_PACKAGES = ["chromium", "fonts-dejavu-core"]  # a bare Debian has no font to draw text with
INSTALL_SECONDS = 600

HELP = """\
No Chromium was found and none could be installed. Do one of these, then try again:
  Debian:                   sudo apt-get install chromium fonts-dejavu-core
  Ubuntu and other Linux:   .venv/bin/python -m playwright install --with-deps chromium
  macOS:                    .venv/bin/python -m playwright install chromium
  Windows:                  .venv\\Scripts\\python -m playwright install chromium
  any Chromium or Chrome:   set the environment variable CHROMIUM to its path"""


def find() -> str | None:
    """Path of a browser that starts: $CHROMIUM, else one on PATH, else macOS's Chrome, else playwright's own.

    Call it outside `sync_playwright()`, which it opens itself. Raises RuntimeError if $CHROMIUM fails.
    """
    if chosen := os.environ.get("CHROMIUM"):
        if not _starts(chosen):
            raise RuntimeError(f"CHROMIUM={chosen} does not start")
        return chosen
    on_path = [path for name in COMMANDS if (path := shutil.which(name))]
    for path in [*on_path, *MAC_APPS]:
        if _starts(path):
            return path
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if _starts(own) else None


def install() -> None:
    """Try Debian's package or playwright's build, as this machine allows. `find` tells if it worked."""
    root = _as_root()
    # Ubuntu's chromium package only points at a snap, so there playwright's own build comes first.
    if root is not None and _linux_id() == "debian":
        apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
        if _run([*apt, "update"]) and _run([*apt, "install", "-y", "--no-install-recommends", *APT_PACKAGES]):
            return
    # --with-deps installs system libraries, which asks for a password where sudo needs one.
    with_deps = ["--with-deps"] if root is not None else []
    _run([sys.executable, "-m", "playwright", "install", *with_deps, "chromium"])


def _starts(path: str) -> bool:
    """Running it finds out about missing libraries, and about Ubuntu's chromium-browser without its snap."""
    if not Path(path).is_file():
        return False
    if sys.platform == "win32":  # there chrome.exe --version opens a window
        return True
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _as_root() -> list[str] | None:
    """What to put before a Linux command to run it as root without a password; None if there is no way."""
    if sys.platform != "linux":
        return None
    if os.geteuid() == 0:
        return []
    return ["sudo", "-n"] if shutil.which("sudo") and _run(["sudo", "-n", "true"]) else None


def _linux_id() -> str | None:
    try:
        return platform.freedesktop_os_release()["ID"]
    except OSError:  # a Linux without /etc/os-release
        return None


def _run(command: list[str]) -> bool:
    print("+", " ".join(command), file=sys.stderr, flush=True)
    try:  # no stdin: a question has no one to answer it
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"gave up after {INSTALL_SECONDS} s", file=sys.stderr)
        return False
    return done.returncode == 0


if __name__ == "__main__":
    browser = find()
    if browser is None:
        install()
        browser = find()
    if browser is None:
        sys.exit(HELP)
    print(browser)
