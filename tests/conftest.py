"""What every test gets: repeatable examples, one torch thread, the data directory."""

import os
from pathlib import Path

import hypothesis
import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[1]

# Kernels that one test run compiled serve the next; the user's cache is left alone.
os.environ["BIOSIM_CACHE"] = str(REPOSITORY / ".pytest_cache" / "biosim")

# The same examples every time: a failure in CI must be a failure at the desk. Time decides
# nothing, since other tests share the cores.
for profile, examples in (("quick", 15), ("thorough", 50)):
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


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The directory of the data sets that no package ships; skips the test where there is none."""
    directory = Path(os.environ.get("BIOSIM_DATA") or REPOSITORY.parent / "shared" / "data")
    if not directory.is_dir():
        pytest.skip(f"no data at {directory}: set BIOSIM_DATA to the directory of the data sets")
    return directory
