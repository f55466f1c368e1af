"""What the documents say is so: names exist, links lead somewhere, code runs, the picture is the one of the imports."""

import ast
import importlib
import re
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub.repocard import metadata_load

from playground.diffusion.samplers import SAMPLERS
from playground.diffusion.sampling import SamplingConfig, sample, start_noise
from playground.diffusion.schedule_config import ScheduleConfig
from playground.toy.data import make_cloud
from tests.rooms import ARCHITECTURE, PLAYGROUND, ROOT, UI, picture

CONTRIBUTING = ROOT / "CONTRIBUTING.md"
DOCUMENTS = [ROOT / "README.md", CONTRIBUTING, *sorted((ROOT / "docs").glob("*.md"))]
README_LINES = 180
SHORT_DESCRIPTION = 60  # characters, which Spaces allows

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"^ {4}\S.*$", re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
SUFFIXES = ("py", "js", "css", "md", "txt", "toml", "json", "png", "safetensors")
PLACE = re.compile(rf"(?P<path>[\w.*/-]+(?:/|\.(?:{'|'.join(SUFFIXES)})))(?::(?P<name>[\w.]+))?")
DOTTED = re.compile(r"(?:playground|benchmarks|tests)(?:\.\w+)+")
WORD = re.compile(r"[A-Za-z_]\w{2,}(?:\.\w+)*")
MODULE = re.compile(r"(?:python|launch) -m ((?:playground|benchmarks|tests)[\w.]*)")
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")
# Files that only a visitor makes, and names of other programs' things.
ELSEWHERE = {"scheduler_config.json", "spiral.safetensors", "quality.csv"}


def spans(text: str) -> list[str]:
    """What stands between backticks, code blocks apart."""
    return SPAN.findall(FENCE.sub("", text))


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of this language."""
    return [code for name, code in FENCE.findall(path.read_text("utf-8")) if name == language]


def found(path: str) -> list[Path]:
    """The files and folders of that name, from the root or from `playground`; a bare name may be anywhere below it."""
    folders = [] if "/" in path else [each for each in PLAYGROUND.rglob("*") if each.is_dir()]
    return [file for base in (ROOT, PLAYGROUND, *folders) for file in base.glob(path)]


def defines(path: Path, name: str) -> bool:
    """Whether a Python file defines this function, class or `Class.method`, or a JavaScript file this function."""
    if path.suffix == ".js":
        return bool(re.search(rf"function {name}\(|const {name} =|^ +{name}\(.*\{{", path.read_text("utf-8"), re.M))
    body: list[ast.stmt] = ast.parse(path.read_text("utf-8")).body
    for part in name.split("."):
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == part:
                body = node.body
                break
        else:
            return False
    return True


def module_exists(name: str) -> bool:
    """Whether a dotted name is a module, or something that one has."""
    path = ROOT.joinpath(*name.split("."))
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    above, _, last = name.rpartition(".")
    return bool(above) and module_exists(above) and hasattr(importlib.import_module(above), last)


def words_of_the_code() -> set[str]:
    """Every word of the sources, the tools' settings among them."""
    files = [
        ROOT / "app.py",
        *(ROOT / name for name in ("Makefile", "pyproject.toml", "requirements.txt", "requirements-dev.txt")),
        *(path for folder in ("playground", "benchmarks", "tests") for path in (ROOT / folder).rglob("*.*")),
    ]
    files = [path for path in files if path.is_file() and path.suffix in ("", ".py", ".js", ".css", ".toml", ".txt")]
    texts = (path.read_text("utf-8") for path in files)
    return {word for text in texts for word in re.findall(r"\w+", text)}


def fault(span: str, words: set[str]) -> str:
    """What is wrong with something between backticks; nothing for what is no name of ours."""
    if place := PLACE.fullmatch(span):
        files = found(place["path"])
        if not files and span not in ELSEWHERE:
            return f"no such file: {span}"
        if place["name"] and not any(defines(file, place["name"]) for file in files):
            return f"not defined there: {span}"
        return ""
    if DOTTED.fullmatch(span):
        return "" if module_exists(span) else f"no such module: {span}"
    if WORD.fullmatch(span) and not set(span.split(".")) <= words:
        return f"in no source: {span}"
    return ""


@every_document
def test_every_name_exists(document: Path) -> None:
    text, words = document.read_text("utf-8"), words_of_the_code()
    wrong = [said for span in spans(text) if (said := fault(span, words))]
    commands = MODULE.findall(text)
    wrong += [f"no such command: {name}" for name in commands if not module_exists(name)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "span",
    ["playground/toy/nothing.py", "toy/lab.py:ToyLab.fly", "ui/toy/stage.js:fly", "playground.toy.fly", "fly_a_kite"],
)
def test_a_name_that_does_not_exist_is_found(span: str) -> None:
    assert fault(span, words_of_the_code() - {"fly", "fly_a_kite"})


@every_document
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text("utf-8")
    targets = [one or other for one, other in LINK.findall(text)]
    for target in (target for target in targets if not re.match(r"https?:", target)):
        name, _, anchor = target.partition("#")
        file = (document.parent / name).resolve() if name else document
        assert file.exists(), f"{document.name} leads to {target}, which is not there"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]
            assert anchor in slugs, f"{document.name} leads to {target}: no such heading"


def test_the_readme_is_short_and_its_front_matter_is_one_that_spaces_take() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= README_LINES
    card = metadata_load(ROOT / "README.md")
    assert card
    assert card["sdk"] == "gradio"
    assert f"gradio=={card['sdk_version']}" in (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    assert re.fullmatch(r"3\.1[1-9]", card["python_version"])
    assert (ROOT / card["app_file"]).is_file()
    assert card["title"]
    assert len(card["emoji"]) == 1
    assert len(card["short_description"]) <= SHORT_DESCRIPTION


def try_cloud(name: str) -> None:
    """Points lie where the row says that there is mass."""
    cloud = make_cloud(name, 5_000, seed=0)
    assert cloud.support is not None
    assert cloud.support(cloud.points).all()
    assert not cloud.support(2 * cloud.points / cloud.points.norm(dim=1, keepdim=True)).any()


def try_schedule(name: str) -> None:
    """The table falls, and the lines for exported code make the same one."""
    config = ScheduleConfig(name)
    table = config.make().alphas_cumprod
    made: dict[str, Any] = {"np": np, "T": config.timesteps}
    assert table.diff().max() < 0
    exec(textwrap.dedent(config.row.formula).format(**config.knobs()), made)
    same = made["alphas_cumprod"] if "alphas_cumprod" in made else (1 - made["betas"]).cumprod()
    np.testing.assert_allclose(same, table.numpy(), atol=1e-6)


def try_sampler(name: str) -> None:
    """With the exact denoiser of one point, samples arrive there."""
    config, point = SamplingConfig(sampler=name, steps=20), torch.tensor([[0.3, -0.6]])
    schedule, start = ScheduleConfig("karras").make(), start_noise(50, 2, 0)
    *_, last = sample(lambda x, alpha, sigma: point.expand_as(x), schedule, start, config)
    torch.testing.assert_close(last.x, point.expand(50, 2), atol=0.02, rtol=0)
    assert last.calls == SAMPLERS[name].calls(20)


TRIED = {"DATASETS": try_cloud, "SCHEDULES": try_schedule, "SAMPLERS": try_sampler}


@pytest.mark.parametrize("code", blocks(CONTRIBUTING, "python"))
def test_the_rows_of_the_recipes_work(code: str) -> None:
    """Each block begins with the file it belongs into, and is run as if it stood at its end."""
    file, _, _ = code.removeprefix("# ").partition("\n")
    module = importlib.import_module(".".join(Path(file).with_suffix("").parts))
    rows = next(getattr(module, name) for name in TRIED if hasattr(module, name))
    before = dict(rows)
    try:
        exec(compile(code, file, "exec"), dict(vars(module)))
        (name,) = rows.keys() - before.keys()
        TRIED[next(each for each in TRIED if hasattr(module, each))](name)
    finally:
        rows.clear()
        rows.update(before)


@pytest.mark.parametrize("code", blocks(ROOT / "README.md", "python"))
def test_the_code_of_the_readme_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})


def test_the_picture_of_the_rooms_is_the_one_that_the_imports_make() -> None:
    (drawn,) = blocks(ARCHITECTURE, "mermaid")
    assert drawn == picture(), f"python -m tests.rooms puts this into docs/architecture.md:\n{picture()}"


def test_the_table_of_messages_has_every_message() -> None:
    table = re.findall(r"^\|(.*)\|$", ARCHITECTURE.read_text("utf-8").partition("## Messages")[2], re.MULTILINE)
    named = {word for line in table for word in SPAN.findall(line)}
    scripts = {path: path.read_text("utf-8") for path in UI.rglob("*.js")}
    sent = {name for text in scripts.values() for name in re.findall(r"\btrigger\(\s*\"(\w+)\"", text)}
    asked = {name for text in scripts.values() for name in re.findall(r"\bquestion\(\s*\"(\w+)\"", text)}
    kinds = {
        kind
        for path in UI.rglob("*.py")
        for kind in re.findall(r"\"kind\": \"(\w+)\"|_message\(\"(\w+)\"", path.read_text("utf-8"))
    }
    told = sent | asked | {one or other for one, other in kinds}
    assert len(told) > 30
    assert told <= named, f"not in the table: {sorted(told - named)}"
