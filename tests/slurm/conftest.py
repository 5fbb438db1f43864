"""One Slurm of two emulated nodes for all tests of a session, skipped where there can be none."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.commands import Biosim
from tests.slurm.jobs import Slurm, scripted


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    # Not among pytest's directories: their paths are too long for sockets, and are closed to
    # those whom Slurm's daemons let in.
    here = Path(tempfile.mkdtemp(prefix="biosim-slurm-"))
    try:
        # A process of its own, so that the daemons are not children of the tests.
        began = scripted("start", str(here))
        if began.returncode != 0:
            pytest.skip(began.stderr.strip())
        yield Slurm(here)
        ended = scripted("stop", str(here))
        assert ended.returncode == 0, ended.stderr
    finally:
        shutil.rmtree(here)


@pytest.fixture(autouse=True)
def no_job_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test submits does not wait beside the next one."""
    yield
    if "slurm" in request.fixturenames:
        request.getfixturevalue("slurm").cancel_all()


@pytest.fixture
def biosim(
    slurm: Slurm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Biosim:
    """The command line in a directory of its own."""
    return Biosim(slurm, tmp_path, monkeypatch, capsys)
