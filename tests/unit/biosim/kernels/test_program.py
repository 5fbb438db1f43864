"""The text of programs; what it computes is held against the reference in tests/reference."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from biosim.kernels.program import Program
from biosim.ranks import OneRank
from biosim.spiking.binding import Binding, agreed_scales
from biosim.spiking.building import Wires
from biosim.spiking.layout import Layout
from biosim.spiking.shard import Shard
from tests.contract.spiking_cases import CASES

ROOT = Path(__file__).resolve().parents[4]


def program(case: str, precision: str = "float32", shard: int = 0, shards: int = 1) -> Program:
    layout = Layout(CASES[case]())
    own = Shard(layout, shard, shards, precision)
    wires = Wires(layout, 0)
    scales = agreed_scales(layout, wires, [own], OneRank())
    return Program(Binding(layout, wires, own, scales, 0).code([]), precision)


@pytest.mark.parametrize("case", CASES)
def test_the_text_is_a_function_of_the_network(case: str) -> None:
    made = program(case)
    assert made.text == program(case).text
    assert made.arguments == program(case).arguments
    # Every shard runs it, also one that owns little or nothing.
    assert made.text == program(case, shard=6, shards=7).text


@pytest.mark.parametrize("case", CASES)
def test_the_program_is_called_with_what_it_takes(case: str) -> None:
    made = program(case)
    functions = {f.name: f for f in ast.parse(made.text).body if isinstance(f, ast.FunctionDef)}
    names = [argument.arg for argument in functions["advance"].args.args]
    assert names[-len(made.arguments) :] == made.arguments
    assert len(set(names)) == len(names)
    assert max(len(line) for line in made.text.splitlines()) < 10_000


def test_precisions_share_all_but_functions() -> None:
    single, double = (
        program("conductance", precision).text for precision in ("float32", "float64")
    )
    assert "exp32(" in single
    assert single.replace("exp32(", "exp64(").replace("exprel32(", "exprel64(") == double


CASES_OF_SETS = ("asleep", "reward", "noisy", "far")
PROGRAM = f"""
import sys
from tests.unit.biosim.kernels.test_program import program
sys.stdout.write("".join(program(case).text for case in {CASES_OF_SETS}))
"""


def test_the_text_does_not_depend_on_the_order_of_sets() -> None:
    # Else two processes would compile two files of one network.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "".join(program(case).text for case in CASES_OF_SETS)
