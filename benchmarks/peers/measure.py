"""One measurement: a script in the simulator's own environment, and the JSON that it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.peers.environments import (
    BINDSNET,
    BRIAN2,
    NEST,
    ROOT,
    Missing,
    Peer,
    python_of,
    variables,
)

Measured = dict[str, Any]
Measure = Callable[..., Measured]

LIMIT_S = 900


def nest_measure(network: str, *options: str, threads: int = 1, seed: int = 1) -> Measured:
    return _peer(NEST, "nest_networks", network, *_common(threads, seed), *options)


def brian2_measure(network: str, *options: str, threads: int = 1, seed: int = 1) -> Measured:
    return _peer(BRIAN2, "brian2_networks", network, *_common(threads, seed), *options)


def bindsnet_measure(*options: str, threads: int = 1, seed: int = 1) -> Measured:
    return _peer(BINDSNET, "bindsnet_network", *_common(threads, seed), *options)


def biosim_measure(
    network: str,
    seconds: float | None = None,
    threads: int = 1,
    dtype: str = "float32",
    seed: int = 1,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Measured:
    """Run one of the five networks in biosim, in a process of its own.

    Args:
        network: a name in `NETWORKS`.
        seconds: biological; None for the network's own.
        threads: of the one rank.
        dtype: "float32" or "float64".
        seed: of everything random.
        options: more of the script's.
        environment: variables that are set beside the usual ones.

    Raises:
        Missing: the script failed; the reason is its last line.
    """
    arguments = [network, *_common(threads, seed), "--dtype", dtype, *options]
    if seconds is not None:
        arguments += ["--seconds", str(seconds)]
    return run_script(sys.executable, "biosim_networks", arguments, threads, environment)


def biosim_script(script: str, *arguments: str, threads: int = 1, seed: int = 1) -> Measured:
    """Run a script of biosim's that no peer has a twin of."""
    return run_script(sys.executable, script, [*arguments, *_common(threads, seed)], threads)


def peer_script(
    peer: Peer, script: str, *arguments: str, threads: int = 1, seed: int = 1
) -> Measured:
    """Run a script in a peer's environment."""
    return _peer(peer, script, *arguments, *_common(threads, seed))


def run_script(
    python: str,
    script: str,
    arguments: Sequence[str],
    threads: int,
    environment: Mapping[str, str] | None = None,
) -> Measured:
    """Return the JSON that `python -m benchmarks.peers.SCRIPT` prints on its last line.

    Raises:
        Missing: it failed, or took longer than `LIMIT_S`.
    """
    command = [python, "-m", f"benchmarks.peers.{script}", *arguments, "--json"]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**variables(threads), **(environment or {})},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise Missing(f"{script} {arguments[0]}: no answer in {LIMIT_S} s") from None
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        reason = said[-1].strip() if said else f"exit status {done.returncode}"
        raise Missing(f"{script} {arguments[0]}: {reason}")
    measured: Measured = json.loads(lines[-1])
    return measured


def _peer(peer: Peer, script: str, *arguments: str) -> Measured:
    threads = int(arguments[arguments.index("--threads") + 1])
    return run_script(str(python_of(peer)), script, arguments, threads)


def _common(threads: int, seed: int) -> list[str]:
    return ["--threads", str(threads), "--seed", str(seed)]
