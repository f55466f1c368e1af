"""Rules for what stands in the files of this repository: nothing forbidden, nothing large, no name in two places."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from playground.diffusion.samplers import SAMPLERS
from playground.diffusion.schedules import SCHEDULES

ROOT = Path(__file__).resolve().parents[1]
MAX_BYTES = 10_000_000
MAX_LINES = 300  # more is not read in one sitting

# Written so that no pattern matches its own line: this file is searched too.
FORBIDDEN = [
    r"(?<![\w.])/[r]oot/",
    r"(?<![\w.])/[h]ome/\w",
    r"(?<![\w.])/[U]sers/\w",
    r"pickle\.load",
    r"torch\.load\(",
    r"allow_pickle\s*=\s*True",
]

# Where the name of a schedule or sampler may stand beside its row: presets, defaults and what a model was trained on;
# words of other things that happen to be the same; and the readable algorithms, which are the samplers of those names.
PRESETS = {
    "playground/toy/config.py",  # recipes
    "playground/mnist/generate.py",  # what the model that ships was trained on
    "playground/mnist/trajectory.py",  # how the shipped path was made
    "playground/mnist/live.py",
    "playground/mnist/train.py",
    "playground/mnist/cold.py",
    "playground/mnist/settings.py",
    "playground/schedules/quality.py",  # what the chart opens with
    "playground/stable_diffusion/models.py",  # each model's own scheduler
    "playground/stable_diffusion/request.py",
    "playground/stable_diffusion/digits/pipeline.py",
    "playground/stable_diffusion/digits/unet.py",
    "playground/ui/mnist/knobs.py",  # what is compared at first
    "playground/ui/schedules/stage.py",  # the cards at first
    "playground/ui/stable_diffusion/models.py",
}
ROWS = {
    "playground/diffusion/schedules.py",
    "playground/diffusion/knot_schedules.py",
    "playground/diffusion/samplers.py",
    "playground/diffusion/langevin.py",
    "playground/diffusion/algorithms.py",
    "playground/diffusion/sampler.py",  # a spacing has the name of a schedule
}
OTHER_WORDS = {"linear", "cosine", "flow", "drawn", "learned"}  # a preview, a decay, a prediction, what a visitor drew


def repository_files() -> list[Path]:
    """Files that are, or would be, committed."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    # safe.directory: a checkout that belongs to another user, as in a container, is listed all the same.
    command = "git -c safe.directory=* ls-files -z --cached --others --exclude-standard"
    output = subprocess.run(command.split(), cwd=ROOT, check=True, capture_output=True, text=True).stdout
    # A file that was deleted and is still in the index is not there to be read.
    return sorted({path for name in output.split("\0") if name and (path := ROOT / name).is_file()})


def python_files() -> list[Path]:
    return [ROOT / "app.py", *(ROOT / "playground").rglob("*.py")]


def forbidden_calls(source: str) -> list[str]:
    """Calls of the built-in eval and exec (a method such as torch's `model.eval()` is another thing)."""
    calls = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return [func.id for func in calls if isinstance(func, ast.Name) and func.id in {"eval", "exec"}]


def test_no_file_holds_forbidden_text() -> None:
    found = []
    for path in repository_files():
        text = path.read_bytes().decode("utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for rule in FORBIDDEN for match in re.finditer(rule, text)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "/ro" + "ot/x",
        "cd /ho" + "me/ada",
        "/Use" + "rs/ada",
        "pickle" + ".loads(b)",
        "torch" + ".load(f)",
        "np.load(f, allow_pickle" + " = True)",
    ],
)
def test_forbidden_text_is_found(text: str) -> None:
    assert any(re.search(rule, text) for rule in FORBIDDEN)


def test_no_eval_or_exec() -> None:
    assert forbidden_calls("x = eval('1')\nexec('y = 2')\nmodel.eval()") == ["eval", "exec"]
    found = [
        f"{path.relative_to(ROOT)}: {call}"
        for path in python_files()
        for call in forbidden_calls(path.read_text("utf-8"))
    ]
    assert not found, "\n".join(found)


def test_no_file_is_large() -> None:
    large = [str(path.relative_to(ROOT)) for path in repository_files() if path.stat().st_size > MAX_BYTES]
    assert not large


def test_every_script_can_be_read_in_one_sitting() -> None:
    scripts = [
        path for path in repository_files() if path.suffix in {".py", ".js"} and "node_modules" not in path.parts
    ]
    lengths = {path.relative_to(ROOT): len(path.read_text("utf-8").splitlines()) for path in scripts}
    assert not {path: n for path, n in lengths.items() if n > MAX_LINES and path.name != "eslint.config.js"}


def test_schedules_and_samplers_are_named_in_their_rows_alone() -> None:
    names = {*SCHEDULES, *SAMPLERS} - OTHER_WORDS
    quoted = re.compile("[\"'`](" + "|".join(map(re.escape, sorted(names, key=len, reverse=True))) + ")[\"'`]")
    found = []
    for path in repository_files():
        file = path.relative_to(ROOT).as_posix()
        if file.startswith("playground/") and path.suffix in {".py", ".js"} and file not in ROWS | PRESETS:
            found += [f"{file}: {match[0]}" for match in quoted.finditer(path.read_text("utf-8"))]
    assert not found, "\n".join(found)
