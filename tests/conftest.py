"""What every test gets: repeatable examples, one torch thread, the data directory."""

import gc
import os
from pathlib import Path

import hypothesis
import pytest
import torch
from _pytest import python

REPOSITORY = Path(__file__).resolve().parents[1]

# Kernels that one test run compiled serve the next; the user's cache is left alone.
os.environ["BIOSIM_CACHE"] = str(REPOSITORY / ".pytest_cache" / "biosim")

# The same examples every time: a failure in CI must be a failure at the desk. Time decides
# nothing, since other tests share the cores.
for profile, examples in (("quick", 10), ("thorough", 50)):
    hypothesis.settings.register_profile(
        profile,
        derandomize=True,
        deadline=None,
        max_examples=examples,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
hypothesis.settings.load_profile(os.environ.get("BIOSIM_EXAMPLES") or "quick")

# A torch operation on one layer runs on one thread (law 2), and so do the references that it
# is compared with.
torch.set_num_threads(1)


def pytest_collection_finish() -> None:
    """Let the collector of garbage pass by thousands of tests and all that they import."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object:
    """Call a test with room for the frames of all that it calls."""
    return _with_room(pyfuncitem)


def _with_room(test: pytest.Function) -> object:
    return python.pytest_pyfunc_call(test)


# Python 3.11 keeps frames in pieces of 16 KB, and maps and unmaps one at each call that goes
# beyond the last: numba, which recurses where pytest's own frames end, 100,000 times a kernel, a
# fifth of the time that compiling takes. A frame this large gets a piece of a megabyte to itself.
_with_room.__code__ = _with_room.__code__.replace(co_stacksize=70_000)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The directory of the data sets that no package ships; skips the test where there is none."""
    directory = Path(os.environ.get("BIOSIM_DATA") or REPOSITORY.parent / "shared" / "data")
    if not directory.is_dir():
        pytest.skip(f"no data at {directory}: set BIOSIM_DATA to the directory of the data sets")
    return directory
