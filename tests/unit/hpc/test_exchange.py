"""`traces export` and `traces import`: what they write, what they say, what they refuse."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

import biosim
from biosim import analysis
from hpc import exchange
from tests.unit.biosim.exchange.runs import finished, killed, trains
from tests.unit.hpc.test_cli import QUICK, Command

LINEAR = """
name = "linear"
[populations.E]
size = 12
model = "dv/dt = (15*mV - v)/(20*ms) : volt"
threshold = "v > 10*mV"
reset = "v = 0*mV"
method = "exact"
initial = { v = "rand()*10*mV" }
[projections.ee]
source = "E"
target = "E"
receptor = "v"
wiring = { rule = "fixed_probability", p = 0.2 }
weight = "-0.1 mV"
delay = "1.5 ms"
[run]
duration = "60 ms"
seed = 4
"""


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    return Command(monkeypatch, capsys, tmp_path)


def recording(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["spikes"] = [0.5, 1.25, 0.1]
        file["sCount"] = [2, 1]
        file["epos"] = [[0.0, 100.0], [0.0, 50.0]]
    return path


@pytest.mark.parametrize("form", ["nwb", "sonata"])
def test_a_run_goes_out_and_comes_back(command: Command, form: str) -> None:
    truth = trains(finished(command.home / "run"))
    done = command("traces", "export", "run", "--to", form, "--out", "a.h5")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("a.h5: ")
    done = command("traces", "import", "a.h5", "--from", form, "--out", "back")
    assert done.code == 0, done.err
    assert "E: 4,945 spikes of 70 units" in done.out
    assert "ticks of 0.1 ms; no spike was moved by more than" in done.out
    assert trains(biosim.open_run("back")) == truth
    assert {path.name for path in command.home.iterdir()} == {"run", "a.h5", "back"}


def test_an_electrode_recording_becomes_a_run_for_the_analysis(command: Command) -> None:
    recording(command.home / "retina.h5")
    done = command("traces", "import", "retina.h5", "--from", "hdf5-mea", "--out", "retina")
    assert done.code == 0, done.err
    assert "the file does not say when it ends; taken is 1.25" in done.out
    assert "--stop sets it" in done.out
    words = ("--stop", "2.0", "--overwrite")
    done = command("traces", "import", "retina.h5", "--from", "hdf5-mea", "--out", "retina", *words)
    assert done.code == 0, done.err
    spikes = biosim.open_run("retina")["spikes/units"]
    np.testing.assert_allclose(analysis.mean_rate(spikes), [1.0, 0.5])
    done = command("traces", "info", "retina")
    assert "recorded  retina.h5, format hdf5-mea; the end is as the file says" in done.out
    done = command("traces", "export", "retina", "--to", "nwb", "--out", "retina.nwb")
    assert done.code == 0, done.err


def test_the_network_of_a_run_goes_out_to_nir(command: Command) -> None:
    import nir

    (command.home / "linear.toml").write_text(LINEAR)
    assert command("run", "linear.toml", "--out", "run").code == 0
    done = command("traces", "export", "run", "--to", "nir", "--out", "a.nir")
    assert done.code == 0, done.err
    graph = nir.read("a.nir")
    assert isinstance(graph.nodes["E"], nir.LIF)
    assert json.loads(graph.metadata["biosim"])["seed"] == 4
    delays = [n.delay[0] for n in graph.nodes.values() if isinstance(n, nir.Delay)]
    np.testing.assert_allclose(delays, [1.4e-3])


def test_what_nir_has_not_is_one_line(command: Command) -> None:
    words = ("run.duration=5 ms", "populations.E.size=40", "populations.I.size=10")
    assert command("run", "cuba", *words, "--out", "run").code == 0
    done = command("traces", "export", "run", "--to", "nir", "--out", "a.nir")
    assert done.code == 2
    assert "NIR cannot describe this network: population 'E' has a refractory time" in done.err
    assert not (command.home / "a.nir").exists()


def test_layers_give_metrics_and_nothing_else(command: Command) -> None:
    assert command("run", "digits", *QUICK, "rule.name=noprop", "--out", "run").code == 0
    done = command("traces", "export", "run", "--to", "parquet", "--out", "a.parquet")
    assert done.code == 0, done.err
    table = pd.read_parquet("a.parquet")
    stored = biosim.open_run("run")["learning"].accuracy.sel(epoch=1, split="test")
    mine = table[(table.metric == "accuracy") & (table.epoch == 1) & (table.split == "test")]
    assert mine.set_index("way").value.to_dict() == stored.to_series().to_dict()
    for form, message in (("nwb", "the run has no spikes"), ("nir", "is of layers or of a task")):
        done = command("traces", "export", "run", "--to", form, "--out", "b")
        assert done.code == 2
        assert message in done.err


def test_of_a_killed_run_it_is_said_what_is_exported(command: Command) -> None:
    tree = killed(command.home / "run", 300)
    done = command("traces", "export", "run", "--to", "parquet", "--out", "a.parquet")
    assert done.code == 0
    assert "(status running); exported is the first 0.03 s" in done.out
    assert len(pd.read_parquet("a.parquet")) == sum(map(len, trains(tree).values()))


def test_a_run_with_both_tables_says_so(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    finished(command.home / "run")
    monkeypatch.setattr("biosim.exchange.parquet.tables", lambda tree: ["spikes", "learning"])
    done = command("traces", "export", "run", "--to", "parquet", "--out", "a.parquet")
    assert "the run has learning metrics too: --what learning exports them" in done.out


def test_populations_can_be_chosen(command: Command) -> None:
    finished(command.home / "run")
    words = ("--population", "E", "--population", "silent")
    done = command("traces", "export", "run", "--to", "sonata", "--out", "a.h5", *words)
    assert done.code == 0, done.err
    with h5py.File("a.h5") as file:
        assert set(file["spikes"]) == {"E", "silent"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("export nothing --to nwb --out a", "nothing holds no run"),
        ("export run --to nbw --out a", "--to: no format 'nbw'; did you mean 'nwb'?"),
        ("export run --to nwb --out there.nwb", "there.nwb exists; choose another --out, or give"),
        ("export run --to nwb --out run", "run is a directory; expected the name of a file"),
        ("export run --to nwb --out no/a.nwb", "no is no directory; make it"),
        ("export run --to nwb --out a --population X", "spikes of 'X' were not recorded"),
        ("export run --to nwb --out a --what spikes", "got 'spikes'; expected spikes or learning"),
        ("export run --to parquet --out a --what rates", "--what: got 'rates'"),
        ("export run --to parquet --out a --what learning", "has no learning; it has spikes"),
        ("export run --to nir --out a --population E", "NIR holds the whole network"),
        ("export retina --to nir --out a", "the run is a recording; NIR describes networks"),
        ("import retina.h5 --from edf --out a", "--from: no format 'edf'; known are nwb, sonata"),
        ("import none.h5 --from nwb --out a", "none.h5 is no file"),
        ("import text.h5 --from nwb --out a", "text.h5 is not a whole HDF5 file"),
        ("import retina.h5 --from nwb --out a", "no NWB file: it has no nwb_version"),
        ("import retina.h5 --from sonata --out a", "has no group /spikes"),
        (
            "import there.nwb --from hdf5-mea --out a",
            "there.nwb has no spikes; expected the arrays",
        ),
        ("import retina.h5 --from hdf5-mea --out retina", "retina exists; choose another --out"),
        ("import retina.h5 --from hdf5-mea --out a --stop 1", "got 1 s for the end, but"),
        ("import retina.h5 --from hdf5-mea --out a --tick 0", "got a tick of 0.0 s"),
        ("report retina", "retina is an imported recording, and a report is of what was simulated"),
    ],
)
def test_bad_words_are_one_line_and_nothing_is_written(
    command: Command, words: str, message: str, made: Path
) -> None:
    before = command.files()
    head = () if words.startswith("report") else ("traces",)
    done = command(*head, *words.split())
    assert done.code == 2
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert command.files() == before


@pytest.fixture
def made(command: Command) -> Path:
    """A run, a recording and its import, an NWB file, and a text."""
    home = command.home
    finished(home / "run")
    recording(home / "retina.h5")
    (home / "text.h5").write_text("no HDF5")
    with h5py.File(home / "there.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.8.0"
    exchange.imported(home / "retina.h5", "hdf5-mea", home / "retina")
    return home


def test_the_folder_that_one_is_in_can_be_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for overwrite in (False, True):
        exchange.imported(recording(tmp_path / "a.h5"), "hdf5-mea", Path(), None, None, overwrite)
        assert biosim.open_run(tmp_path / "here")["spikes/units"].sizes["spike"] == 3
        monkeypatch.chdir(tmp_path / "here")


def test_a_failed_import_keeps_what_it_was_to_replace(command: Command, made: Path) -> None:
    with h5py.File(made / "retina.h5", "r+") as file:
        file["spikes"][0] = -1.0
    words = ("--from", "hdf5-mea", "--out", "retina", "--overwrite")
    done = command("traces", "import", "retina.h5", *words)
    assert done.code == 2
    assert "got a spike at -1 s" in done.err
    assert trains(biosim.open_run("retina"))["units"]


def test_what_biosim_did_not_make_is_not_replaced(command: Command, made: Path) -> None:
    (made / "retina" / "notes.txt").write_text("mine")
    words = ("--from", "hdf5-mea", "--out", "retina", "--overwrite")
    done = command("traces", "import", "retina.h5", *words)
    assert done.code == 2
    assert "'notes.txt', which is no result of biosim" in done.err


@pytest.mark.parametrize(
    ("form", "library"),
    [("nwb", "pynwb"), ("neo", "neo"), ("sonata", "h5py"), ("parquet", "pyarrow")],
)
def test_a_missing_library_is_one_line_that_says_what_to_install(
    command: Command, monkeypatch: pytest.MonkeyPatch, form: str, library: str
) -> None:
    finished(command.home / "run")
    monkeypatch.setitem(sys.modules, library, None)
    extra = {"sonata": "hdf5"}.get(form, form)
    done = command("traces", "export", "run", "--to", form, "--out", "a")
    assert done.code == 2
    assert f"{library} is not installed" in done.err
    assert f"pip install 'biosim[{extra}]'" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_report_over_many_runs_leaves_recordings_out(command: Command) -> None:
    recording(command.home / "retina.h5")
    exchange.imported(command.home / "retina.h5", "hdf5-mea", command.home / "runs" / "retina")
    done = command("report", "runs")
    assert done.code == 2
    assert "holds no runs" in done.err


def test_a_disk_that_fills_up_while_importing_is_one_line(
    command: Command, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("biosim.exchange.write_recording", full)
    done = command("traces", "import", "retina.h5", "--from", "hdf5-mea", "--out", "b")
    assert done.code == 2
    assert "b cannot be written (No space left on device)" in done.err
    assert not (made / "b").exists()
