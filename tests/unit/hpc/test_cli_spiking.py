"""The command line with spiking networks: what it prints, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import biosim
from scenarios.spiking import schema
from tests.unit.hpc.test_cli import Command

SMALL = """
name = "small"
[populations.E]
size = 20
model = "dv/dt = (15*mV - v)/(20*ms) : volt"
threshold = "v > 10*mV"
reset = "v = 0*mV"
method = "exact"
initial = { v = "rand()*10*mV" }
[projections.ee]
source = "E"
target = "E"
receptor = "v"
wiring = { rule = "fixed_probability", p = 0.1 }
weight = "-0.1 mV"
[run]
duration = "100 ms"
"""


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    (tmp_path / "small.toml").write_text(SMALL)
    return Command(monkeypatch, capsys, tmp_path)


def test_a_run_says_what_the_populations_did_and_where_it_is(command: Command) -> None:
    done = command("run", "small.toml")
    assert done.code == 0, done.err
    assert re.search(r"20 neurons, \d+ synapses, 0.1 s simulated", done.out)
    assert re.search(r"^E +20 +\d+\.\d\d +\d\.\d\d$", done.out, re.MULTILINE)
    assert re.search(r"wall time [\d.e-]+ s: [\d.e-]+ times real time, .* ns a syn", done.out)
    assert re.search(r"input to v of E is summed in steps of 2\^-\d+ V", done.out)
    assert "results in runs/small-seed-0" in done.out
    assert biosim.open_run("runs/small-seed-0").attrs["status"] == "complete"


def test_settings_on_the_command_line_reach_the_network(command: Command) -> None:
    words = ("run.duration=20 ms", "populations.E.size=8", "run.seed=5", "dt=0.2 ms")
    done = command("run", "small.toml", *words, "--out", "there")
    assert done.code == 0, done.err
    assert "8 neurons" in done.out
    attributes = biosim.open_run("there").attrs
    assert (attributes["ticks"], attributes["seed"]) == (100, 5)


def test_validating_says_how_large_the_network_is_and_runs_nothing(command: Command) -> None:
    done = command("validate", "small.toml")
    assert done.code == 0, done.err
    assert "small is valid: 1 populations of 20 neurons, 1 projections with about 40" in done.out
    assert "1,000 ticks of 0.1 ms" in done.out
    assert command.files() == {"small.toml"}


def test_a_new_network_is_valid_as_it_is_and_names_every_key(command: Command) -> None:
    assert command("new", "mine", "--spiking").code == 0
    done = command("validate", "mine.toml")
    assert done.code == 0, done.err
    text = Path("mine.toml").read_text()
    tables = (
        *(schema.SpikingScenario, schema.PopulationTable, schema.ProjectionTable, schema.Wiring),
        *(schema.Plasticity, schema.InputTable, schema.SpikingRun, schema.SpikingRecord),
        *(schema.SpikesOf, schema.StatesOf, schema.WeightsOf, schema.Drawn),
    )
    for table in tables:
        for key in table.model_fields:
            assert re.search(rf"\b{key}\b", text), (table, key)
    for rule in schema.Wiring.KEYS:
        assert f'"{rule}"' in text or rule == "one_to_one"


def test_what_a_new_network_shows_as_a_comment_is_valid_too(command: Command) -> None:
    command("new", "mine", "--spiking")
    lines = Path("mine.toml").read_text().splitlines()
    shown = ("# scale", "# integration", "# expected_rate")
    changed = [line.removeprefix("# ") if line.startswith(shown) else line for line in lines]
    text = "\n".join(changed).replace('"5 Hz"', '"10 Hz * scale"')
    Path("other.toml").write_text(text.replace('"event"', '"clock"'))
    done = command("validate", "other.toml")
    assert done.code == 0, done.err


def test_the_list_of_scenarios_has_the_networks(command: Command) -> None:
    listed = command("scenarios").out
    for name in ("cuba", "cobahh", "brunel", "brunel_stdp", "spike_pair", "microcircuit"):
        assert re.search(rf"^{name} +\S", listed, re.MULTILINE)


def test_traces_info_lists_what_a_run_stored(command: Command) -> None:
    command("run", "small.toml", "--out", "there")
    done = command("traces", "info", "there")
    assert done.code == 0, done.err
    assert re.search(r"^scenario +small, seed 0$", done.out, re.MULTILINE)
    assert re.search(r"^neurons +E 20$", done.out, re.MULTILINE)
    assert re.search(r"^spikes/E/time +spike \d+ +float64 +[\d,]+$", done.out, re.MULTILINE)


def test_a_report_has_the_table_of_the_run(command: Command) -> None:
    ran = command("run", "small.toml", "--out", "there")
    done = command("report", "there")
    assert done.code == 0, done.err
    assert "scenario small, seed 0: complete" in done.out
    assert ran.out.partition("\nresults in")[0] in done.out
    assert Path("there/report.html").is_file()


def test_checking_against_brian_says_where_the_two_part(command: Command) -> None:
    done = command("check", "small.toml", "--against", "brian2", "--duration", "30 ms")
    assert done.code == 0, done.err
    assert "small, seed 0, 300 ticks:" in done.out
    assert "every spike is equal" in done.out


REFUSED = {
    "unknown key": (["run", "small.toml", "run.epochs=3"], "run.epochs: unknown key"),
    "unit": (["run", "small.toml", "populations.E.reset=v = 1"], "populations.E: reset 'v = 1'"),
    "unknown name": (
        ["validate", "small.toml", "populations.E.threshold=u > 1*mV"],
        "populations.E: threshold 'u > 1*mV': the name 'u' is unknown",
    ),
    "integrator": (
        ["run", "small.toml", "populations.E.model=dv/dt = -v*v/(1*mV*ms) : volt"],
        "populations.E: equation 'dv/dt = -v*v/(1*mV*ms)': cannot be integrated by 'exact'",
    ),
    "delay below a tick": (
        ["run", "small.toml", "projections.ee.delay=0.05 ms"],
        "projections.ee.delay: '0.05 ms' is 0.5 ticks",
    ),
    "no neurons": (["run", "small.toml", "populations.E.size=0"], "populations.E.size: got 0"),
    "probability": (
        ["run", "small.toml", "projections.ee.wiring.p=1.5"],
        "projections.ee.wiring.p: got 1.5",
    ),
    "memory": (
        ["run", "small.toml", "populations.E.size=100_000_000", "projections.ee.wiring.p=0.9"],
        "the network needs about",
    ),
    "no scale": (["run", "small.toml", "scale=0.1"], "scale: got 0.1"),
    "output exists": (["run", "small.toml", "--out", "taken"], "taken exists"),
    "no comparison": (["compare", "small.toml"], "small is a spiking network"),
    "other simulator": (
        ["check", "small.toml", "--against", "neuron"],
        "--against: got 'neuron'; expected brian2",
    ),
    "check of layers": (["check", "digits"], "digits is no spiking network"),
    "check of no time": (
        ["check", "small.toml", "--duration", "0.05 ms"],
        "check.duration: '0.05 ms' is 0.5 ticks",
    ),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_bad_input_is_one_line_with_exit_code_2_and_writes_nothing(
    case: str, command: Command
) -> None:
    Path("taken").mkdir()
    Path("taken/mine.txt").write_text("mine")
    before = command.files()
    words, message = REFUSED[case]
    done = command(*words)
    assert done.code == 2
    assert done.err.startswith("biosim: ")
    assert done.err.count("\n") == 1
    assert message in done.err
    assert done.out == ""
    assert command.files() == before


def test_a_run_that_diverges_ends_with_exit_code_2_and_one_line(command: Command) -> None:
    model = ["populations.E.model=dv/dt = v*v/(1*mV*ms) : volt", "populations.E.method=euler"]
    done = command(
        "run", "small.toml", *model, "populations.E.threshold=v > 1e30*volt", "--out", "x"
    )
    assert done.code == 2
    assert re.fullmatch(r"biosim: population 'E', neuron \d+: v is .*; it is in x\n", done.err)
    assert biosim.open_run("x").attrs["status"] == "diverged"
