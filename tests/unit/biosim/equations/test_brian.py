"""Brian2 is used without its side effects."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from biosim.equations import brian
from biosim.equations.code import EquationError

QUIET = """
import glob, os, sys, tempfile, types, warnings
package = sys.modules["biosim"] = types.ModuleType("biosim")
package.__path__ = ["biosim"]
warnings.simplefilter("error")
hook, show = sys.excepthook, warnings.showwarning
from biosim.equations import brian
brian.brian()
print(sys.excepthook is hook, warnings.showwarning is show)
print(glob.glob(os.path.join(tempfile.gettempdir(), "brian_*")))
"""


def test_the_import_warns_of_nothing_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", QUIET],
        env={"TMPDIR": str(tmp_path), "HOME": str(tmp_path)},
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["True True", "[]"]
    assert not list(tmp_path.glob("brian*"))


def test_threads_are_quiet_one_after_the_other() -> None:
    """Else the one that ends first lets the warnings of the other be heard, as pretend ranks do."""
    entered = threading.Event()

    def other() -> None:
        with brian.quiet():
            entered.set()

    with brian.quiet():
        thread = threading.Thread(target=other)
        thread.start()
        assert not entered.wait(0.1)
    thread.join(10.0)
    assert entered.is_set()


def test_the_command_line_starts_without_what_takes_a_second() -> None:
    dear = ["brian2", "matplotlib", "scipy.signal", "scipy.stats"]
    code = f"import sys, hpc.cli; print([name for name in {dear} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("unit", "same"),
    [
        ("V", "volt"),
        ("mV", "volt"),
        ("1", "1"),
        ("s", "ms"),
        ("m^2 kg s^-3 A^-1", "volt"),
        ("nS/cm**2", "siemens/metre2"),
        ("Hz", "1/second"),
        ("ohm", "volt/amp"),
        ("A", "amp"),
        ("F", "second/ohm"),
        ("C", "amp*second"),
        ("boolean", "1"),
    ],
)
def test_units_are_read_as_brian2_prints_and_as_users_write_them(unit: str, same: str) -> None:
    assert brian.dimensions(unit) is brian.dimensions(same)


@pytest.mark.parametrize(
    "unit", ["volt", "amp", "siemens", "second", "Hz", "volt/second", "siemens/metre2", "1", "mole"]
)
def test_a_unit_reads_back_as_it_is_printed(unit: str) -> None:
    dimension = brian.dimensions(unit)
    assert brian.dimensions(brian.unit_name(dimension)) is dimension


def test_a_word_is_no_unit() -> None:
    with pytest.raises(EquationError, match="'spoon' is not a unit; write one such as"):
        brian.dimensions("spoon")


def test_the_defaults_are_those_of_brian2() -> None:
    import inspect

    brian.brian()
    from brian2 import NeuronGroup

    defaults = inspect.signature(NeuronGroup.__init__).parameters["method"].default
    assert defaults == brian.DEFAULT_METHODS


def test_every_method_is_one_of_brian2() -> None:
    assert set(brian.METHODS) <= set(brian.brian().updaters)
