"""The state of an actor as a tree of plain values, beside which its arrays are stored.

Why not pickle: what is stored must be readable by any program, and by the next version of this
one, and must run no code when it is read.

What has a list `state_names` is stored as these attributes. Where an object of that kind is there
already, as the synapses of a population that was built anew, it takes them over; one that comes
and goes, such as what a layer keeps of a minibatch, is made anew from the kinds that its actor
lists as `state_types`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biosim.errors import OutputError
from biosim.events import Event, Presentation

Array = npt.NDArray[Any]
Node = Any
"""None, a bool, a number, text, or a list or dict of nodes: what JSON can hold."""

TUPLES: Mapping[str, type] = {"Event": Event, "Presentation": Presentation}
"""Tuples with names that any state may hold."""


def tree_of(value: Any, path: str, arrays: dict[str, Array]) -> Node:
    """Return a value as a tree; what it has of arrays is put beside it.

    Args:
        value: the state of an actor, or a part of it.
        path: under which its arrays are put.
        arrays: path -> array; added to.

    Raises:
        TypeError: the state holds what is no plain value and has no `state_names`.
    """
    if value is None or isinstance(value, str | bool | int | float):
        # Of an enumeration, its number: what takes it in is a tuple that knows it.
        return int(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(value, torch.Tensor):
        arrays[path] = value.detach().cpu().numpy()
        return {"tensor": path, "on": value.device.type}
    if isinstance(value, np.ndarray):
        arrays[path] = value
        return {"array": path}
    names = getattr(value, "state_names", None)
    if names is not None:
        of = {name: tree_of(getattr(value, name), f"{path}/{name}", arrays) for name in names}
        return {"is": type(value).__name__, "of": of}
    if isinstance(value, dict):
        pairs = [
            [tree_of(key, f"{path}/{n}-key", arrays), tree_of(each, _below(path, key, n), arrays)]
            for n, (key, each) in enumerate(value.items())
        ]
        return {"pairs": pairs}
    if isinstance(value, list | tuple):
        members = [tree_of(each, f"{path}/{n}", arrays) for n, each in enumerate(value)]
        if isinstance(value, list):
            return members
        kind = type(value).__name__
        if type(value) is not tuple and TUPLES.get(kind) is not type(value):
            raise TypeError(f"{path} holds a {kind}, which a checkpoint cannot store")
        return {"tuple": members} if type(value) is tuple else {"named": kind, "values": members}
    raise TypeError(
        f"{path} holds a {type(value).__name__}, which a checkpoint cannot store; list its "
        "attributes in state_names"
    )


class Taken:
    """Values from trees.

    Args:
        arrays: path -> array.
        device: of tensors that were not on the CPU.
        types: name -> what comes and goes in a state.
    """

    def __init__(
        self, arrays: Mapping[str, Array], device: str = "cpu", types: tuple[type, ...] = ()
    ) -> None:
        self._arrays, self._device = arrays, device
        self._types = {each.__name__: each for each in types}

    def value(self, node: Node, there: Any = None) -> Any:
        """Return the value of a tree.

        Args:
            node: the tree.
            there: the value in a simulation that was built anew; objects in it take over what
                is stored.

        Raises:
            OutputError: the tree is none that `tree_of` made.
        """
        if isinstance(node, list):
            return [self.value(each) for each in node]
        if not isinstance(node, dict):
            return node
        if "tensor" in node:
            tensor = torch.from_numpy(self._array(node["tensor"]))
            return tensor if node["on"] == "cpu" else tensor.to(self._device)
        if "array" in node:
            return self._array(node["array"])
        if "pairs" in node:
            known = there if isinstance(there, dict) else {}
            keyed = ((self.value(key), each) for key, each in node["pairs"])
            return {key: self.value(each, known.get(key)) for key, each in keyed}
        if "tuple" in node:
            return tuple(self.value(each) for each in node["tuple"])
        if "named" in node and node["named"] in TUPLES:
            return TUPLES[node["named"]](*map(self.value, node["values"]))
        if "is" in node:
            return self._object(node, there)
        raise OutputError(f"a checkpoint holds {sorted(node)}, which this version does not know")

    def _object(self, node: dict[str, Any], there: Any) -> Any:
        kind = node["is"]
        if type(there).__name__ != kind:
            if kind not in self._types:
                raise OutputError(
                    f"a checkpoint holds a {kind} where a new simulation has "
                    f"{type(there).__name__}; take one of the same network"
                )
            there = object.__new__(self._types[kind])
        for name, each in node["of"].items():
            setattr(there, name, self.value(each, getattr(there, name, None)))
        return there

    def _array(self, path: str) -> Array:
        if path not in self._arrays:
            raise OutputError(f"a checkpoint lacks the array {path}")
        return self._arrays[path]


def _below(path: str, key: Any, n: int) -> str:
    """Return where the arrays of the n-th entry of a dict go: by its key if that is plain."""
    plain = isinstance(key, int) or (isinstance(key, str) and key.isidentifier())
    return f"{path}/{key}" if plain else f"{path}/{n}-value"
