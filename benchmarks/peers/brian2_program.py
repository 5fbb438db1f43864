"""A network in Brian2 as a program that simulates, measures and prints, and nothing else.

Brian2 would write every array to disk at the end, which takes longer than the simulation; the
program ends before that.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brian2 as b
import numpy as np

from benchmarks.peers import activity
from benchmarks.peers.networks import DT_MS, Network

COMPILED = Path(__file__).resolve().parents[2] / ".bench" / "brian2" / "compiled"
SEED = "BENCHMARK_SEED"
COMPILE_S = "compile_s"
HEADERS = ["<algorithm>", "<chrono>", "<cmath>", "<cstdlib>", "<fstream>", "<iostream>"]


def compiled(network: Network, asked: Namespace, build: Callable[[], list[Any]]) -> Path:
    """Return the folder of the program; compile it unless that was done before.

    Args:
        network: numbers of the network.
        asked: options of the command line.
        build: makes Brian2's objects, the neurons first.
    """
    options = {k: v for k, v in vars(asked).items() if k not in ("seed", "json")}
    sources = [path.read_text() for path in sorted(Path(__file__).parent.glob("brian2*.py"))]
    digest = hashlib.sha256(repr((b.__version__, network, options, sources)).encode()).hexdigest()
    folder = COMPILED / f"{network.name}-{digest[:16]}"
    if not (folder / COMPILE_S).is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _compile(asked, build, folder)
    return folder


def run(folder: Path, neurons: int, asked: Namespace) -> dict[str, object]:
    """Run the program and return what it measured."""
    with tempfile.TemporaryDirectory() as name:
        results = Path(name)
        done = subprocess.run(
            ["./main", "--results_dir", f"{results}/"],
            cwd=folder,
            env={**os.environ, SEED: str(asked.seed)},
            check=True,
            capture_output=True,
            text=True,
        )
        printed = dict(line.split() for line in done.stdout.splitlines())
        measured: dict[str, object] = {
            "simulator": "Brian2 C++ standalone",
            "version": b.__version__,
            "neurons": neurons,
            **{k: int(v) if k in ("spikes", "synapses") else float(v) for k, v in printed.items()},
            "rate_hz": int(printed["spikes"]) / neurons / asked.seconds,
            "compile_s": float((folder / COMPILE_S).read_text()),
            **activity.memory((results / "status").read_text()),
        }
        if asked.record:
            times = np.fromfile(results / "t", np.float64)
            indices = np.fromfile(results / "i", np.int32).astype(np.int64)
            measured |= activity.of_spikes(times, indices, neurons, asked.seconds)
    return measured


def order_by_source(synapses: Any) -> None:
    """Let the program sort new synapses by source, then target; before any other variable."""
    pre, post = (_vector(synapses.variables[f"_synaptic_{side}"]) for side in ("pre", "post"))
    b.device.insert_code(
        "main",
        f"""{{
            std::vector<long> place(*std::max_element({pre}.begin(), {pre}.end()) + 2, 0);
            for (const auto k : {pre}) place[k + 1]++;
            for (size_t k = 1; k < place.size(); k++) place[k] += place[k - 1];
            std::vector<int32_t> sorted({post}.size());
            for (size_t k = 0; k < {pre}.size(); k++) sorted[place[{pre}[k]]++] = {post}[k];
            {post}.swap(sorted);
            // Each place has moved to the end of its source's synapses.
            size_t at = 0;
            for (size_t k = 0; k + 1 < place.size(); k++)
                while (at < (size_t) place[k]) {pre}[at++] = k;
        }}""",
    )


def _compile(asked: Namespace, build: Callable[[], list[Any]], folder: Path) -> None:
    b.set_device("cpp_standalone", build_on_run=False)
    b.prefs.logging.file_log = False
    b.prefs.devices.cpp_standalone.openmp_threads = asked.threads if asked.threads > 1 else 0
    b.prefs.codegen.cpp.headers += HEADERS
    b.defaultclock.dt = DT_MS * b.ms
    began = time.perf_counter()
    b.device.insert_code("main", _now("begun"))
    b.device.insert_code(
        "main",
        f"for (int _i = 0; _i < {asked.threads}; _i++) brian::_random_generators[_i]"
        f'.seed(std::atol(std::getenv("{SEED}")) * 1000L + _i);',
    )
    parts = build()
    monitor = b.SpikeMonitor(parts[0], record=asked.record)
    net = b.Network(parts, monitor)
    # After the queues have been made ready, right before the first step.
    b.device.insert_code("before_network_run", _now("ready"))
    net.run(asked.seconds * b.second)
    b.device.insert_code("main", _report(monitor, parts, asked))
    b.device.build(directory=str(folder), compile=True, run=False)
    (folder / COMPILE_S).write_text(repr(time.perf_counter() - began))


def _now(name: str) -> str:
    return f"const auto {name} = std::chrono::steady_clock::now();"


def _say(name: str, value: str) -> str:
    return f'std::cout << "{name} " << {value} << std::endl;'


def _vector(variable: Any) -> str:
    """Return the name of a std::vector in the program."""
    return str(b.device.get_array_name(variable, access_data=False))


def _report(monitor: Any, parts: list[Any], asked: Namespace) -> str:
    """Return the C++ statements that print what was measured and end the program."""
    synapses = [part for part in parts if isinstance(part, b.Synapses)]
    sizes = [f"{_vector(part.variables['_synaptic_pre'])}.size()" for part in synapses]
    counts = monitor.variables["count"]
    lines = [
        _now("done"),
        'std::ofstream(results_dir + "status") << std::ifstream("/proc/self/status").rdbuf();',
        _say("build_s", "std::chrono::duration<double>(ready - begun).count()"),
        _say("simulate_s", "std::chrono::duration<double>(done - ready).count()"),
        _say("synapses", " + ".join(["0", *sizes])),
        "long spikes = 0;",
        f"for (long k = 0; k < {counts.size}; k++) spikes += {b.device.get_array_name(counts)}[k];",
        _say("spikes", "spikes"),
    ]
    name = "seen" if asked.as_nest else "w"
    for part in synapses:
        # Constant weights are constants, and no arrays.
        if name in part.variables:
            w = _vector(part.variables[name])
            lines += [
                "double sum = 0, squares = 0;",
                f"for (double w : {w}) {{ sum += w; squares += w * w; }}",
                f"const double mean = sum / {w}.size();",
                _say("weight_mean_mv", "1e3 * mean"),
                _say("weight_sd_mv", f"1e3 * std::sqrt(squares / {w}.size() - mean * mean)"),
            ]
    if asked.record:
        for name, kind in (("i", "int32_t"), ("t", "double")):
            v = _vector(monitor.variables[name])
            lines.append(
                f'std::ofstream(results_dir + "{name}", std::ios::binary)'
                f".write((const char*) {v}.data(), {v}.size() * sizeof({kind}));"
            )
    return "\n".join([*lines, "std::_Exit(0);"])
