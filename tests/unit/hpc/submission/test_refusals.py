"""What cannot be is refused in one line, before anything is written, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpc.submission import slurm
from tests.unit.hpc.submission.conftest import QUICK, Cluster, Command, refused


def test_without_slurm_a_line_says_what_else_there_is(
    submit: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    refused(submit("digits", *QUICK), "no Slurm on this machine: sbatch is not on the path")
    assert submit.files == set()


def test_several_processes_do_not_submit_several_times(
    submit: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLURM_NTASKS", "SLURM_STEP_ID", "SLURM_PROCID"):
        monkeypatch.setenv(name, {"SLURM_NTASKS": "2"}.get(name, "0"))
    refused(submit("digits", *QUICK), "submit was started 2 times by srun; start it once")


def test_slurms_own_words_are_passed_on_and_nothing_is_left(
    submit: Command, cluster: Cluster
) -> None:
    cluster.refuse("sbatch: error: invalid partition specified: x\nsbatch: error: Batch job "
                   "submission failed: Invalid partition name specified\n")  # fmt: skip
    done = submit("digits", *QUICK, "-p", "x", "--out", "a/b/there")
    refused(
        done,
        "Slurm refuses the job: invalid partition specified: x; Batch job submission failed: "
        "Invalid partition name specified",
    )
    assert submit.files == set()


def test_a_job_that_slurm_takes_and_would_never_start_is_taken_back(
    submit: Command, cluster: Cluster
) -> None:
    (cluster.place / "reason").write_text("PartitionTimeLimit")
    done = submit("digits", *QUICK, "--chain", "3", "-p", "short")
    refused(done, "Slurm takes the job and will never start it: PartitionTimeLimit; ask for what")
    assert cluster.calls[1:] == ["scancel 101"]
    assert submit.files == set()
    (cluster.place / "reason").write_text("Resources")
    assert submit("digits", *QUICK).code == 0


def test_a_directory_of_a_submission_is_not_written_over(submit: Command) -> None:
    submit("digits", *QUICK, "--out", "there")
    refused(
        submit("digits", *QUICK, "--out", "there"), "there exists; choose another --out, or see"
    )


def test_a_directory_that_was_there_stays(submit: Command, cluster: Cluster) -> None:
    cluster.refuse("no")
    Path("there").mkdir()
    refused(submit("digits", *QUICK, "--out", "there"), "Slurm refuses the job: no")
    assert submit.files == {"there"}


def test_a_chain_that_breaks_off_is_cancelled(submit: Command, cluster: Cluster) -> None:
    cluster.refuse("too many", "afterany:102")
    refused(submit("digits", *QUICK, "--chain", "4"), "Slurm refuses the job: too many")
    assert cluster.calls[-1] == "scancel 101 102"
    assert submit.files == set()


def test_what_is_for_the_nodes_of_a_cluster_is_refused_here_but_where_its_site_file_says_it(
    submit: Command, tmp_path: Path
) -> None:
    here = ["--scheduler", "local", "--dry-run"]
    done = submit("digits", *QUICK, *here, "--setup", "true", asked=[])
    refused(done, "setup is for jobs on other machines; here runs have the environment of biosim")
    site = tmp_path / "site.toml"
    site.write_text("scheduler = 'slurm'\nmodules = ['openmpi']\nsetup = ['true']")
    assert submit("digits", *QUICK, *here, "--site", str(site), asked=[]).code == 0
    site.write_text("scheduler = 'local'\nmodules = ['openmpi']")
    done = submit("digits", *QUICK, "--dry-run", "--site", str(site), asked=[])
    refused(done, "modules is for jobs on other machines")


@pytest.mark.parametrize("option", ["array=1-3", "output=mine", "ntasks_per_node=2", "requeue"])
def test_an_option_on_which_biosim_itself_rests_is_refused(option: str, submit: Command) -> None:
    done = submit("digits", *QUICK, "--option", option, "--out", "there")
    refused(done, "expected an option that biosim does not set itself")
    assert option.partition("=")[0] in done.err
    assert submit.files == set()


def test_a_slurm_that_does_not_answer_is_given_up(
    submit: Command, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "LIMIT_S", 1)
    (cluster.place / "silent").touch()
    refused(submit("digits", *QUICK), "sbatch did not answer in 1 s")
    assert submit.files == set()


def test_an_answer_without_a_number_is_refused(submit: Command, cluster: Cluster) -> None:
    (cluster.place / "bin" / "sbatch").write_text("#!/bin/sh\necho welcome\n")
    refused(submit("digits", *QUICK), "sbatch gave no number of a job")
    assert submit.files == set()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["digits", "run.epochs=0"], "run.epochs: got 0"),
        (["digits", "data.file=none.npz"], "none.npz"),
        (["digits", "place.replicas=2", "place.parts=2", "--tasks", "3"], "there are 3 ranks"),
        (["digits", "run.pretend_ranks=2", "--tasks", "2"], "run.pretend_ranks is 2 and the job"),
        (["digits", "run.start_from=none"], "none"),
        (["hidden_pattern", "--tasks", "2"], "a task, which runs on one rank, and the job has 2"),
        (["digits", "--array"], "--array: one run is asked for; expected several, by --seeds"),
        (["digits", "--tasks", "2", "--nodes", "3"], "tasks is 2 and nodes is 3"),
        (["digits", "--lead", "50 min"], "lead is 50 min and time is 1 h"),
        (["digits", "--lead", "50"], "lead: got '50'; expected a time with its unit"),
        (["digits", "--out", "50%"], "expected a path without %"),
        (["digits", "--out", "full"], "full exists; choose another --out"),
        (["digits", "--out", "/proc/there"], "cannot be"),
        (["digits", "--site", "none.toml"], "no site file none.toml"),
        (["digits", "--scheduler", "sge"], "--scheduler: got 'sge'"),
        (["digits", "--scheduler", "local", "--chain", "2"], "have no time limit to outlast"),
        (["digits", "--scheduler", "pbs", "--chain", "2"], "qsub -W depend=afterany:JOB"),
        (["digits", "--scheduler", "lsf", "--chain", "2"], "bsub -w 'ended(JOB)'"),
        (["digits", "--scheduler", "local", "--nodes", "2"], "nodes is 2 and this machine is one"),
        (["digits", "--scheduler", "local", "--module", "a"], "modules is for jobs on other mach"),
        (["digits", "--scheduler", "local", "--container", "a"], "container is for jobs on other"),
        ([], "no scenario; expected biosim submit SCENARIO"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    submit: Command, cluster: Cluster, words: list[str], said: str
) -> None:
    Path("full").mkdir()
    Path("full/mine.txt").touch()
    refused(submit(*words), said)
    assert (submit.files, cluster.calls) == ({"full", "full/mine.txt"}, [])


def test_a_run_that_is_too_large_for_the_disk_is_refused(
    submit: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenarios.disk.room", lambda out: 1000.0)
    refused(submit("digits", *QUICK), "has room for 1.0 KiB")


def test_a_directory_that_nodes_seldom_share_is_said(
    submit: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpc.submission.checking.NODE_LOCAL", (submit.home,))
    assert "may be on this machine only" in submit("digits", *QUICK, "--dry-run").err


def test_a_name_that_no_scheduler_takes_is_changed_for_it(
    submit: Command, cluster: Cluster
) -> None:
    submit("digits", *QUICK, 'name=my "first" run', "--out", "there")
    assert cluster.flags(101)["job-name"] == "my-first-run"


def test_gpus_and_devices_that_do_not_go_together_are_said(submit: Command) -> None:
    assert "give run.device=cuda to use them" in submit(
        "digits", *QUICK, "--gpus-per-node", "1", "--dry-run"
    ).err  # fmt: skip
    assert "give --gpus-per-node" in submit("digits", *QUICK, "run.device=cuda", "--dry-run").err
    assert not submit("digits", *QUICK, "--dry-run").err
