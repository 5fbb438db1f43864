"""Runs a network in Brian2 and hands back what biosim would, at the same ticks."""

from __future__ import annotations

import importlib
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from biosim.brian_twin.build import Built, build, variables_of
from biosim.equations.brian import brian
from biosim.network import Network, NetworkError
from biosim.spiking.description import StepCurrent
from biosim.spiking.recording import Spikes
from biosim.spiking.start import Outcome, Start, in_order

Codegen = Literal["numpy", "cython", "cpp_standalone"]


def run(
    network: Network,
    start: Start,
    ticks: int,
    *,
    codegen: Codegen = "numpy",
    replay: Mapping[str, Spikes] | None = None,
    counts: Mapping[str, npt.NDArray[np.int64]] | None = None,
    sample: Mapping[str, Sequence[str]] | None = None,
    every: int = 1,
) -> Outcome:
    """Build the same network in Brian2 and run ticks [0, ticks).

    Args:
        network: spiking populations, random and listed sources, sparse projections, stimuli.
        start: connectivity and start values; Brian2 draws nothing.
        ticks: how long.
        codegen: Brian2's code: "numpy" needs no compiler.
        replay: spikes of each `PoissonSource` population, since Brian2 draws otherwise.
        counts: name of a `PoissonInput` -> (>= ticks, size) spikes drawn at each tick.
        sample: population -> variables or subexpressions to sample.
        every: ticks from sample to sample.

    Returns:
        Spikes, samples, and the state after tick `ticks - 1`: what is due at tick `ticks` has
        not been delivered.

    Raises:
        NetworkError: the network has something that Brian2 cannot be given: graded populations,
            noise, random sources without a replay.
    """
    with _session(codegen) as (brian2, directory):
        built = build(brian2, network, start, ticks, replay or {}, counts or {})
        spikes = {
            name: brian2.SpikeMonitor(group)
            for name, group in built.groups.items()
            if "spike" in group.events
        }
        samples = {
            name: brian2.StateMonitor(
                built.groups[name],
                list(variables),
                record=True,
                when="start",
                order=1,
                dt=every * built.clock.dt,
            )
            for name, variables in (sample or {}).items()
        }
        whole = brian2.Network(
            *built.groups.values(),
            *built.synapses.values(),
            *spikes.values(),
            *samples.values(),
        )
        _advance(built, whole, [s for s in network.stimuli if isinstance(s, StepCurrent)], ticks)
        if codegen == "cpp_standalone":
            brian2.device.build(directory=directory, compile=True, run=True)
        dt = built.clock.dt_
        return Outcome(
            ticks=ticks,
            spikes={
                name: in_order(np.rint(np.asarray(spikes[name].t_) / dt), spikes[name].i)
                if name in spikes
                else in_order([], [])
                for name in built.groups
            },
            variables={
                name: {variable: _values(group, variable) for variable in variables_of(group)}
                for name, group in built.groups.items()
            },
            synapses={
                name: {variable: _values(synapses, variable) for variable in _kept(synapses)}
                for name, synapses in built.synapses.items()
            },
            samples={
                name: {v: np.array(getattr(samples[name], f"{v}_")).T for v in variables}
                for name, variables in (sample or {}).items()
            },
            every=every,
        )


def _advance(built: Built, whole: Any, currents: Sequence[StepCurrent], ticks: int) -> None:
    """Run Brian2 in stretches: parameters change between them."""
    changes: dict[int, list[tuple[StepCurrent, npt.NDArray[np.float64]]]] = {}
    for current in currents:
        for tick, value in zip(current.ticks, np.asarray(current.values), strict=True):
            changes.setdefault(int(tick), []).append((current, value))
    last = ticks - 1
    stops = sorted({0, last, ticks} | {tick for tick in changes if tick < ticks})
    for begin, end in pairwise(stops):
        for current, value in changes.get(begin, ()):
            group = built.groups[current.target]
            setattr(group, f"{current.variable}_", np.broadcast_to(value, len(group)).copy())
        if begin == last:
            # Brian2 delivers and resets at the end of the last step; biosim at the beginning of
            # the tick after it.
            _stop_before_delivery(built)
        whole.run((end - begin) * built.clock.dt, namespace={})


def _stop_before_delivery(built: Built) -> None:
    for synapses in built.synapses.values():
        for pathway in (synapses.pre, getattr(synapses, "post", None)):
            if pathway is not None:
                pathway.active = False
    for group in built.groups.values():
        for resetter in getattr(group, "resetter", {}).values():
            resetter.active = False
    for stimulus in built.inputs:
        stimulus.active = False


def _values(group: Any, variable: str) -> npt.NDArray[np.float64]:
    return np.array(getattr(group, f"{variable}_"), dtype=np.float64)


def _kept(synapses: Any) -> list[str]:
    lazy = synapses.event_driven.diff_eq_names if synapses.event_driven else set()
    equations = synapses.equations
    return sorted((equations.diff_eq_names | equations.parameter_names) - lazy)


@contextmanager
def _session(codegen: Codegen) -> Iterator[tuple[Any, str]]:
    """Brian2, imported late and silently, with its settings put back afterwards."""
    # Brian2 prints every argument of exprel() into a message that nobody sees, at every step.
    brief = np.printoptions(threshold=1, edgeitems=1)
    with warnings.catch_warnings(), brief, tempfile.TemporaryDirectory() as directory:
        # Brian2 2.9 uses names that newer versions of its parser deprecate.
        warnings.simplefilter("ignore")
        brian()  # imports Brian2 without what it does to warnings and exceptions
        brian2: Any = importlib.import_module("brian2")
        # Of a network that was refused, which never ran.
        brian2.BrianLogger.suppress_name("unused_brian_object")
        before = brian2.prefs.codegen.target
        if codegen == "cpp_standalone":
            brian2.set_device("cpp_standalone", directory=directory, build_on_run=False)
        else:
            brian2.prefs.codegen.target = codegen
        try:
            yield brian2, directory
        except Exception as error:
            if not _refuses(brian2, error):
                raise
            raise NetworkError(f"Brian2 refuses the network: {_root(error)}") from error
        finally:
            brian2.prefs.codegen.target = before
            if codegen == "cpp_standalone":
                brian2.device.reinit()
                brian2.set_device("runtime")


def _refuses(brian2: Any, error: Exception) -> bool:
    """Whether Brian2 raised it because of what it was given."""
    kinds = (
        brian2.BrianObjectException,
        brian2.DimensionMismatchError,
        brian2.equations.equations.EquationError,
        SyntaxError,
        NotImplementedError,
    )
    return isinstance(error, kinds)


def _root(error: BaseException) -> BaseException:
    """Return what an exception was first raised for."""
    return error if error.__cause__ is None else _root(error.__cause__)
