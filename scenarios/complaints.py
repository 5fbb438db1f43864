"""What to say of tables that do not hold: the place, what came, what was expected."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError


def complaints(problem: ValidationError, above: tuple[str, ...], model: type[BaseModel]) -> str:
    """Return one line for everything that is wrong with some tables.

    Args:
        problem: what pydantic found.
        above: keys that lead to the tables.
        model: what the tables were held against.
    """
    said: dict[str, list[str]] = {}
    for error in problem.errors():
        # Past the key, the location names the alternatives that were tried, or an item.
        keys = _keys(error["loc"], model)
        place = ".".join((*above, *keys))
        if error["type"] == "extra_forbidden":
            message = "unknown key" + nearest(keys[-1], _known(keys[:-1], model))
        elif error["type"] == "missing":
            message = "is missing; give it"
        else:
            message = error["msg"].removeprefix("Value error, ")
            what = message.removeprefix("Input should be ")
            what = what.replace("a valid tuple", "a list, such as [32, 32]")
            if error["type"] == "model_type":
                what = _table(error["loc"], model)
            expected = "" if what == message else "expected "
            # A whole table would be a page; its own check names the key.
            whole = error["type"] == "value_error" and isinstance(error["input"], Mapping)
            message = what if whole else f"got {error['input']!r}; {expected}{what}"
        said.setdefault(place, []).append(message)
    return "; ".join(
        f"{place}: {messages[0]}"
        + "".join(" or " + more for m in messages[1:] if (more := m.partition("expected ")[2]))
        for place, messages in said.items()
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a message: the name that was probably meant, or all that are known."""
    names = list(known)
    near = difflib.get_close_matches(name.lower(), names, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known are {', '.join(names)}" if names else ""


def _keys(location: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    keys: list[str] = []
    here: Any = model
    for part in location:
        keys.append(str(part))
        here = _inside(here, part)
        if here is None:
            break
    return keys


def _table(location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """Return what a table has to be, by the keys that it cannot do without."""
    here: Any = model
    for part in location:
        here = None if here is None else _inside(here, part)
    table = isinstance(here, type) and issubclass(here, BaseModel)
    fields = here.model_fields if table else {}
    needed = ", ".join(f"{key} = ..." for key, field in fields.items() if field.is_required())
    return f"a table, such as {{ {needed} }}" if needed else "a table"


def _known(keys: list[str], model: type[BaseModel]) -> list[str]:
    here: Any = model
    for key in keys:
        here = _inside(here, key)
    return list(here.model_fields)


def _inside(kind: Any, part: int | str) -> Any:
    """Return the kind of table that stands at a key of a kind of table; None if none does."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(part))
        found = None if field is None else field.annotation
    else:
        found = get_args(kind)[1 if issubclass(get_origin(kind), Mapping) else 0]
    if get_origin(found) in (Union, types.UnionType):
        alone = [each for each in get_args(found) if each is not type(None)]
        found = alone[0] if len(alone) == 1 else None
    return found if _leads_on(found) else None


def _leads_on(kind: Any) -> bool:
    """Whether there are tables below: it is one, or a collection of some."""
    origin = get_origin(kind)
    if isinstance(origin, type) and issubclass(origin, Mapping | Sequence):
        return any(_leads_on(each) for each in get_args(kind))
    return isinstance(kind, type) and issubclass(kind, BaseModel)
