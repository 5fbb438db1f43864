"""What is submitted: the script, the calls, the directory, and what is left after a refusal."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from biosim.errors import BiosimError
from hpc.jobs.record import load
from hpc.submission.command import BEGIN
from hpc.submission.site import SubmissionError
from hpc.submission.submit import submit_again
from tests.unit.hpc.submission.conftest import QUICK, Cluster, Command, flags


@pytest.fixture
def entries_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Let jobs note which entry they are to run, in place of running it; return those."""
    noted, python = tmp_path / "noted", tmp_path / "python"
    python.write_text(f'#!/bin/sh\nfor index; do :; done\necho $index >> "{noted}"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    return lambda: noted.read_text().split()


# --- what is asked of Slurm


def test_a_job_of_one_run_runs_to_its_end_from_any_directory(
    submit: Command, cluster: Cluster
) -> None:
    done = submit("digits", *QUICK, "--out", "there")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "submitted 1 run, job 101; results will be in there\nsee biosim status there\n"
    )
    ended = cluster.run(101)
    assert ended.code == 0, ended.err
    there = Path("there").absolute()
    assert ended.out == f"results in {there}/runs/backprop/seed-0\n"
    run = Path("there/runs/backprop/seed-0")
    assert json.loads((run / "progress.json").read_text())["status"] == "complete"
    (srun,) = [call for call in cluster.calls if call.startswith("srun")]
    assert "--output=all --error=all --cpus-per-task=1" in srun
    assert not any(call.startswith("scontrol") for call in cluster.calls)


def test_the_directory_holds_all_that_a_job_and_its_owner_need(
    submit: Command, cluster: Cluster
) -> None:
    submit("digits", *QUICK, "--out", "there", "--rules", "frozen,noprop", "--seeds", "2")
    assert sorted(path.name for path in Path("there").iterdir()) == [
        ".submission.json.lock", "entries", "logs", "scripts", "submission.json",
    ]  # fmt: skip
    assert [path.name for path in Path("there/scripts").iterdir()] == ["101_submission.sh"]
    submission = load(Path("there"))
    assert [entry.jobs for entry in submission.entries] == [(f"101_{n}",) for n in range(4)]
    assert [entry.name for entry in submission.entries][1:3] == ["frozen/seed-1", "noprop/seed-0"]
    assert submission.cluster["directory"] == os.getcwd()
    told = submission.resources
    assert (told["ranks"], told["threads"], told["time_s"], told["warning_s"]) == (1, 1, 3600, 300)
    third = json.loads(Path("there/entries/0002.json").read_text())
    assert (third["rule"]["name"], third["run"]["epochs"]) == ("noprop", 1)


def test_an_array_is_one_job_whose_tasks_are_the_runs(
    submit: Command, cluster: Cluster, entries_run: Callable[[], list[str]]
) -> None:
    submit("digits", *QUICK, "--out", "there", "--array", "--seeds", "3", "--at-once", "2")
    assert [call.split()[0] for call in cluster.calls] == ["sbatch"]
    assert cluster.flags(101)["array"] == "0-2%2"
    ended = cluster.run(101, task=2)
    assert ended.code == 0, ended.err
    assert entries_run() == ["2"]
    assert sorted(path.name for path in Path("there/logs").iterdir()) == ["101_2.err", "101_2.out"]


def test_every_part_of_a_description_reaches_the_script(submit: Command, cluster: Cluster) -> None:
    submit(
        "digits", *QUICK, "--out", "there", "--nodes", "2", "--tasks-per-node", "4",
        "--cpus-per-task", "3", "--gpus-per-node", "4", "-p", "gpu", "-A", "ours",
        "-C", "a100|h100", "--qos", "high", "--module", "cuda/12",
        "--module", "openmpi", "--setup", "ulimit -c 0",
        "--lead", "2 min", "--no-requeue", "--option", "exclusive", "--option", "mail-type=END",
        asked=["--time", "36 h", "--memory", "2 GB", "--mpi", "srun --mpi=pmix"],
    )  # fmt: skip
    found = cluster.flags(101)
    there = Path("there").absolute()
    assert found == {
        "nodes": "2", "ntasks": "8", "ntasks-per-node": "4", "cpus-per-task": "3",
        "gpus-per-node": "4", "partition": "gpu", "account": "ours", "constraint": "a100|h100",
        "qos": "high", "signal": "USR1@120", "no-requeue": "", "exclusive": "",
        "mail-type": "END", "time": "1-12:00:00", "mem": "1908M", "job-name": "digits",
        "open-mode": "append", "output": f"{there}/logs/%j.out", "error": f"{there}/logs/%j.err",
    }  # fmt: skip
    lines = cluster.script(101).splitlines()
    assert lines.index("module load cuda/12 openmpi || exit 2") < lines.index("ulimit -c 0")
    (srun,) = [shlex.split(line) for line in lines if line.startswith("srun")]
    assert ["--cpus-per-task=3", "--mpi=pmix", sys.executable] == srun[
        srun.index("--error=all") + 1 :
    ][:3]
    assert "scontrol" not in cluster.script(101)
    assert json.loads(Path("there/entries/0000.json").read_text())["run"]["threads"] == 3


def test_a_warned_job_asks_to_be_run_again_by_its_own_number(
    submit: Command, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    warned = tmp_path / "warned"
    warned.write_text("#!/bin/sh\nexit 75\n")
    warned.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(warned))
    submit("digits", *QUICK, "--out", "one")
    submit("digits", *QUICK, "--out", "two", "--seeds", "2")
    assert cluster.run(101).code == 75
    assert cluster.run(102, task=1).code == 75
    asked = [call for call in cluster.calls if call.startswith("scontrol")]
    assert asked == ["scontrol requeue 101", "scontrol requeue 102_1"]
    warned.write_text("#!/bin/sh\nexit 143\n")  # cancelled: it is not to rise again
    assert cluster.run(101).code == 143
    assert len([call for call in cluster.calls if call.startswith("scontrol")]) == 2


def test_a_chain_is_jobs_that_each_follow_the_last(submit: Command, cluster: Cluster) -> None:
    done = submit("digits", *QUICK, "--out", "there", "--seeds", "2", "--chain", "3")
    assert "submitted 2 runs, job 101, 102, 103" in done.out
    assert "dependency" not in cluster.flags(101)
    assert cluster.flags(102)["dependency"] == "afterany:101"
    assert cluster.flags(103)["dependency"] == "afterany:102"
    for number in (101, 102, 103):
        assert "scontrol" not in cluster.script(number)
        assert "requeue" in cluster.flags(number)  # by Slurm: after a node was lost
    assert load(Path("there")).entries[1].jobs == ("101_1", "102_1", "103_1")


def test_what_a_chain_is_to_wait_for_its_first_job_waits_for(
    submit: Command, cluster: Cluster
) -> None:
    submit("digits", *QUICK, "--out", "there", "--chain", "2", "--option", "dependency=afterok:7")
    assert cluster.flags(101)["dependency"] == "afterok:7"
    assert cluster.flags(102)["dependency"] == "afterany:101"


def test_mpiexec_is_started_by_the_script_and_hears_of_signals(
    submit: Command, cluster: Cluster, tmp_path: Path
) -> None:
    mpiexec = tmp_path / "fake" / "bin" / "mpiexec"
    mpiexec.write_text('#!/bin/sh\necho "mpiexec $*" >> "$FAKE/calls"\nexit 3\n')
    mpiexec.chmod(0o755)
    asked = ["--time", "1 h", "--memory", "1 GiB", "--mpi", f"{mpiexec} --bind-to core"]
    submit("digits", *QUICK, "--out", "there", "--tasks", "4", asked=asked)
    assert cluster.flags(101)["signal"] == "B:USR1@300"
    assert cluster.run(101).code == 3
    (call,) = [call for call in cluster.calls if call.startswith("mpiexec")]
    assert call.startswith(f"mpiexec -n 4 --bind-to core {sys.executable} -u -P -c {BEGIN} ")
    assert not any(call.startswith("srun") for call in cluster.calls)


def test_a_container_stands_in_front_of_the_program(submit: Command, cluster: Cluster) -> None:
    done = submit(
        "digits", *QUICK, "run.device=cuda", "--gpus-per-node", "1", "--container", "biosim.sif",
        "--dry-run", "--out", "there",
    )  # fmt: skip
    there = Path("there").absolute()
    assert (
        f"apptainer exec --nv --bind {there}:{there} biosim.sif python3 -u -P -c "
        f"{shlex.quote(BEGIN)} {there} 0"
    ) in done.out
    assert "PYTHONPATH" not in done.out
    plain = submit("digits", *QUICK, "--container", "biosim.sif", "--dry-run")
    assert "apptainer exec --bind" in plain.out


def test_a_dry_run_prints_the_script_and_writes_nothing(submit: Command, cluster: Cluster) -> None:
    done = submit("digits", *QUICK, "--dry-run", "--seeds", "2", "--chain", "2", "--out", "there")
    assert (done.code, submit.files, cluster.calls) == (0, set(), [])
    first, second = done.out.split("#!/bin/bash\n")[1:]
    assert flags(first)["array"] == flags(second)["array"] == "0-1%2"
    assert flags(second)["dependency"] == "afterany:THE_JOB_BEFORE"
    submit("digits", *QUICK, "--seeds", "2", "--chain", "2", "--out", "there")
    assert cluster.script(101) == "#!/bin/bash\n" + first.rstrip("\n") + "\n"


def test_a_dry_run_needs_no_slurm(submit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "#SBATCH --nodes=1" in submit("digits", *QUICK, "--dry-run").out


def test_resubmitted_entries_get_new_jobs(
    submit: Command, cluster: Cluster, entries_run: Callable[[], list[str]]
) -> None:
    submit("digits", *QUICK, "--out", "there", "--seeds", "4")
    submit_again(Path("there"), [1, 3])
    submit_again(Path("there"), [3])
    assert [entry.jobs for entry in load(Path("there")).entries] == [
        ("101_0",), ("101_1", "102_0"), ("101_2",), ("101_3", "102_1", "103"),
    ]  # fmt: skip
    assert cluster.run(102, task=1).code == 0
    assert cluster.run(103).code == 0
    assert entries_run() == ["3", "3"]
    before = cluster.flags(101)
    assert {**cluster.flags(102), "array": ""} == {**before, "array": ""}


# --- other schedulers


def test_the_site_decides_where_jobs_run(submit: Command, tmp_path: Path) -> None:
    site = tmp_path / "config" / "biosim" / "site.toml"
    site.parent.mkdir(parents=True)
    site.write_text('scheduler = "local"\nat_once = 1\npartition = "mine"')
    shown = submit("--show-site")
    assert "partition" in shown.out
    assert str(site) in shown.out
    done = submit("digits", *QUICK, "--seeds", "2", "--dry-run", asked=[])
    assert done.out.splitlines() == [
        "backprop/seed-0: 1 rank on this machine", "backprop/seed-1: 1 rank on this machine",
    ]  # fmt: skip
    assert submit.files == set()


@pytest.mark.parametrize(("kind", "by"), [("pbs", "qsub"), ("lsf", "bsub <")])
def test_for_pbs_and_lsf_the_script_is_written_and_not_submitted(
    submit: Command, cluster: Cluster, kind: str, by: str
) -> None:
    shown = submit("digits", *QUICK, "--scheduler", kind, "--dry-run", "--out", "there")
    assert (shown.code, submit.files) == (0, set())
    done = submit("digits", *QUICK, "--scheduler", kind, "--out", "there")
    assert (
        done.out
        == f"biosim submits nothing to {kind}; submit it by: {by} there/scripts/job.{kind}\n"
    )
    assert Path(f"there/scripts/job.{kind}").read_text() == shown.out
    assert cluster.calls == []
    with pytest.raises(SubmissionError, match=f"submit .*job.{kind} by hand"):
        submit_again(Path("there"), [0])


def test_a_submission_that_is_no_submission_is_not_resubmitted(tmp_path: Path) -> None:
    with pytest.raises(BiosimError, match="holds no submission"):
        submit_again(tmp_path, [0])
