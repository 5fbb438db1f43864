"""Source text to compiled functions, cached on disk.

The text is written to a file named after its content and imported from there, so that numba's
own cache applies to it. The name also covers biosim's kernels and the versions of what compiles
them: a changed kernel is another file. Files are made whole beside their place and then put
there by a link, which fails if another process was first: many may start at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from types import ModuleType

import llvmlite
import numba

from biosim.equations.cache import directory

_HEADER = '''"""Made by biosim from a network's description."""

import numpy as np

from biosim.kernels.delivery import *
from biosim.kernels.functions import *
from biosim.kernels.noise import *
from biosim.kernels.sources import *
from biosim.kernels.threads import *
from biosim.kernels.decorators import cached as compiled, part

F = np.{precision}
I = np.{sums}
DT = {dt!r}
GREATEST = np.finfo(F).max

'''

_IMPORTING = threading.Lock()
"""Ranks may be threads of one process; none may see a module that is half imported."""


def module_of(text: str, precision: str, dt: float) -> ModuleType:
    """Return the module of generated kernels; compiled at the first call of each.

    Args:
        text: functions marked `@compiled`, or `@part` where only those call them.
        precision: "float32" or "float64".
        dt: length of a tick in seconds.
    """
    sums = "int32" if precision == "float32" else "int64"
    source = _HEADER.format(precision=precision, sums=sums, dt=dt) + text
    digest = hashlib.blake2b(f"{_kernels()}\n{source}".encode(), digest_size=12).hexdigest()
    name = f"biosim_kernels_{digest}"
    with _IMPORTING:
        return _imported(name, source)


def _imported(name: str, source: str) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    path = directory() / "kernels" / f"{name}.py"
    try:
        _put(path, source)
    except OSError:
        # A cache that cannot be written is no reason not to run.
        path = Path(tempfile.mkdtemp(prefix="biosim-")) / f"{name}.py"
        _put(path, source)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _put(path: Path, source: str) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False) as file:
        file.write(source)
    # numba takes a file of another age for another file.
    os.utime(file.name, (0, 0))
    with contextlib.suppress(FileExistsError):
        os.link(file.name, path)
    os.unlink(file.name)


@cache
def _kernels() -> str:
    digest = hashlib.blake2b(f"{numba.__version__} {llvmlite.__version__}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
