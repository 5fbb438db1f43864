"""From the table of a projection to descriptions of synapses, one for each pair of populations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from zipfile import BadZipFile

import numpy as np

from biosim.errors import BiosimError, ScenarioError
from biosim.events import Kind
from biosim.network import Projection
from biosim.spiking.description import Normal, Sparse, SynapseModel, Uniform
from biosim.wiring import (
    AllToAll,
    FixedInDegree,
    FixedProbability,
    FixedTotal,
    OneToOne,
    Pairs,
    Wiring,
    from_matrix,
    from_table,
)
from biosim.wiring.values import LONGEST
from scenarios.spiking.schema import Drawn, Plasticity, ProjectionTable
from scenarios.spiking.schema import Wiring as WiringTable
from scenarios.spiking.values import Values, of_a_synapse, tidy


def projections(
    name: str, table: ProjectionTable, sizes: Mapping[str, int], values: Values
) -> list[Projection]:
    """Return the projections of a table; those of probability or number 0 are left out.

    Args:
        name: of the table; where it joins several populations, "name source->target" is that of
            each projection.
        table: from one population to another, or from several to several.
        sizes: population -> neurons.
        values: reads texts.

    Raises:
        BiosimError: a value is impossible; the message names its place.
    """
    place = f"projections.{name}"
    alone = isinstance(table.source, str) and isinstance(table.target, str)
    sources = (table.source,) if isinstance(table.source, str) else table.source
    targets = (table.target,) if isinstance(table.target, str) else table.target
    delay, own_delay = _delay(table, place, values)
    synapse = None if table.plasticity is None else _synapse(table.plasticity, place, values)
    made = []
    for row, target in enumerate(targets):
        for column, source in enumerate(sources):
            own = name if alone else f"{name} {source}->{target}"
            wiring = _at(table.wiring, row, column, (len(targets), len(sources)), place)
            if wiring is None:
                continue
            rule, listed = _wiring(wiring, sizes[source], sizes[target], place, values)
            try:
                rule.check(sizes[source], sizes[target], own)
            except BiosimError as problem:
                raise ScenarioError(f"{place}.wiring: {problem}") from None
            weight = _weight(table, listed, place, values)
            sparse = Sparse(rule, weight, own_delay, synapse)
            made.append(
                Projection(own, source, target, "spikes", table.receptor, Kind.SPIKE, delay, sparse)
            )
    return made


def _at(
    table: WiringTable, row: int, column: int, shape: tuple[int, int], place: str
) -> WiringTable | None:
    """Return what of a wiring holds for a pair of populations; None if nothing does."""
    found = {}
    for key in ("p", "n"):
        matrix = getattr(table, key)
        if not isinstance(matrix, tuple):
            continue
        if len(matrix) != shape[0] or any(len(line) != shape[1] for line in matrix):
            raise ScenarioError(
                f"{place}.wiring.{key}: got rows of {', '.join(str(len(r)) for r in matrix)} "
                f"numbers; expected {shape[0]} rows, one a target, of {shape[1]}, one a source"
            )
        found[key] = matrix[row][column]
        if found[key] == 0:
            return None
    return table.model_copy(update=found)


def _wiring(
    table: WiringTable, n_pre: int, n_post: int, place: str, values: Values
) -> tuple[Wiring, Any]:
    """Return the rule of a wiring, and the weights that are listed with it or None."""
    place = f"{place}.wiring"
    match table.rule:
        case "all_to_all":
            return AllToAll(table.selves is not False), None
        case "one_to_one":
            return OneToOne(), None
        case "fixed_probability":
            return FixedProbability(
                _chance(table.p, place, values), table.selves is not False
            ), None
        case "fixed_in_degree":
            n = values.whole(table.n, place, "n", least=0)  # type: ignore[arg-type]
            return FixedInDegree(n, table.selves is not False, table.multiple is not False), None
        case "fixed_total" if table.n is not None:
            return FixedTotal(values.whole(table.n, place, "n", least=0)), None  # type: ignore[arg-type]
        case "fixed_total":
            p = _chance(table.p, place, values)
            if p == 1.0:
                raise ScenarioError(
                    f"{place}.p: got {table.p!r}, which no number of synapses drawn with "
                    "repetition reaches; expected less than 1, or rule all_to_all"
                )
            return FixedTotal(total(p, n_pre, n_post)), None
        case "pairs":
            listed = Pairs(np.array(table.sources, int), np.array(table.targets, int))
            if len(listed.pre) != len(listed.post):  # type: ignore[arg-type]
                raise ScenarioError(
                    f"{place}: got {len(table.sources or ())} sources and "
                    f"{len(table.targets or ())} targets; expected as many of each"
                )
            weights = None if table.weights is None else np.array(table.weights)
            if weights is not None and len(weights) != len(table.sources or ()):
                raise ScenarioError(
                    f"{place}.weights: got {len(weights)} for {len(table.sources or ())} pairs; "
                    "expected one for each"
                )
            return listed, weights
        case "table":
            return _table(table, place)
        case "matrix":
            return from_matrix(_matrix(str(table.file), place))
    raise AssertionError(table.rule)


def total(p: float, n_pre: int, n_post: int) -> int:
    """Return how many synapses, drawn with repetition, join each pair with chance p, below 1.

    Potjans and Diesmann 2014, eq. 1. Of a single pair the formula's limit is taken.
    """
    if p == 0.0 or n_pre * n_post == 1:
        return 0
    return round(math.log1p(-p) / math.log1p(-1.0 / (n_pre * n_post)))


def _chance(given: Any, place: str, values: Values) -> float:
    p = values.number(given, place, "p")
    if not 0.0 <= p <= 1.0:
        raise ScenarioError(f"{place}.p: got {given!r}; expected a probability, 0 to 1")
    return p


def _table(table: WiringTable, place: str) -> tuple[Pairs, Any]:
    columns = {"source": "source", "target": "target", **(table.columns or {})}
    ends = columns["source"], columns["target"]
    weight = columns.get("weight")
    try:
        read = from_table(str(table.file), *ends, weight, table.names, table.only)
    except BiosimError as problem:
        raise type(problem)(f"{place}.file: {problem}") from None
    return read.wiring, None if weight is None else read.weights


def _matrix(file: str, place: str) -> Any:
    from scipy import sparse

    try:
        with open(file, "rb") as archive:  # which else a damaged one leaves open
            return sparse.load_npz(archive)
    except (OSError, ValueError, KeyError, BadZipFile) as problem:
        raise ScenarioError(
            f"{place}.file: {file} cannot be read as a sparse matrix ({problem}); expected what "
            "scipy.sparse.save_npz writes"
        ) from None


def _weight(table: ProjectionTable, listed: Any, place: str, values: Values) -> Any:
    given = table.weight
    if listed is not None:
        if isinstance(given, Drawn) or (isinstance(given, str) and of_a_synapse(given)):
            raise ScenarioError(
                f"{place}.weight: got {given!r} beside listed weights; expected one value, by "
                "which they are multiplied"
            )
        return listed * values.quantity(given, place, "weight")
    return _drawn(given, values) if isinstance(given, Drawn) else values.filled(given)


def _delay(table: ProjectionTable, place: str, values: Values) -> tuple[int, Any]:
    """Return the delay of all synapses in ticks, and None or what each synapse has."""
    given = table.delay
    if given is None:
        return 1, None
    if isinstance(given, Drawn):
        return 1, _drawn(given, values)
    if isinstance(given, tuple):
        ticks = [values.ticks(each, place, "delay", most=LONGEST) for each in given]
        return 1, np.array(ticks) * values.dt_s
    if of_a_synapse(given):
        return 1, values.filled(given)
    return values.ticks(given, place, "delay", most=LONGEST), None


def _drawn(given: Drawn, values: Values) -> Normal | Uniform:
    if given.uniform is not None:
        return Uniform(*map(values.filled, given.uniform))
    return Normal(*map(values.filled, given.normal or ()))


def _synapse(given: Plasticity, place: str, values: Values) -> SynapseModel:
    rule = given.ruled(values.filled)
    if rule is not None:
        ruled: SynapseModel = rule.synapse()
        return ruled
    bounds = {name: tuple(map(values.filled, ends)) for name, ends in given.bounds.items()}
    texts = (given.model, given.on_pre, given.on_post, *given.constants.values())
    found = SynapseModel(
        model=given.model,
        on_pre=given.on_pre,
        on_post=given.on_post,
        constants={
            **values.used(texts),
            **{name: tidy(value) for name, value in given.constants.items()},
        },
        initial={name: values.filled(value) for name, value in given.initial.items()},
        bounds=bounds,
    )
    if given.delay_post is None:
        return found
    ticks = values.ticks(given.delay_post, f"{place}.plasticity", "delay_post", least=0)
    return replace(found, delay_post=ticks)
