"""`biosim traces plot`: a file, or one line and exit code 2."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hpc import cli
from tests.unit.biosim.spiking.made_up_run import recorded


def biosim(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["biosim", *words])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run")
    recorded(path)
    return path


def test_a_figure_is_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "raster.svg"
    words = ("traces", "plot", str(run), "--what", "raster", "--out", str(out))
    assert biosim(monkeypatch, *words, "--of", "E, I", "--start", "0.01", "--stop", "0.03") == 0
    assert capsys.readouterr().out == f"wrote {out}\n"
    text = out.read_text(encoding="utf-8")
    assert "time (s)" in text
    assert "E" in text


def test_a_file_is_replaced_only_if_that_is_asked_for(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "raster.svg"
    out.write_text("mine")
    words = ("traces", "plot", str(run), "--what", "raster", "--out", str(out))
    assert biosim(monkeypatch, *words) == 2
    assert f"{out} exists; choose another --out, or give --overwrite" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert biosim(monkeypatch, *words, "--overwrite") == 0
    assert "<svg" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--what", "rastr"), "got the figure 'rastr'; expected one of raster, rates"),
        (("--what", "cka"), "the run stored no activity for test samples; a run that learns"),
        (("--what", "raster", "--of", "X"), "stored no spikes of 'X'; it has those of E, I"),
        (("--what", "raster", "--out", "x.gif"), "x.gif ends with '.gif'; expected one of"),
        (("--what", "raster", "--start", "7"), "got the stretch from 7 s to 0.073 s"),
        (("--what", "raster", "--width", "1"), "got a width of 1.0 mm; expected 40 to 1000"),
        ((), "Missing option '--what'"),
    ],
)
def test_a_wrong_question_is_one_line_and_exit_code_2(
    words: tuple[str, ...],
    line: str,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert biosim(monkeypatch, "traces", "plot", str(run), "--out", "x.png", *words) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert line in said
    assert not list(tmp_path.iterdir())


def test_a_directory_without_a_run_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--what", "raster", "--out", str(tmp_path / "x.png"))
    assert biosim(monkeypatch, "traces", "plot", str(tmp_path), *words) == 2
    assert "holds no run" in capsys.readouterr().err
