"""Knobs come from strangers (a page, a link, a file), so their types are checked before anything is computed."""

from __future__ import annotations

from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

LARGEST = 1e300  # every number up to here is finite as a float, also an int
WORDS = {
    int: "a whole number",
    int | None: "a whole number or nothing",
    float: "a finite number",
    float | None: "a finite number or nothing",
    bool: "true or false",
    str: "a word",
}


def check_types(config: Any, error: type[ValueError]) -> None:
    """Raise `error` where a field of the dataclass `config` does not hold a value of its declared type.

    JSON does not distinguish 1 from 1.0, so an int may stand for a float. True is not a number; numbers are finite.
    """
    for name, hint in get_type_hints(type(config)).items():
        if not _fits(getattr(config, name), hint):
            raise error(f"{name} must be {WORDS.get(hint, 'of the kind that its default is')}.")


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any:
        return True
    if get_origin(hint) is UnionType:
        return any(_fits(value, kind) for kind in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(value, tuple)  # the config checks its contents, and has better words for them
    if get_origin(hint) is Literal:
        return isinstance(value, str)  # the config checks which words, and can list them
    if hint in (int, float):
        number = isinstance(value, int if hint is int else (int, float)) and not isinstance(value, bool)
        return number and abs(value) <= LARGEST  # NaN compares false
    return isinstance(value, hint)
