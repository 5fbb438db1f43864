"""The command line of biosim beside a Slurm, and what it says of what was submitted."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hpc import cli
from tests.slurm.jobs import FOREIGN, Slurm

QUICK_JOB = ["--time=10 min", "--memory=800 MiB"]
"""What every job here asks for; several fit on a node of the cluster."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


class Biosim:
    """Runs commands in this process, in a directory of their own.

    Args:
        slurm: to which they speak.
        home: the directory.
        monkeypatch: of the test.
        capsys: of the test.
    """

    def __init__(
        self,
        slurm: Slurm,
        home: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.slurm, self.home = slurm, home
        self._monkeypatch, self._capsys = monkeypatch, capsys
        for name in [name for name in os.environ if FOREIGN.match(name)]:
            monkeypatch.delenv(name)
        for name, value in slurm.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("BIOSIM_SITE", raising=False)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
        monkeypatch.chdir(home)

    def __call__(self, *words: str) -> Outcome:
        """Run a command, however it ends."""
        self._monkeypatch.setattr(sys, "argv", ["biosim", *words])
        code = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = self._capsys.readouterr()
        return Outcome(code, said.out, said.err)

    def well(self, *words: str) -> str:
        """Run a command that must end well; return what it printed."""
        done = self(*words)
        assert done.code == 0, done.err
        return done.out

    def submit(self, out: str, *words: str) -> Path:
        """Submit, with the limits of QUICK_JOB unless others are given."""
        self.well("submit", *words, *QUICK_JOB, "--out", out)
        return self.home / out

    def entries(self, out: Path) -> dict[str, Mapping[str, Any]]:
        """Return what `biosim status` says of every entry of a submission, by its name."""
        (told,) = json.loads(self.well("status", "--json", str(out)))
        return {entry["name"]: entry for entry in told["entries"]}

    def entry(self, out: Path) -> Mapping[str, Any]:
        """Return what it says of the only entry."""
        (entry,) = self.entries(out).values()
        return entry

    def until(
        self,
        out: Path,
        ready: Callable[[Mapping[str, Any]], object],
        limit_s: float = 150.0,
    ) -> dict[str, Mapping[str, Any]]:
        """Wait until all entries are so; return them."""
        until = time.monotonic() + limit_s
        while True:
            entries = self.entries(out)
            if all(map(ready, entries.values())):
                return entries
            assert time.monotonic() < until, f"after {limit_s:g} s: {entries} {self.logs(out)}"
            time.sleep(0.5)

    def logs(self, out: Path) -> str:
        """Return what the jobs of a submission wrote."""
        files = sorted((out / "logs").glob("*"))
        return "\n".join(f"== {file.name}\n{file.read_text()}" for file in files)


def over(entry: Mapping[str, Any]) -> bool:
    """Return whether an entry will not change by itself."""
    return entry["state"] not in ("running", "waiting")
