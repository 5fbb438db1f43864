"""From the texts of a scenario to numbers: constants put in, units checked, ticks counted."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from biosim.equations.brian import brian, units
from biosim.equations.evaluate import evaluate_value
from biosim.equations.scope import evaluated
from biosim.equations.wording import with_product
from biosim.errors import BiosimError, ScenarioError
from scenarios.spiking.schema import Quantity

TOLERANCE = 1e-6
"""Ticks by which a given time may miss a whole number of them."""

_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")
_SECONDS = re.compile(r"(?<![\w.])([\d.]+(?:[eE][-+]?\d+)?)(\s*\*?\s*)s\b")
_OF_A_SYNAPSE = {"i", "j", "N_pre", "N_post", "rand", "randn"}


class Values:
    """What the texts of a scenario come to.

    Args:
        constants: name -> text or number, of the whole scenario.
        dt: length of a tick, as text.

    Attributes:
        dt_s: length of a tick in seconds.

    Raises:
        ScenarioError: a constant cannot be read or has a name that means something else, or the
            tick is no positive time.
    """

    def __init__(self, constants: Mapping[str, Quantity], dt: str) -> None:
        for name in constants:
            # A text that names it would silently get the constant.
            if name in _OF_A_SYNAPSE or name in units():
                raise ScenarioError(
                    f"constants.{name}: {name} is "
                    + ("a unit" if name in units() else "what differs between synapses")
                    + "; name the constant otherwise"
                )
        self._constants = {name: tidy(value) for name, value in constants.items()}
        try:
            evaluated(self._constants, "constants")
        except BiosimError as problem:
            raise ScenarioError(
                str(problem).replace("constants, constant ", "constants, ")
            ) from None
        self.dt_s = self.seconds(dt, "", "dt")
        if not (math.isfinite(self.dt_s) and self.dt_s > 0):
            raise ScenarioError(f"dt: got {dt!r}; expected a time above zero, such as '0.1 ms'")

    def used(self, texts: Iterable[Any]) -> dict[str, Quantity]:
        """Return the constants that these texts name, and those that they need in turn."""
        found: dict[str, Quantity] = {}
        waiting = list(texts)
        while waiting:
            text = waiting.pop()
            for name in _NAME.findall(text) if isinstance(text, str) else ():
                if name in self._constants and name not in found:
                    found[name] = self._constants[name]
                    waiting.append(found[name])
        return {name: value for name, value in self._constants.items() if name in found}

    def filled(self, value: Any) -> Any:
        """Return a text with the constants that it names put in; anything else as it is."""
        if not isinstance(value, str):
            return value

        def put_in(found: re.Match[str]) -> str:
            constant = self._constants.get(found[0])
            return found[0] if constant is None else f"({self.filled(constant)})"

        return _NAME.sub(put_in, tidy(value))

    def number(self, value: Quantity, table: str, key: str, unit: str = "1") -> float:
        """Return a number in the SI unit given.

        Args:
            value: text or number.
            table: where it stands, for errors: "projections.ee".
            key: its key in the table.
            unit: as Brian2 names it.

        Raises:
            ScenarioError: it cannot be read, has another unit, or is not finite.
        """
        place = f"{table}.{key}" if table else key
        try:
            found = evaluate_value(
                tidy(value), unit, whose=table, place=key, constants=self.used([value])
            )
        except BiosimError as problem:
            said = str(problem).removeprefix(f"{table}, {key}").lstrip()
            raise ScenarioError(f"{place} {said}" if said != str(problem) else said) from None
        number = np.asarray(found, dtype=np.float64)
        if number.ndim or not np.isfinite(number):
            raise ScenarioError(f"{place}: {value!r} is {found}; expected a finite number")
        return float(number)

    def whole(self, value: int | float | str, table: str, key: str, least: int = 1) -> int:
        """Return a whole number; what a text comes to is rounded.

        Raises:
            ScenarioError: it cannot be read, or is less than `least`.
        """
        number = self.number(value, table, key)
        found = math.floor(number + 0.5)
        if found < least or (not isinstance(value, str) and found != number):
            raise ScenarioError(
                f"{table}.{key}: got {value!r}{_is(value, number)}; expected a whole number, at "
                f"least {least}"
            )
        return found

    def seconds(self, value: Quantity, table: str, key: str) -> float:
        """Return a time in seconds."""
        return self.number(value, table, key, "second")

    def ticks(
        self, value: Quantity, table: str, key: str, least: int = 1, most: float = math.inf
    ) -> int:
        """Return a time in ticks.

        Raises:
            ScenarioError: it is no time, no whole number of ticks, less than `least`, or more than
                `most`.
        """
        ticks = self.seconds(value, table, key) / self.dt_s
        if abs(ticks - round(ticks)) > TOLERANCE or round(ticks) < least:
            raise ScenarioError(
                f"{table}.{key}: {value!r} is {ticks:.6g} ticks of {self.dt_s:g} s; expected a "
                f"whole number of ticks, at least {least}"
            )
        if ticks > most:
            raise ScenarioError(
                f"{table}.{key}: {value!r} is {ticks:.6g} ticks of {self.dt_s:g} s; expected at "
                f"most {most}: take a shorter time, or longer ticks"
            )
        return round(ticks)

    def nearest_tick(self, value: Quantity, table: str, key: str) -> int:
        """Return the tick nearest to a time."""
        return math.floor(self.seconds(value, table, key) / self.dt_s + 0.5)

    def quantity(self, value: Quantity, table: str, key: str) -> Any:
        """Return a value as Brian2's quantity, whatever its unit."""
        try:
            constants = {**self.used([value]), "value_itself": tidy(value)}
            number, dimension = evaluated(constants, table)["value_itself"]
        except BiosimError as problem:
            said = str(problem).removeprefix(f"{table}, constant 'value_itself'")
            raise ScenarioError(f"{table}.{key} {value!r}{said}") from None
        return brian().Quantity.with_dimensions(number, dimension)


def tidy(value: Any) -> Any:
    """Return a text as Brian2 reads it: "20*ms" for "20 ms", "1*second" for "1 s"."""
    if not isinstance(value, str):
        return value
    return with_product(_SECONDS.sub(r"\1\2second", value))


def of_a_synapse(text: str) -> bool:
    """Return whether a text names what differs between synapses."""
    names = set(_NAME.findall(text))
    return bool(names & _OF_A_SYNAPSE) or any(name.endswith(("_pre", "_post")) for name in names)


def _is(value: Any, number: float) -> str:
    return f", which is {number:g}" if isinstance(value, str) else ""
