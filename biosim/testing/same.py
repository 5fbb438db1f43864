"""Are two results the same, bit for bit? If not, the first places where they differ.

Why bytes and not `==`: a law promises the same bits, so that 0.0 and -0.0 differ and a nan is
equal to itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

MOST_DIFFERENCES = 3


def assert_same(got: object, expected: object, claim: str) -> None:
    """Compare nested containers, tensors and plain objects, attribute by attribute.

    Args:
        got: what a changed way of running gave.
        expected: what the plain way gave.
        claim: what should have made no difference; the head of the message.

    Raises:
        AssertionError: something differs; says where, by how much, and in how many entries.
    """
    found = list(islice(differences(got, expected, ""), MOST_DIFFERENCES))
    if found:
        raise AssertionError(f"{claim}, but: " + "; ".join(found))


def differences(got: object, expected: object, path: str) -> Iterator[str]:
    """Yield one line for every place where the two differ."""
    here = path or "the result"
    if type(got) is not type(expected):
        yield f"{here} is a {type(got).__name__}, expected a {type(expected).__name__}"
    elif isinstance(got, Tensor) and isinstance(expected, Tensor):
        yield from _tensors(got, expected, here)
    elif isinstance(got, np.ndarray) and isinstance(expected, np.ndarray):
        yield from _tensors(torch.from_numpy(got), torch.from_numpy(expected), here)
    elif isinstance(got, Mapping) and isinstance(expected, Mapping):
        if got.keys() != expected.keys():
            yield f"{here} has {sorted(map(str, got))}, expected {sorted(map(str, expected))}"
        for key in [key for key in expected if key in got]:
            yield from differences(got[key], expected[key], f"{path}[{key!r}]")
    elif isinstance(got, list | tuple) and isinstance(expected, list | tuple):
        if len(got) != len(expected):
            yield f"{here} has {len(got)} entries, expected {len(expected)}"
        for i, (one, other) in enumerate(zip(got, expected, strict=False)):
            yield from differences(one, other, f"{path}[{i}]")
    else:
        mine, theirs = _attributes(got), _attributes(expected)
        if mine:
            yield from differences(mine, theirs, path)
        elif type(got).__eq__ is not object.__eq__ and not callable(got) and got != expected:
            yield f"{here} is {got!r}, expected {expected!r}"


def _tensors(got: Tensor, expected: Tensor, path: str) -> Iterator[str]:
    if (got.dtype, got.shape) != (expected.dtype, expected.shape):
        yield (
            f"{path} is {tuple(got.shape)} of {got.dtype}, "
            f"expected {tuple(expected.shape)} of {expected.dtype}"
        )
    elif not torch.equal(_bytes(got), _bytes(expected)):
        n = int((_bytes(got) != _bytes(expected)).any(dim=1).sum())
        apart = (got.double() - expected.double()).abs().max()
        yield f"{path} differs in {n} of {got.numel()} entries, by up to {float(apart):.3g}"


def _bytes(tensor: Tensor) -> Tensor:
    """Return the bytes of each entry: (n_entries, n_bytes)."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    if not flat.numel():  # what has no entries has any stride, and no view
        return torch.empty((0, flat.element_size()), dtype=torch.uint8)
    return flat.view(torch.uint8).reshape(flat.numel(), flat.element_size())


def _attributes(thing: object) -> dict[str, Any]:
    """Return what an object is made of; of a dataclass its fields, without what it caches."""
    if isinstance(thing, type | partial):
        return {}
    if is_dataclass(thing):
        return {field.name: getattr(thing, field.name) for field in fields(thing)}
    slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    found = {name: getattr(thing, name) for name in slots if hasattr(thing, name)}
    return found | getattr(thing, "__dict__", {})
