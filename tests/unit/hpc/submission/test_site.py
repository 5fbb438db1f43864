"""A site file gives defaults, the command line stands above it, and nothing unknown is in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpc.submission.site import (
    SubmissionError,
    options_of,
    read_site,
    settled,
    site_path,
)

SITES = sorted((Path(__file__).resolve().parents[4] / "docs" / "sites").glob("*.toml"))


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(text)
    return path


def test_the_command_line_stands_above_the_site_and_the_site_above_biosim(tmp_path: Path) -> None:
    path = written(tmp_path, 'partition = "cpu"\naccount = "ours"\noptions = { a = 1, b = 2 }')
    given = {"partition": "gpu", "nodes": None, "options": {"b": "3"}}
    found = settled(read_site(path), path, given, None)
    job = found.description
    assert (job.partition, job.account, job.nodes) == ("gpu", "ours", 1)
    assert job.options == {"a": 1, "b": "3"}
    assert found.origins["partition"] == "command line"
    assert found.origins["account"] == str(path)
    shown = {line.split()[0]: line for line in found.lines()}
    assert shown["partition"].endswith("command line")
    assert shown["account"].endswith(str(path))
    assert shown["nodes"].endswith("biosim's own")


def test_what_is_proposed_fills_only_what_is_open(tmp_path: Path) -> None:
    found = settled(None, None, {"memory": "1 GiB"}, None)
    filled = found.proposed({"memory": "9 GiB", "time": "2 h"}, "a guess")
    assert (filled.description.memory, filled.description.time) == ("1 GiB", "2 h")
    assert filled.origins == {"memory": "command line", "time": "a guess"}


def test_the_scheduler_is_the_sites_or_the_one_that_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, 'scheduler = "local"')
    assert settled(None, None, {}, None).scheduler is None
    assert settled(read_site(path), path, {}, None).scheduler == "local"
    assert settled(read_site(path), path, {}, "pbs").scheduler == "pbs"
    with pytest.raises(SubmissionError, match=r"--scheduler: got 'slurn'; did you mean 'slurm'\?"):
        settled(None, None, {}, "slurn")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('partitoin = "cpu"', "partitoin: unknown key; did you mean 'partition'?"),
        (
            "[partitions.cpu]\nmax_tim = '1 h'",
            "partitions.cpu.max_tim: unknown key; did you mean 'max_time'?",
        ),
        ("nodes = 0", "nodes: got 0; expected greater than or equal to 1"),
        ("time = 90", "time: got 90; expected a time with its unit in quotes"),
        ("time = '90'", "time: got '90'; expected a time with its unit, such as 90 min"),
        ("memory = 4", "memory: got 4; expected memory with its unit in quotes"),
        ("mpi = 'mpirunn'", "mpi: got 'mpirunn'; expected srun --mpi=..., mpiexec or mpirun"),
        ("mpi = 'srun \"'", "expected srun --mpi=..., mpiexec or mpirun"),
        ("partition = 'a b'", "partition: got 'a b'; expected a name without spaces"),
        ('setup = ["a\\nb"]', "setup: got 'a\\nb'; expected one line of text"),
        ("scheduler = 'sge'", "scheduler: got 'sge'; expected 'slurm', 'local', 'pbs' or 'lsf'"),
        ("tasks = 2\nnodes = 3", "tasks is 2 and nodes is 3; expected at least a rank a node"),
        ("tasks = 9\ntasks_per_node = 4", "tasks is 9, more than tasks_per_node, 4, times nodes"),
        ("time = '8 min'", "lead is 5 min and time is 8 min; expected a warning in the second"),
        ("options = { 'a b' = 1 }", "expected the long name of an option, such as mail-type"),
        ("nodes =", "cannot be parsed"),
    ],
)
def test_a_site_file_with_anything_wrong_is_refused_in_one_line(
    tmp_path: Path, text: str, said: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SubmissionError) as refused:
        read_site(path)
    assert said in str(refused.value)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


def test_a_site_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SubmissionError, match="cannot be read"):
        read_site(tmp_path)


def test_the_site_file_is_looked_for_where_it_is_said_to_be(tmp_path: Path) -> None:
    mine = written(tmp_path, "")
    usual = tmp_path / ".config" / "biosim" / "site.toml"
    usual.parent.mkdir(parents=True)
    home = {"HOME": str(tmp_path)}
    assert site_path(None, home) is None
    usual.write_text("")
    assert site_path(None, home) == usual
    assert site_path(None, {"XDG_CONFIG_HOME": str(tmp_path / ".config")}) == usual
    assert site_path(None, {**home, "BIOSIM_SITE": str(mine)}) == mine
    assert site_path(usual, {**home, "BIOSIM_SITE": str(mine)}) == usual
    with pytest.raises(SubmissionError, match=r"no site file nowhere \(--site\); expected a TOML"):
        site_path(Path("nowhere"), home)
    with pytest.raises(SubmissionError, match=r"no site file nowhere \(\$BIOSIM_SITE\)"):
        site_path(None, {"BIOSIM_SITE": "nowhere"})


def test_what_a_partition_does_not_allow_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "partition = 'cpu'\n[partitions.cpu]\nmax_time = '2 h'\nmax_nodes = 2")
    site = read_site(path)
    settled(site, path, {"time": "2 h", "nodes": 2}, None).check_limits()
    settled(site, path, {"time": "9 h", "partition": "other"}, None).check_limits()
    with pytest.raises(SubmissionError, match=r"time is 3 h .* partition cpu allows 2 h"):
        settled(site, path, {"time": "3 h"}, None).check_limits()
    with pytest.raises(SubmissionError, match="nodes is 3 and partition cpu allows 2"):
        settled(site, path, {"nodes": 3}, None).check_limits()


def test_options_of_the_scheduler_are_handed_on_as_they_stand() -> None:
    found = options_of(["mail-type=END", "--exclusive", "oversubscribe=false"])
    assert found == {"mail-type": "END", "exclusive": True, "oversubscribe": False}
    with pytest.raises(SubmissionError, match="--option: got '=END'; expected key=value"):
        options_of(["=END"])


@pytest.mark.parametrize("path", SITES, ids=lambda path: path.stem)
def test_the_examples_in_the_docs_are_site_files(path: Path) -> None:
    site = read_site(path)
    assert site.scheduler is not None
    settled(site, path, {}, None).check_limits()


def test_there_are_examples_of_several_kinds_of_clusters() -> None:
    assert {read_site(path).scheduler for path in SITES} >= {"slurm", "pbs", "lsf", "local"}
