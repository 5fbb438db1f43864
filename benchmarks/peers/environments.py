"""One virtual environment a peer, under `.bench/`, made at first use.

A peer that cannot be installed is skipped with the reason: `Missing`. What is installed is held
against the recipe, so an environment is made anew only when its recipe or the interpreter
changes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / ".bench"
STAMP = "ready"


class Missing(Exception):
    """A peer cannot be had on this machine; the message is the reason, on one line."""


@dataclass(frozen=True, eq=False)
class Peer:
    """What makes one simulator run.

    Args:
        name: of the folder under `.bench/`.
        package: what the versions are told of.
        installs: arguments of `pip install`, one call each, in this order.
        modules: importable names -> source text, written into the environment.
        programs: what must be on the PATH.
        proof: Python statements that succeed when the peer works.
    """

    name: str
    package: str
    installs: tuple[tuple[str, ...], ...]
    proof: str
    modules: Mapping[str, str] = field(default_factory=dict)
    programs: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return BENCH / self.name

    @property
    def recipe(self) -> str:
        """A digest of all that decides what is installed."""
        parts = (sys.version, self.installs, sorted(self.modules.items()), self.proof)
        return hashlib.sha256(repr(parts).encode()).hexdigest()


NEST = Peer(
    name="nest",
    package="nest-simulator",
    # Its dependencies (cython, matplotlib) are for extension modules and figures.
    installs=(("--no-deps", "nest-simulator==3.10.0"), ("numpy<2.4",)),
    proof="import nest",
)

BRIAN2 = Peer(
    name="brian2",
    package="brian2",
    # With numpy 2.4, `import brian2` fails on `ndarray.ptp`.
    installs=(("brian2==2.9.0", "numpy<2.4"),),
    proof="import brian2",
    programs=("g++", "make"),
)

# BindsNET imports torchvision for its data sets only, and torchvision has no build for the CPU
# edition of torch 2.13. What a data set would need is named here and does nothing.
TORCHVISION = {
    "torchvision/__init__.py": "from . import datasets, models, transforms, utils\n",
    "torchvision/datasets/__init__.py": (
        "def __getattr__(name):\n"
        "    if name.startswith('__'):\n"
        "        raise AttributeError(name)\n"
        "    return type(name, (), {})\n"
    ),
    "torchvision/datasets/folder.py": "def default_loader(path):\n    raise NotImplementedError\n",
    "torchvision/datasets/utils.py": "",
    "torchvision/models/__init__.py": "",
    "torchvision/transforms/__init__.py": "",
    "torchvision/utils.py": "def make_grid(*images):\n    raise NotImplementedError\n",
}

BINDSNET = Peer(
    name="bindsnet",
    package="bindsnet",
    installs=(
        ("torch==2.13.0", "numpy<2.4"),
        ("--no-deps", "bindsnet==0.3.4"),
        # What `import bindsnet` asks for, used here or not; the rest it does without.
        ("gymnasium", "matplotlib", "opencv-python-headless", "pandas", "scikit-learn"),
        ("--no-deps", "ale-py"),
        ("tensorboardX", "tqdm"),
    ),
    modules=TORCHVISION,
    proof="from bindsnet.models import DiehlAndCook2015",
)

PEERS = (NEST, BRIAN2, BINDSNET)


def python_of(peer: Peer) -> Path:
    """Return the peer's interpreter; make its environment if there is none.

    Raises:
        Missing: the peer cannot be installed, or does not work once it is.
    """
    found = _found(peer)
    if isinstance(found, Missing):
        raise found
    return found


@cache
def _found(peer: Peer) -> Path | Missing:
    """Return the interpreter, or why there is none; a failure is not tried again and again."""
    try:
        return _installed(peer)
    except Missing as reason:
        return reason


def _installed(peer: Peer) -> Path:
    for program in peer.programs:
        if shutil.which(program) is None:
            raise Missing(f"{peer.package} needs {program}, which is not on the PATH")
    python = peer.folder / "bin" / "python"
    stamp = peer.folder / STAMP
    if stamp.is_file() and stamp.read_text() == peer.recipe and python.exists():
        return python
    BENCH.mkdir(exist_ok=True)
    # Gigabytes of others' work, which no commit may ever take in.
    (BENCH / ".gitignore").write_text("*\n")
    print(f"Installing {peer.package} into {peer.folder.relative_to(ROOT)}", flush=True)
    shutil.rmtree(peer.folder, ignore_errors=True)
    _call(peer, sys.executable, "-m", "venv", str(peer.folder))
    for arguments in peer.installs:
        _call(peer, str(python), "-m", "pip", "install", "--quiet", *arguments)
    where = _call(
        peer, str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"
    ).strip()
    for name, text in peer.modules.items():
        path = Path(where) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    _call(peer, str(python), "-c", peer.proof)
    stamp.write_text(peer.recipe)
    return python


def version_of(peer: Peer) -> str:
    """Return the version that is installed."""
    program = f"from importlib.metadata import version; print(version({peer.package!r}))"
    return _call(peer, str(python_of(peer)), "-c", program).strip()


def variables(threads: int) -> dict[str, str]:
    """Return the environment of a measurement: as many threads as asked for, and no more."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    # The peers' interpreters must not see this one's packages.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**kept, **dict.fromkeys(names, str(threads))}


def _call(peer: Peer, *command: str) -> str:
    """Run a command; its failure is the reason why the peer is missing."""
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=BENCH.parent, env=variables(1)
    )
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        last = said[-1].strip() if said else "no message"
        raise Missing(f"{peer.package}: `{' '.join(command)[-120:]}` failed: {last}")
    return done.stdout
