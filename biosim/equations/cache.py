"""Scalar code on disk, by the content it was made from.

Why: making it takes sympy up to a second, and every rank of every run asks for the same. A file
is named by a hash of the description and of all that decides the outcome: the versions of Brian2
and sympy, and the sources of this package. It is written under a name of its own and then
renamed, so any number of processes may start at once; whoever finds a damaged file makes it anew.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
import tempfile
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["directory", "plain", "remembered"]

T = TypeVar("T")


def directory() -> Path:
    """Where the cache lies: $BIOSIM_CACHE, else biosim in the user's cache directory."""
    chosen = os.environ.get("BIOSIM_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "biosim"


@functools.cache
def versions() -> str:
    """A digest of everything, beside the description, that the code depends on."""
    digest = hashlib.blake2b(digest_size=16)
    for package in ("brian2", "sympy"):
        digest.update(f"{package} {importlib.metadata.version(package)};".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def plain(value: Any) -> Any:
    """A value of a description as JSON: text, number, or number with unit.

    Quantities are told apart by their dimension as well as by their number.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    dimension = getattr(value, "dim", None)
    try:
        return [float(value).hex(), repr(dimension)]
    except (TypeError, ValueError):
        return repr(value)


def key(content: Mapping[str, Any]) -> str:
    """The name of the file for a description."""
    text = json.dumps([versions(), content], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def remembered(content: Mapping[str, Any], kind: type[T], make: Callable[[], T]) -> T:
    """What `make` returns, or returned before for the same content.

    Args:
        content: JSON that decides the outcome.
        kind: the dataclass that is made.
        make: makes it. An error that it raises is not remembered.
    """
    path = directory() / "equations" / f"{key(content)}.json"
    try:
        found: T = rebuilt(kind, json.loads(path.read_text()))
    except (OSError, ValueError, TypeError, KeyError):
        found = make()
        write(path, json.dumps(dataclasses.asdict(typing.cast(Any, found))))
    return found


def write(path: Path, text: str) -> None:
    """Puts a file in place at once, or not at all; a full or closed disk is no error."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
        with os.fdopen(handle, "w") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError:
        if temporary is not None and os.path.exists(temporary):
            os.remove(temporary)


def rebuilt(kind: Any, value: Any) -> Any:
    """A value of a type from its JSON: dataclasses, tuples, dictionaries, optionals, scalars."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = hints_of(kind)
        if set(value) != set(hints):
            raise KeyError(f"fields of {kind} are {sorted(value)}")
        return kind(**{name: rebuilt(hint, value[name]) for name, hint in hints.items()})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        each = [arguments[0]] * len(value) if arguments[-1] is ... else arguments
        return tuple(rebuilt(one, part) for one, part in zip(each, value, strict=True))
    if origin is dict:
        return {name: rebuilt(arguments[1], part) for name, part in value.items()}
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        return rebuilt(next(one for one in arguments if one is not type(None)), value)
    return value


@functools.cache
def hints_of(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)
