"""Law 4 for whole runs: one that is interrupted, and resumed on other ranks, stores the same."""

from __future__ import annotations

import functools
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zarr
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hpc import stopping
from hpc.checkpointing import Checkpointing
from hpc.resume import resume
from hpc.run import run
from hpc.stopping import InterruptedRunError
from scenarios.reading import AnyScenario, read_tree, resolve_any
from tests.ranks.started import same_bytes
from tests.ranks.test_bits import RUNS, few_images

LAYERED = [
    "run.epochs=2",
    "run.batch_size=32",
    "run.evaluate_every=1",
    "record.weights=every",
    "record.activity=every",
]
STATES = 'record.states=[{ population="E", variables=["v"], neurons=[5, 300], every="0.5 ms" }]'
WEIGHTS = 'record.weights=[{ projection="learning", every="4 ms" }]'
IMAGES = ["run.epochs=2", "network.excitatory=300", "record.samples=5"]
NAMES = [name for name in RUNS if "threads" not in name and name != "nmnist"]
PAIRS = [(1, 2), (2, 3), (4, 1)]
TIMES = {"wall_s", "build_s", "path"}

one_example = settings(
    max_examples=1,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def scenario(name: str, ranks: int, folder: Path, *more: str) -> AnyScenario:
    """Return a small scenario, on so many pretended ranks."""
    about = RUNS[name]
    overrides = list(about["overrides"])
    tree = read_tree(about["scenario"])
    if "rule" in about:
        overrides += [f"rule.name={about['rule']}", *LAYERED]
    elif about["scenario"] == "digits_spiking":
        if not (folder / "few.npz").exists():
            few_images(folder / "few.npz")
        overrides = [*IMAGES, f"data.file={folder / 'few.npz'}"]
    else:
        overrides += [STATES, WEIGHTS] if name == "brunel_stdp" else [STATES]
    return resolve_any(tree, [*overrides, f"run.pretend_ranks={ranks}", *more])


@functools.cache
def uninterrupted(name: str, folder: Path) -> tuple[Path, int]:
    """Return the directory of a run on one rank, and the last tick at which it was looked at."""
    ticks = [1]
    until, asks = Checkpointing.until, Checkpointing.asks

    def noting(self: Checkpointing, tick: int) -> int:
        ticks.append(tick)
        return until(self, tick)

    def asking(self: Checkpointing, tick: int, only_to_end: bool = False) -> bool:
        ticks.append(tick)
        return asks(self, tick, only_to_end)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpointing, "until", noting)
        patch.setattr(Checkpointing, "asks", asking)
        run(scenario(name, 1, folder), folder / name)
    return folder / name, max(ticks)


@contextmanager
def interrupted_while_it_answers() -> Iterator[None]:
    """Let a warning come whenever a run is asked whether it is to end, and for nothing else."""
    asks = Checkpointing.asks

    def warned(self: Checkpointing, tick: int, only_to_end: bool = False) -> bool:
        if only_to_end:
            stopping._asked[signal.SIGUSR1] = time.monotonic()
        return asks(self, tick, only_to_end)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpointing, "asks", warned)
        try:
            yield
        finally:
            stopping._asked.clear()


@contextmanager
def interrupted_at_a_checkpoint() -> Iterator[None]:
    """Let a warning come whenever a checkpoint is due."""
    take = Checkpointing.take

    def warned(self: Checkpointing, *given: Any, **more: Any) -> None:
        stopping._asked[signal.SIGUSR1] = time.monotonic()
        take(self, *given, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpointing, "take", warned)
        try:
            yield
        finally:
            stopping._asked.clear()


def result(path: Path) -> dict[str, Any]:
    """Return the figures that the root of a store says, without times."""
    said = dict(zarr.open_group(path / "run.zarr", mode="r").attrs)
    kept = {"status", "committed_epoch", "result", "arrays", "whole"}
    found = {name: value for name, value in said.items() if name in kept}
    if isinstance(found.get("result"), dict):
        found["result"] = {k: v for k, v in found["result"].items() if k not in TIMES}
    return found


def interrupted(name: str, ranks: int, folder: Path, out: Path, every: int) -> None:
    """Run until a checkpoint that is due every so many ticks, or more often."""
    while every:  # a tick may fall into an evaluation, after which it is too late
        run(scenario(name, ranks, folder, f"checkpoint.ticks={every}"), out, overwrite=True)
        every //= 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("resume")


QUICK = [("backprop", (1, 2)), ("brunel_stdp", (2, 3)), ("soft_hebb", (4, 1))]
"""Of each kind one; every rule is stored and restored at any tick by the inherited law, too."""


def cases() -> list[Any]:
    """Return every run with every pair of numbers of ranks, most of them as slow ones."""
    return [
        pytest.param(name, ranks, marks=[] if (name, ranks) in QUICK else pytest.mark.slow)
        for name in NAMES
        for ranks in PAIRS
    ]


@pytest.mark.parametrize(("name", "ranks"), cases())
@one_example
@given(share=st.floats(0.01, 0.99))
def test_an_interrupted_run_stores_what_an_uninterrupted_one_stores(
    name: str, folder: Path, share: float, ranks: tuple[int, int]
) -> None:
    expected, ticks = uninterrupted(name, folder)
    before, after = ranks
    out = folder / f"{name}-{before}-{after}-{share}"
    every = max(1, int(ticks * share))
    with interrupted_at_a_checkpoint(), pytest.raises(InterruptedRunError, match="SIGUSR1"):
        interrupted(name, before, folder, out, every)
    resume(out, [f"run.pretend_ranks={after}", "checkpoint.ticks=1000000"])
    assert same_bytes(out, expected) == []
    assert result(out) == result(expected)


@pytest.mark.slow
def test_images_that_are_answered_when_a_warning_comes_are_answered_again(folder: Path) -> None:
    expected, _ = uninterrupted("digits_spiking", folder)
    out = folder / "answering"
    with interrupted_while_it_answers(), pytest.raises(InterruptedRunError, match="newest"):
        run(scenario("digits_spiking", 1, folder), out)
    resume(out, ["run.pretend_ranks=2"])
    assert same_bytes(out, expected) == []
    assert result(out) == result(expected)


def test_a_signal_in_the_midst_of_an_image_comes_to_its_checkpoint(folder: Path) -> None:
    out, asks = folder / "warned", Checkpointing.asks
    ticks: list[int] = []

    def warned(self: Checkpointing, tick: int, only_to_end: bool = False) -> bool:
        asked = asks(self, tick, only_to_end)
        ticks.append(tick)
        if len(ticks) == 2:  # the next image begins with the signal there
            stopping._asked[signal.SIGUSR1] = time.monotonic()
        return asked

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpointing, "asks", warned)
        try:
            with pytest.raises(InterruptedRunError, match="SIGUSR1") as failure:
                run(scenario("digits_spiking", 1, folder), out)
        finally:
            stopping._asked.clear()
    assert len(ticks) == 3
    assert f"its newest checkpoint is of {ticks[2]:,}" in str(failure.value)
