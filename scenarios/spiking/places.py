"""Where in a scenario something stands that the machine has refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from biosim.errors import BiosimError

_NAMED = re.compile(r"\b(population|projection|input) '([^']+)'")


@contextmanager
def placed(tables: Mapping[str, str]) -> Iterator[None]:
    """Put the scenario's table before a message about a part of the network."""
    try:
        yield
    except BiosimError as problem:
        message = str(problem)
        found = _NAMED.search(message)
        if found is None:
            raise
        kind, name = found.groups()
        place = f"populations.{name}" if kind == "population" else tables.get(name, name)
        if found.start() == 0 and place.endswith(f".{name}") and message[found.end()] == ",":
            message = message[found.end() + 2 :]
        raise type(problem)(f"{place}: {message}") from None
