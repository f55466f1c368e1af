"""The checks of the page's scripts and style sheets. Run as a script; `make test` does, after `npm ci`.

No file of this repository is what the browser runs: Gradio makes one function of all scripts of a component, one after
the other, and calls it with `ARGUMENTS`. ESLint reads these functions here, taken from the page that is really built.
Prettier reads the files as they lie in their folders.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import gradio as gr

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
TOOLS = ROOT / "node_modules" / ".bin"
ARGUMENTS = "element, trigger, props, server, upload, watch"  # of a js_on_load, as Gradio calls it
FORMATTED = ["playground/ui/**/*.js", "playground/ui/**/*.css", "eslint.config.js"]
MARKER = re.compile(r"// --- (\S+\.js) ---")  # what `playground.ui.shared.component.script` puts above each file
LEAST_NODE = 20


class Fault(NamedTuple):
    """What ESLint finds at one place of a script: a file of the page, or the component that has it in Python."""

    place: str
    rule: str
    message: str


class Component(NamedTuple):
    """A whole script as the browser gets it, and the file and line that each of its lines comes from."""

    name: str
    script: str
    places: list[tuple[str, int]]

    @classmethod
    def of(cls, name: str, script: str) -> Component:
        return cls(name, script, list(_places(script, name)))

    @property
    def files(self) -> set[str]:
        """Relative to the checkout; the component's name where lines belong to no file."""
        return {file for file, _ in self.places}


def components(page: gr.Blocks) -> list[Component]:
    """The scripts of all gr.HTML on `page`; those that are the same to the letter once."""
    found: dict[str, Component] = {}
    for block in page.blocks.values():
        if isinstance(block, gr.HTML) and (script := block.js_on_load):
            name = "-".join([*(block.elem_classes or ["html"]), str(block._id)])
            found.setdefault(script, Component.of(name, script))
    return list(found.values())


def _places(script: str, name: str) -> Iterator[tuple[str, int]]:
    file, line = name, 0
    for text in script.splitlines():
        line += 1
        if marker := MARKER.fullmatch(text):
            file, line = f"playground/ui/{marker[1]}", 0
        yield file, line


def lint(whole: list[Component]) -> list[Fault]:
    """All that ESLint finds. A shared script may offer more than one component needs: what is in it counts as unused
    only where no component uses it.
    """
    with tempfile.TemporaryDirectory() as folder:
        for component in whole:
            text = f"(function ({ARGUMENTS}) {{\n{component.script}\n}});\n"
            (Path(folder) / f"{component.name}.js").write_text(text, encoding="utf-8")
        command = [str(TOOLS / "eslint"), "--config", str(ROOT / "eslint.config.js"), "--format", "json", "."]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if result.returncode not in (0, 1):
        sys.exit(f"eslint: {result.stdout}{result.stderr}")
    messages = {Path(report["filePath"]).stem: report["messages"] for report in json.loads(result.stdout)}
    seen: dict[Fault, set[str]] = {}
    for component in whole:
        for message in messages[component.name]:
            if message["line"] == 1:  # no component has to use all that Gradio hands it
                continue
            file, line = component.places[min(message["line"] - 2, len(component.places) - 1)]
            place = f"{file}:{line}:{message['column']}"
            fault = Fault(place, message["ruleId"] or "syntax", message["message"])
            seen.setdefault(fault, set()).add(component.name)
    return sorted(
        fault for fault, names in seen.items() if fault.rule != "no-unused-vars" or names == _having(fault, whole)
    )


def _having(fault: Fault, whole: list[Component]) -> set[str]:
    file = fault.place.split(":")[0]
    return {component.name for component in whole if file in component.files}


def format_faults() -> str:
    """What Prettier would write otherwise: the names of the files, or nothing."""
    result = subprocess.run([TOOLS / "prettier", "--check", *FORMATTED], cwd=ROOT, capture_output=True, text=True)
    return "" if result.returncode == 0 else f"{result.stdout}{result.stderr}To mend it: npm run format"


def missing() -> str:
    """Why nothing can be checked on this machine; empty where it can."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return "no Node here: scripts and style sheets are not checked"
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout
    if int(version.lstrip("v").split(".")[0]) < LEAST_NODE:
        return f"Node {version.strip()} is older than {LEAST_NODE}: scripts and style sheets are not checked"
    return ""


def main() -> None:
    if why := missing():
        print(why)
        return
    if not (TOOLS / "eslint").exists():
        sys.exit("Run `npm ci --ignore-scripts` first.")
    from app import demo  # seconds, and needless where nothing is checked

    whole = components(demo)
    faults = [f"{fault.place}: {fault.message} ({fault.rule})" for fault in lint(whole)]
    if unformatted := format_faults():
        faults.append(unformatted)
    if faults:
        sys.exit("\n".join(faults))
    print(f"{len(whole)} scripts checked, {sum(len(component.places) for component in whole)} lines")


if __name__ == "__main__":
    main()
