"""The page about clusters is followed as its reader would, without a cluster."""

from __future__ import annotations

import re
import shlex
import sys
import time
import tomllib
from pathlib import Path

import pytest

from hpc import cli
from hpc.submission.site import Site

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cluster.md"
QUICK = ["run.epochs=1", "run.batch_size=256", "network.hidden=[4]"]


def blocks(language: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def lines() -> list[list[str]]:
    shown = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in shown]


def biosim(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["biosim", *words])
    try:
        cli.main()
    except SystemExit as end:
        if end.code != 0:
            raise


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("BIOSIM_SITE", raising=False)


@pytest.mark.parametrize(
    "words", [line for line in lines() if line[0] == "submit"], ids=lambda words: words[-1]
)
def test_every_submission_on_the_page_can_be_made(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    biosim(monkeypatch, [*words, *([] if "--dry-run" in words else ["--dry-run"])])
    assert capsys.readouterr().out
    assert not list(Path.cwd().iterdir())


def test_the_site_file_on_the_page_is_one() -> None:
    (text,) = blocks("toml")
    assert Site.model_validate(tomllib.loads(text)).scheduler == "slurm"


def test_a_line_that_is_wrong_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit):
        biosim(monkeypatch, ["submit", "digits", "--ranks", "2", "--dry-run"])


@pytest.mark.slow
def test_the_laptops_part_of_the_page_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = [line for line in lines() if "runs/first" in line]
    assert [line[0] for line in first] == ["submit", "status", "logs", "fetch-results"]
    biosim(monkeypatch, [*first[0], *QUICK])
    until = time.monotonic() + 200
    while time.monotonic() < until:
        biosim(monkeypatch, first[1])
        said = capsys.readouterr().out
        if "4 complete" in said:
            break
        time.sleep(1)
    assert "4 complete" in said
    for words in first[2:]:
        biosim(monkeypatch, words)
    assert "report in" in capsys.readouterr().out
