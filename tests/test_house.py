"""Rules that no single module can check: who imports whom, lint, types, pins, what is committed."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


# app -> ui -> labs -> diffusion: the parts of `playground` that each part may import, besides itself.
LABS = {"toy", "mnist", "schedules", "stable_diffusion"}
MAY_IMPORT = {
    "app": {"ui", "sessions", *LABS, "diffusion", "settings"},
    "ui": {*LABS, "diffusion", "settings", "sessions", "fair_lock", "refusal"},
    "sessions": {*LABS, "diffusion", "settings", "fair_lock", "refusal"},
    **{lab: {"diffusion", "settings", "storage", "fair_lock", "refusal", "training_run"} for lab in LABS},
    "diffusion": {"settings", "refusal"},
    "storage": {"refusal"},
    "training_run": {"diffusion", "storage", "refusal"},
    **{part: set() for part in ("settings", "fair_lock", "refusal", "__init__")},
}
MAY_IMPORT["stable_diffusion"] |= {"mnist"}  # it draws MNIST's digits
MAY_IMPORT["schedules"] |= {"toy", "mnist"}  # what schedules do to their data
MAY_IMPORT_GRADIO = {"app", "ui", "sessions"}

DISTRIBUTIONS = {"PIL": "pillow", "cv2": "opencv-python", "sklearn": "scikit-learn", "yaml": "pyyaml"}


def python_files() -> list[Path]:
    return [path for path in [ROOT / "app.py", *(ROOT / "playground").rglob("*.py")] if path.exists()]


def module_of(path: Path) -> str:
    """Dotted name of a file, `playground.toy.__init__` for a package."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def part_of(module: str) -> str:
    """`toy` for playground.toy.sampling, `settings` for playground.settings, `app` for app."""
    names = module.split(".")
    return names[1] if names[0] == "playground" and len(names) > 1 else names[0]


def room_of(module: str) -> str:
    """`toy` for playground.ui.toy.tab, `shared` for what all tabs stand on, "" for what is in no room of the page."""
    return "".join(re.findall(rf"^playground\.ui\.(shared|{'|'.join(LABS)})\b", module))


def imports(source: str, module: str) -> Iterator[tuple[str, str]]:
    """Each import in the source of `module`, in functions and under TYPE_CHECKING too: the absolute name of a module,
    and what is taken from it, "" for the module itself.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*package, *([node.module] if node.module else [])])
            yield from ((base, alias.name) for alias in node.names)


def imported_modules(source: str, module: str) -> list[str]:
    """The names of all modules that the source of `module` imports."""
    # `from playground import toy` names a part; `from torch import Tensor` names nothing further.
    names = (f"{base}.{name}" if base == "playground" else base for base, name in imports(source, module))
    return list(dict.fromkeys(names))


def circle(sources: dict[str, str]) -> list[str]:
    """Modules of `sources` (name: source) each of which imports the next, the last being the first; [] if none do."""
    files = {module.removesuffix(".__init__") for module in sources}
    graph = {
        # `from playground.ui import page` is of the file page.py, not of the package beside it.
        module.removesuffix(".__init__"): {
            name if (name := f"{base}.{taken}") in files else base for base, taken in imports(source, module)
        }
        & files
        for module, source in sources.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found[::-1]
    return []


def import_faults(source: str, module: str) -> list[str]:
    """The imports in the source of `module` that break the rule, as sentences."""
    part = part_of(module)
    if part not in MAY_IMPORT:
        return [f"{module} is in no part that MAY_IMPORT knows"]
    faults = []
    for name in imported_modules(source, module):
        top = name.split(".")[0]
        if top == "gradio" and part not in MAY_IMPORT_GRADIO:
            faults.append(f"{module} imports gradio")
        if top == "app" or (name.startswith("playground.") and part_of(name) not in {part} | MAY_IMPORT[part]):
            faults.append(f"{module} imports {name}")
        if room_of(module) and room_of(name) not in {"", "shared", room_of(module)}:
            faults.append(f"{module} imports {name}, which is of another tab")
    return faults


def pins(file: str) -> dict[str, str]:
    """Name (normalised) to version of a requirements file; fails on a line that is not `name==version`."""
    lines = (line.split("#")[0].strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines())
    matches = [
        (line, re.fullmatch(r"([\w.-]+)==(\d[\w.]*)", line)) for line in lines if line and not line.startswith("-r ")
    ]
    loose = [line for line, match in matches if match is None]
    assert not loose, f"{file} has lines without an exact pin: {loose}"
    return {re.sub(r"[-_.]+", "-", match[1]).lower(): match[2] for _, match in matches if match}


def run(*command: str) -> None:
    """Run a Python module as a command in the checkout; fail with what it printed."""
    result = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    if result.returncode != 0:
        pytest.fail(f"{' '.join(command)}\n{result.stdout}{result.stderr}", pytrace=False)


def test_imports_go_downward() -> None:
    files = python_files()
    assert files
    faults = [fault for path in files for fault in import_faults(path.read_text("utf-8"), module_of(path))]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("playground.toy.data", "import gradio as gr"),
        ("playground.diffusion.loss", "def f():\n    from gradio.themes import Base"),
        ("playground.diffusion.loss", "from playground.toy import data"),
        ("playground.diffusion.loss", "from playground import toy"),
        ("playground.toy.data", "import playground.mnist.data"),
        ("playground.toy.config", "from playground.schedules import curves"),
        ("playground.toy.data", "from ..mnist import data"),
        ("playground.toy.__init__", "from .. import ui"),
        ("playground.mnist", "from playground.sessions import Session"),
        ("playground.settings", "from playground.diffusion import loss"),
        ("playground.ui.page", "import app"),
        ("playground.elsewhere", "import math"),
        ("playground.ui.shared.knobs", "from playground.ui.toy.tab import ToyTab"),
        ("playground.ui.mnist.tab", "def f():\n    from playground.ui.toy import knobs"),
    ],
)
def test_bad_imports_are_found(module: str, source: str) -> None:
    assert import_faults(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("app", "import gradio\nfrom playground.ui import page"),
        ("playground.ui.page", "from playground.ui.mnist import tab\nfrom playground.ui.toy.tab import ToyTab"),
        ("playground.ui.toy.tab", "from playground.ui.shared import wire\nfrom playground.ui.toy import knobs"),
        ("playground.ui.page", "from playground import sessions, toy\nfrom . import live"),
        ("playground.sessions", "from playground.stable_diffusion import pipeline"),
        ("playground.schedules.learned", "from playground.toy.data import make_cloud"),
        (
            "playground.toy.data",
            "from . import shapes\nfrom .shapes import ring\nfrom playground import settings",
        ),
        ("playground.diffusion.loss", "from playground.diffusion.schedules import cosine\nimport torch.nn"),
    ],
)
def test_good_imports_pass(module: str, source: str) -> None:
    assert import_faults(source, module) == []


def test_no_files_import_each_other() -> None:
    folders = (ROOT / name for name in ("playground", "benchmarks", "tests"))
    files = [ROOT / "app.py", *(path for folder in folders for path in folder.rglob("*.py"))]
    assert not circle({module_of(path): path.read_text("utf-8") for path in files})


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        ({"a": "import b", "b": "import c", "c": "import torch"}, []),
        ({"a": "import b", "b": "def f():\n    import a"}, ["a", "b"]),
        ({"a": "import b", "b": "from c import x", "c": "if TYPE_CHECKING:\n    import a"}, ["a", "b", "c"]),
        ({"p.__init__": "from p.x import f", "p.x": "from p import y", "p.y": ""}, []),
        ({"p.__init__": "from p.x import f", "p.x": "from p import g"}, ["p", "p.x"]),
        ({"p.x": "from . import y", "p.y": "from .x import f"}, ["p.x", "p.y"]),
    ],
)
def test_circles_are_found(sources: dict[str, str], found: list[str]) -> None:
    round_trip = circle(sources)
    assert sorted(set(round_trip)) == found
    assert round_trip[:1] == round_trip[-1:]


def test_labs_run_without_gradio() -> None:
    names = ["diffusion", *sorted(LABS)]
    imports = "".join(f"import playground.{name}\n" for name in names)
    code = f"{imports}import sys\nsys.exit('gradio' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, f"{names} bring gradio in, or fail to be imported: {result.stderr}"


def test_ruff_check() -> None:
    run("ruff", "check", ".")


def test_ruff_format() -> None:
    run("ruff", "format", "--check", ".")


def test_mypy() -> None:
    paths = [ROOT / "app.py", *(ROOT / name for name in ("playground", "benchmarks", "tests"))]
    present = [path.name for path in paths if path.is_file() or any(path.rglob("*.py"))]
    run("mypy", *present)


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_requirements_are_pinned(file: str) -> None:
    assert pins(file)


def test_every_import_is_required() -> None:
    tops = {
        name.split(".")[0]
        for path in python_files()
        for name in imported_modules(path.read_text("utf-8"), module_of(path))
    }
    third_party = tops - set(sys.stdlib_module_names) - {"playground", "app"}
    missing = {DISTRIBUTIONS.get(top, top).lower().replace("_", "-") for top in third_party}
    missing -= pins("requirements.txt").keys()
    assert not missing, f"imported, but not in requirements.txt: {sorted(missing)}"
