"""The README is run as a reader would: its Python as it stands, its commands in their order."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpc import cli

README = Path(__file__).resolve().parents[2] / "README.md"
QUICK = ["run.epochs=1", "run.batch_size=128"]
"""Appended to what learns: what is shown runs, only shorter, and compared with one seed."""

SHORT = {
    "brunel": [],
    "cuba": [],
    "spike_pair": [],
    "hidden_pattern": ["task.seconds=1", "task.repeats=1"],
    "reward_choice": ["task.trials=3"],
}
"""What does not learn in epochs, and what makes it short."""


def is_dear(words: list[str]) -> bool:
    """Return whether a command starts many processes or Brian2, or reads what such a one stored."""
    many = words[0] in ("compare", "check") or (words[0] == "run" and "--ranks" in words)
    return many or "reward_choice" in words or {"runs/two", "runs/two_ranks"} & {*words} != set()


def blocks(language: str) -> list[str]:
    text = README.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def biosim_lines() -> list[list[str]]:
    shown = [line for block in blocks("sh") for line in block.split("\n")]
    lines = [shlex.split(line, comments=True) for line in shown]
    return [words[1:] for words in lines if words[:1] == ["biosim"]]


def biosim(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    learns = words[0] in ("run", "compare") and "--resume" not in words
    quick = SHORT.get(words[1], QUICK) if learns else []
    if "--seeds" in words:
        quick = [*quick, "--seeds", "1"]
    monkeypatch.setattr(sys, "argv", ["biosim", *words, *quick])
    try:
        cli.main()
    except SystemExit as end:
        if end.code != 0:
            raise


def test_the_python_of_the_readme_runs_in_ten_lines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    block = blocks("python")[0]
    monkeypatch.chdir(tmp_path)
    exec(compile(block, str(README), "exec"), {})
    assert "goodness" in capsys.readouterr().out
    statements = block.replace("\n    ", " ").replace("\n)", ")").strip().split("\n")
    assert len([line for line in statements if line and "import" not in line]) <= 10


def test_the_spiking_python_of_the_readme_learns(capsys: pytest.CaptureFixture[str]) -> None:
    block = blocks("python")[1]
    found: dict[str, Any] = {}
    exec(compile(block, str(README), "exec"), found)
    assert "spikes in a second" in capsys.readouterr().out
    weights = found["sink"].weights["noise-E"].values["w"].mean(axis=1)
    assert weights[-1] > 1.01 * weights[0]


def test_the_analysis_of_the_readme_runs_on_what_it_stored_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layers, _, _, block = blocks("python")
    monkeypatch.chdir(tmp_path)
    (cuba,) = (words for words in biosim_lines() if words[-1] == "runs/cuba")
    biosim(monkeypatch, cuba)
    for shown_code in (layers, block):
        exec(compile(shown_code, str(README), "exec"), {})
    shown = capsys.readouterr().out
    assert "mean rate" in shown
    assert "CKA to the start 0." in shown


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_commands_of_the_readme_run_in_their_order(
    every: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    inputs = np.random.default_rng(0).random((300, 5), dtype=np.float32)
    np.savez("mine.npz", x=inputs, y=np.arange(300) % 3)
    np.savez("new.npz", x=inputs[:7])
    lines = [words for words in biosim_lines() if every or not is_dear(words)]
    assert len(lines) >= 20
    for words in lines:
        biosim(monkeypatch, words)
    for figure in ("cka.pdf", "raster.pdf", "rates.svg", "isi.png"):
        assert (tmp_path / figure).stat().st_size > 5_000
    assert (tmp_path / "answers.npz").is_file()
    if not every:
        return
    assert (tmp_path / "runs/two/report.html").is_file()
    found: dict[str, Any] = {}
    exec(compile(blocks("python")[2], str(README), "exec"), found)
    assert found["test"].dims == ("rule", "seed")
    assert (found["runs"].status == "complete").all()


def test_a_command_that_fails_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        biosim(monkeypatch, ["run", "digit"])
