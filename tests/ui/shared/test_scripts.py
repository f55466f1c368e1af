"""The scripts of the page: who uses whose, and that each file can be read in one sitting."""

from pathlib import Path

import pytest

from playground.sessions import Sessions
from playground.ui.page import build
from playground.ui.shared.component import ROOMS, script
from tests.javascript import Component, components

MOST_LINES = 300
MOST_COLUMNS = 120
SHARED = "playground/ui/shared/"


@pytest.fixture(scope="module")
def whole() -> list[Component]:
    return components(build(Sessions()))


def rooms_of(component: Component) -> set[str]:
    """Of the files that its script is made of."""
    return {Path(file).parent.name for file in component.files if file.endswith(".js")}


def test_a_stage_uses_the_scripts_of_its_own_room_and_the_shared_ones(whole: list[Component]) -> None:
    several = {component.name: rooms for component in whole if len(rooms := rooms_of(component) - {"shared"}) > 1}
    assert not several, f"what two rooms use belongs into {SHARED}: {several}"
    assert set().union(*map(rooms_of, whole)) >= {"shared", "toy", "mnist", "schedules", "stable_diffusion"}


def test_shared_scripts_are_shared(whole: list[Component]) -> None:
    users = {
        file: {tuple(rooms_of(component) - {"shared"}) for component in whole if file in component.files}
        for component in whole
        for file in component.files
        if file.startswith(SHARED)
    }
    alone = {file: rooms for file, rooms in users.items() if len(rooms) < 2}
    assert users
    assert not alone, f"used in one room only: {alone}"


def test_every_script_is_used(whole: list[Component]) -> None:
    files = {f"playground/ui/{path.relative_to(ROOMS).as_posix()}" for path in ROOMS.rglob("*.js")}
    used = set().union(*(component.files for component in whole))
    assert files
    assert not files - used


def test_every_line_of_a_script_is_known_by_its_file() -> None:
    text = script("shared/wire", "toy/page")
    component = Component.of("both", text)
    for line, (file, number) in zip(text.splitlines(), component.places, strict=True):
        if number:
            assert (ROOMS.parents[1] / file).read_text(encoding="utf-8").splitlines()[number - 1] == line


@pytest.mark.parametrize("path", sorted(ROOMS.rglob("*.js")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_script_is_read_in_one_sitting(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MOST_LINES
    assert not [number for number, line in enumerate(lines, 1) if len(line) > MOST_COLUMNS]
