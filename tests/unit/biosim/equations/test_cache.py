"""Code is made once for a description, however many ask, and again when anything changed."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from biosim.equations import cache
from biosim.equations.brian import brian
from biosim.equations.code import Assign, Effect, NeuronCode, SynapseCode, Trace, Variable
from biosim.equations.neurons import neuron_code
from biosim.spiking.description import Spiking

MODEL = Spiking("dv/dt = -v/tau : 1", "v > 1", "v = 0", constants={"tau": "20*ms"})


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BIOSIM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "equations"


@dataclass(frozen=True)
class Made:
    text: str


class Maker:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Made:
        self.calls += 1
        return Made(f"number {self.calls}")


def test_the_same_content_is_made_once() -> None:
    make = Maker()
    first = cache.remembered({"a": 1}, Made, make)
    assert cache.remembered({"a": 1}, Made, make) == first == Made("number 1")
    assert make.calls == 1


def test_other_content_is_made_anew() -> None:
    make = Maker()
    assert cache.remembered({"a": 1}, Made, make) != cache.remembered({"a": 2}, Made, make)


def test_another_version_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    make = Maker()
    cache.remembered({"a": 1}, Made, make)
    monkeypatch.setattr(cache, "versions", lambda: "another")
    cache.remembered({"a": 1}, Made, make)
    assert make.calls == 2


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"txt": 1}', "null", "\x00\xff"])
def test_a_damaged_file_is_made_anew_and_mended(damage: str, place: Path) -> None:
    make = Maker()
    cache.remembered({"a": 1}, Made, make)
    (file,) = place.iterdir()
    file.write_text(damage)
    assert cache.remembered({"a": 1}, Made, make) == Made("number 2")
    assert cache.remembered({"a": 1}, Made, make) == Made("number 2")


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path, place: Path) -> None:
    (tmp_path / "cache").write_text("a file where a directory should be")
    make = Maker()
    assert cache.remembered({"a": 1}, Made, make) == Made("number 1")
    assert cache.remembered({"a": 1}, Made, make) == Made("number 2")


def test_a_failed_rename_leaves_nothing_behind(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    cache.remembered({"a": 1}, Made, Maker())
    assert list(place.iterdir()) == []


def test_an_error_is_not_remembered(place: Path) -> None:
    def fail() -> Made:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cache.remembered({"a": 1}, Made, fail)
    assert not place.exists()


def test_the_users_cache_directory_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIOSIM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache.directory() == Path("/somewhere/biosim")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.directory() == Path.home() / ".cache" / "biosim"


def test_code_comes_back_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    first = neuron_code(MODEL, 1e-4, "E")
    monkeypatch.setattr("biosim.equations.neurons.compiled", None)
    again = neuron_code(MODEL, 1e-4, "E")
    assert again == first
    assert isinstance(again.update[0], Assign)


def test_every_field_of_synapse_code_comes_back() -> None:
    code = SynapseCode(
        variables=(Variable("w", "parameter", "float", "1"),),
        pre_traces=(Trace("x", "x * exp(-50.0 * elapsed)"),),
        pre_final={"x": "x_1"},
        effects=(Effect("ge", "w"),),
        reads_post=("v",),
        clamps={"w": (0.0, None)},
    )
    cache.remembered({"s": 1}, SynapseCode, lambda: code)
    assert cache.remembered({"s": 1}, SynapseCode, lambda: pytest.fail("made twice")) == code


@pytest.mark.parametrize(
    "other",
    [
        Spiking("dv/dt = -v/tau : 1", "v > 1", "v = 0", constants={"tau": "21*ms"}),
        Spiking("dv/dt = -v/tau : 1", "v > 2", "v = 0", constants={"tau": "20*ms"}),
        Spiking("dv/dt = -v/tau : 1", "v > 1", "v = 1", constants={"tau": "20*ms"}),
        Spiking("dv/dt = -v/tau : 1", "v > 1", "v = 0", "1*ms", constants={"tau": "20*ms"}),
        Spiking("dv/dt = -v/tau : 1", "v > 1", "v = 0", None, "euler", {"tau": "20*ms"}),
    ],
)
def test_every_part_of_a_description_counts(other: Spiking) -> None:
    assert neuron_code(other, 1e-4, "E") != neuron_code(MODEL, 1e-4, "E")
    assert neuron_code(MODEL, 2e-4, "E") != neuron_code(MODEL, 1e-4, "E")


def test_quantities_are_told_apart_by_unit_and_by_every_digit() -> None:
    units = brian().units
    found = {
        str(cache.plain(value))
        for value in (1 * units["ms"], 1 * units["mV"], (1 + 1e-15) * units["ms"], 0.001)
    }
    assert len(found) == 4


def test_the_cached_way_needs_no_brian2(monkeypatch: pytest.MonkeyPatch) -> None:
    first = neuron_code(MODEL, 1e-4, "E")
    monkeypatch.setattr("biosim.equations.brian.brian", lambda: pytest.fail("asked Brian2"))
    assert neuron_code(MODEL, 1e-4, "E") == first


# The module alone: with the package comes torch, whose import takes seconds.
RACE = """
import dataclasses, importlib.util, os, sys
spec = importlib.util.spec_from_file_location("cache", sys.argv[1])
cache = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cache)
cache.versions = lambda: "one"

@dataclasses.dataclass(frozen=True)
class Made:
    text: str

large = "x" * 1_000_000
for turn in range(40):
    if turn % 4 == int(sys.argv[2]):
        for file in (cache.directory() / "equations").glob("*.json"):
            file.unlink(missing_ok=True)
    assert cache.remembered({"a": 1}, Made, lambda: Made(large)) == Made(large)
print("done")
"""


def test_many_processes_may_write_and_read_at_once(place: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(cache.__file__), str(each)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for each in range(4)
    ]
    assert [process.communicate() for process in processes] == [("done\n", "")] * 4
    assert [file.suffix for file in place.iterdir()] == [".json"]


def test_the_code_type_is_checked() -> None:
    cache.remembered({"a": 1}, Made, Maker())
    with pytest.raises(ValueError, match="asked"):
        cache.remembered({"a": 1}, NeuronCode, lambda: asked())


def asked() -> NeuronCode:
    raise ValueError("asked")
