"""A cluster of a few lines of shell: it notes what it is asked, and runs a job when it is told."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from hpc import cli

QUICK = ["run.epochs=1", "run.batch_size=256", "network.hidden=[4]", "record.samples=3"]
ASKED = ["--time", "1 h", "--memory", "1 GiB", "--mpi", "srun"]
"""So that nothing is to be proposed, which takes time."""

SBATCH = """\
#!/bin/sh
for script; do :; done
echo "sbatch $*" >> "$FAKE/calls"
if [ -e "$FAKE/refuse" ] && grep -q -- "$(cat "$FAKE/refuse_if")" "$script"; then
    cat "$FAKE/refuse" >&2; exit 1
fi
if [ -e "$FAKE/silent" ]; then sleep 20; fi
number=$(($(cat "$FAKE/last") + 1)); echo $number > "$FAKE/last"
cp "$script" "$FAKE/$number.sh"
echo "Submitted batch job $number"
"""
SRUN = """\
#!/bin/sh
echo "srun $*" >> "$FAKE/calls"
while :; do
    case $1 in
        --output|--error) shift 2;;
        -*) shift;;
        *) break;;
    esac
done
SLURM_STEP_ID=0 SLURM_PROCID=0 SLURM_NTASKS=1 exec "$@"
"""
SQUEUE = """\
#!/bin/sh
[ -e "$FAKE/reason" ] && cat "$FAKE/reason" || echo Priority
"""
SCANCEL = """\
#!/bin/sh
echo "${0##*/} $*" >> "$FAKE/calls"
"""


@dataclass(frozen=True)
class Ended:
    """How a job ended, and what its files say."""

    code: int
    out: str
    err: str


class Cluster:
    """What the fake commands were called with, and what they were given.

    Args:
        place: directory of its files.
    """

    def __init__(self, place: Path) -> None:
        self.place = place

    @property
    def calls(self) -> list[str]:
        """Every command that was called, with its arguments."""
        path = self.place / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def script(self, number: int) -> str:
        """Return the script of a job."""
        return (self.place / f"{number}.sh").read_text()

    def flags(self, number: int) -> dict[str, str]:
        """Return the options in the script of a job."""
        return flags(self.script(number))

    def refuse(self, words: str, those_with: str = "") -> None:
        """Let sbatch refuse jobs whose script holds a text."""
        (self.place / "refuse").write_text(words)
        (self.place / "refuse_if").write_text(those_with)

    def run(self, number: int, task: int | None = None, **environment: str) -> Ended:
        """Run a job, or a task of an array, to its end."""
        asked = self.flags(number)
        known = {
            **os.environ, "SLURM_JOB_ID": str(number), "SLURM_NTASKS": asked["ntasks"],
            **environment,
        }  # fmt: skip
        files = [asked[name].replace("%j", str(number)) for name in ("output", "error")]
        if task is not None:
            known |= {"SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": str(task)}
            of_task = {"%A": str(number), "%a": str(task)}
            files = [re.sub("%[Aa]", lambda sign: of_task[sign[0]], file) for file in files]
        out, err = map(Path, files)
        with out.open("a") as stdout, err.open("a") as stderr:
            done = subprocess.run(
                ["bash", self.place / f"{number}.sh"],
                env=known,
                stdout=stdout,
                stderr=stderr,
                cwd="/",  # a job needs no directory of its own
            )
        return Ended(done.returncode, out.read_text(), err.read_text())


def flags(script: str) -> dict[str, str]:
    """Return the options in a script."""
    found = {}
    for line in script.splitlines():
        if line.startswith("#SBATCH --"):
            name, _, value = line.removeprefix("#SBATCH --").partition("=")
            found[name] = "".join(shlex.split(value))
    return found


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A cluster whose commands come first on the path; no site file, and no MPI to be asked."""
    place, bin_ = tmp_path / "fake", tmp_path / "fake" / "bin"
    bin_.mkdir(parents=True)
    (place / "last").write_text("100")
    (place / "refuse_if").write_text("")
    fakes = {
        "sbatch": SBATCH,
        "srun": SRUN,
        "squeue": SQUEUE,
        "scancel": SCANCEL,
        "scontrol": SCANCEL,
    }
    for name, text in fakes.items():
        (bin_ / name).write_text(text)
        (bin_ / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
    monkeypatch.setattr("hpc.submission.checking.NODE_LOCAL", ())  # where tests write
    monkeypatch.setenv("FAKE", str(place))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in [name for name in os.environ if name.startswith(("SLURM_", "BIOSIM_SITE"))]:
        monkeypatch.delenv(name)
    return Cluster(place)


class Outcome:
    """Exit code and output of one command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


class Command:
    """Runs `biosim submit WORDS` in this process, in an empty directory."""

    def __init__(self, monkeypatch, capsys, home: Path) -> None:
        self._monkeypatch, self._capsys, self.home = monkeypatch, capsys, home
        home.mkdir()
        monkeypatch.chdir(home)

    def __call__(self, *words: str, asked: list[str] = ASKED) -> Outcome:
        self._monkeypatch.setattr(sys, "argv", ["biosim", "submit", *words, *asked])
        code = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = self._capsys.readouterr()
        return Outcome(code, said.out, said.err)

    @property
    def files(self) -> set[str]:
        return {str(path.relative_to(self.home)) for path in self.home.rglob("*")}


@pytest.fixture
def submit(
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Command:
    return Command(monkeypatch, capsys, tmp_path / "home")


def refused(done: Outcome, said: str) -> None:
    assert done.code == 2, done.err
    assert said in done.err
    assert len(done.err.splitlines()) == 1
