"""What is submitted to a real Slurm ends as it would here, or is explained."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from biosim.runs import COMPARISON
from hpc.compare import compare, plan
from hpc.summary import collect, summarise
from hpc.table import table
from rules import RULES
from scenarios.reading import read_tree
from tests.ranks.started import needs_mpi, same_bytes
from tests.ranks.test_bits import LAYERS
from tests.slurm.commands import Biosim, over

pytestmark = pytest.mark.slurm

SETTINGS = [*LAYERS, "data.samples=400"]


def comparable(directory: Path) -> str:
    """Return the table of a comparison without the column of speeds."""
    lines = table(summarise(collect(directory))).splitlines()
    head = next(line for line in lines if "samples/s" in line)
    end = head.index("samples/s") + len("samples/s")
    begin = head.rindex("least") + len("least")
    return "\n".join(line[:begin] + line[end:] for line in lines)


@pytest.mark.parametrize(
    ("rules", "seeds"),
    [
        (["backprop", "noprop"], 1),
        pytest.param(sorted(RULES)[:8], 2, marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
def test_an_array_compares_as_the_same_runs_made_here(
    rules: list[str], seeds: int, biosim: Biosim, tmp_path: Path
) -> None:
    array = ["--array", f"--rules={','.join(rules)}", f"--seeds={seeds}"]
    out = biosim.submit("submitted", "digits", *SETTINGS, *array)
    here = tmp_path / "here"
    entries = plan(read_tree("digits"), rules, seeds, SETTINGS)
    assert compare(entries, here, jobs=1) == []
    states = {each["state"] for each in biosim.until(out, over, 600).values()}
    assert states == {"complete"}, biosim.logs(out)
    told = biosim.well("fetch-results", str(out), "--out", "fetched")
    assert f"{len(entries)} of {len(entries)} runs are complete" in told
    fetched = tmp_path / "fetched"
    assert (fetched / "report.html").exists()
    listed = [json.loads((each / COMPARISON).read_text())["runs"] for each in (fetched, here)]
    assert listed[0] == listed[1]
    assert [
        entry.path for entry in entries if same_bytes(fetched / entry.path, here / entry.path)
    ] == []
    assert comparable(fetched) == comparable(here)


def test_a_job_out_of_memory_says_so(biosim: Biosim) -> None:
    biosim.well("submit", "digits", *SETTINGS, "--time=10 min", "--memory=100 MiB", "--out=out")
    (entry,) = biosim.until(biosim.home / "out", over).values()
    assert entry["state"] == "out of memory"
    assert "it took more memory than the 100 MiB that were asked for" in entry["why"]
    assert "out of memory" in biosim.well("status", "out")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--partition=big"], "Slurm refuses the job: .*[Ii]nvalid partition name specified"),
        (["--nodes=9"], "Slurm takes the job and will never start it: Partition"),
        (["--memory=900 GiB"], "Slurm refuses .*(Memory specification can not be satisfied|conf)"),
        (["--gpus-per-node=2"], "Slurm refuses .*[Ii]nvalid.*(gres|GRES)"),
        (["--constraint=huge"], "Slurm refuses the job: .*[Ii]nvalid feature specification"),
        (
            ["--partition=short", "--time=3 h"],
            "Slurm takes the job and will never start it: Partition",
        ),
    ],
)
def test_what_slurm_refuses_is_said_in_its_own_words(
    words: list[str], said: str, biosim: Biosim
) -> None:
    asked = {"--time": "10 min", "--memory": "800 MiB"} | dict(word.split("=") for word in words)
    done = biosim(
        "submit", "digits", *(f"{name}={value}" for name, value in asked.items()), "--out=out"
    )
    assert done.code == 2, done.out
    # What was proposed is said before it.
    refused = [line for line in done.err.splitlines() if line.startswith("biosim: ")]
    assert len(refused) == 1
    assert re.search(said, refused[0])
    assert not (biosim.home / "out").exists()
    assert biosim.slurm.asked("squeue", "--noheader") == ""


BROKEN = """
import sys
if any("hpc.submission.work" in word for word in sys.orig_argv):
    import hpc.resume
    def broken(*arguments):
        raise ZeroDivisionError("no synapse is left")
    hpc.resume.carry_on = broken
"""


@pytest.mark.slow
def test_a_job_that_throws_is_explained_by_its_last_lines(biosim: Biosim) -> None:
    (biosim.home / "sitecustomize.py").write_text(BROKEN)
    setup = f"--setup=export PYTHONPATH={biosim.home}:$PYTHONPATH"
    out = biosim.submit("out", "digits", *SETTINGS, setup)
    (entry,) = biosim.until(out, over).values()
    assert entry["state"] == "failed"
    assert "ZeroDivisionError: no synapse is left" in entry["why"]
    assert "Traceback" in biosim.well("logs", "out")


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A directory to which even root cannot write."""
    path = tmp_path / "closed"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", path], check=False)
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    yield path
    subprocess.run(["umount", path], check=True)


@pytest.mark.slow
def test_a_directory_that_the_job_cannot_write_is_named(biosim: Biosim, read_only: Path) -> None:
    out = biosim.submit("out", "digits", *SETTINGS, "--option=hold")
    (out / "runs").symlink_to(read_only)
    biosim.slurm.asked("scontrol", "release", biosim.entry(out)["jobs"][-1])
    (entry,) = biosim.until(out, over).values()
    assert entry["state"] == "failed"
    assert "cannot be written on " in entry["why"]
    assert "submit with an --out that jobs may write" in entry["why"]


def test_what_cannot_be_written_here_is_refused_at_once(biosim: Biosim, read_only: Path) -> None:
    done = biosim("submit", "digits", "--time=1 h", f"--out={read_only / 'out'}")
    assert done.code == 2
    assert "closed cannot be written; choose another --out" in done.err


@pytest.mark.slow
@needs_mpi()
@pytest.mark.parametrize("mpi", [[], ["--mpi=mpiexec"]])
def test_ranks_on_two_nodes_store_what_one_stores(mpi: list[str], biosim: Biosim) -> None:
    out = biosim.submit("out", "digits", *SETTINGS, "--nodes=2", "--tasks=2", *mpi)
    (entry,) = biosim.until(out, over).values()
    assert entry["state"] == "complete", biosim.logs(out)
    biosim.well("run", "digits", *SETTINGS, "--out=one")
    assert same_bytes(out / entry["path"], biosim.home / "one") == []
