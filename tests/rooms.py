"""The picture of the rooms in docs/architecture.md. Run as a script, `python -m tests.rooms`: puts it there anew."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLAYGROUND = ROOT / "playground"
UI = PLAYGROUND / "ui"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
DRAWN = re.compile(r"(?<=^```mermaid\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)


def imports(path: Path) -> Iterator[str]:
    """Modules of this project that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "playground":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(module: str, pairs: list[tuple[str, str]]) -> str:
    """Where a module belongs in the picture; files of `playground` itself that import nothing of ours are one box."""
    names = module.split(".")
    if names[0] == "app":
        return "app"
    if names[1] == "ui":
        return f"ui/{names[2]}" if len(names) > 2 and (UI / names[2]).is_dir() else "ui"
    alone = not (PLAYGROUND / names[1]).is_dir() and all(".".join(names[:2]) != importer for importer, _ in pairs)
    return "common" if alone else names[1]


def picture() -> str:
    """The rooms as Mermaid draws them: who imports whom, without the arrows that follow from others."""
    files = [ROOT / "app.py", *PLAYGROUND.rglob("*.py")]
    pairs = [
        (".".join(path.relative_to(ROOT).with_suffix("").parts), other) for path in files for other in imports(path)
    ]
    edges = {(room(a, pairs), room(b, pairs)) for a, b in pairs}
    edges = {(a, b) for a, b in edges if a != b}

    def reached(start: str, without: tuple[str, str]) -> set[str]:
        seen, waiting = set[str](), [start]
        while waiting:
            here = waiting.pop()
            new = {b for a, b in edges if a == here and (a, b) != without} - seen
            seen |= new
            waiting += new
        return seen

    kept = sorted((a, b) for a, b in edges if b not in reached(a, (a, b)))
    named = sorted({name for edge in kept for name in edge if "/" in name})  # a slash is no part of Mermaid's own names
    lines = [f'  {name.replace("/", "_")}["{name}"]' for name in named]
    lines += [f"  {a.replace('/', '_')} --> {b.replace('/', '_')}" for a, b in kept]
    return "\n".join(["flowchart TD", *lines, ""])


if __name__ == "__main__":
    ARCHITECTURE.write_text(DRAWN.sub(picture(), ARCHITECTURE.read_text("utf-8"), count=1), "utf-8")
