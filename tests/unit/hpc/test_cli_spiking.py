"""The command line with spiking networks: what it prints, and what it refuses."""

from __future__ import annotations

import json
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
    assert "and stores 0.1 KiB of spikes: 0.1 KiB in the end, and 0.3 KiB on the way" in done.out
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
    networks = ("cuba", "cobahh", "brunel", "brunel_stdp", "spike_pair", "microcircuit")
    for name in (*networks, "hidden_pattern", "reward_choice"):
        assert re.search(rf"^{name} +\S", listed, re.MULTILINE)


def test_traces_info_lists_what_a_run_stored(command: Command) -> None:
    command("run", "small.toml", "--out", "there")
    done = command("traces", "info", "there")
    assert done.code == 0, done.err
    assert re.search(r"^scenario +small, seed 0$", done.out, re.MULTILINE)
    assert re.search(r"^neurons +E 20$", done.out, re.MULTILINE)
    assert re.search(r"^spikes/E/time +spike \d+ +float64 +[\d,]+ +[\d,]+$", done.out, re.MULTILINE)


def test_traces_repair_finishes_what_needs_it_and_refuses_what_is_no_run(command: Command) -> None:
    command("run", "small.toml", "--out", "there")
    done = command("traces", "repair", "there")
    assert (done.code, done.out) == (0, "there needs no repair: its status is complete\n")
    done = command("traces", "repair", "nowhere")
    assert done.code == 2
    assert done.err == "biosim: nowhere holds no run: expected a directory with run.zarr in it\n"


def test_what_is_damaged_is_one_line_for_every_command(command: Command) -> None:
    command("run", "small.toml", "--out", "there")
    for file in Path("there/run.zarr/spikes/E/by_time/id/c").iterdir():
        content = bytearray(file.read_bytes())
        content[-20] ^= 1
        file.write_bytes(bytes(content))
    done = command("report", "there")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert re.search(r"^biosim: there/run.zarr/spikes/E/by_time/id/c/0 is damaged", done.err)


def test_a_report_has_the_table_of_the_run(command: Command) -> None:
    ran = command("run", "small.toml", "--out", "there")
    done = command("report", "there")
    assert done.code == 0, done.err
    assert "scenario small, seed 0: complete" in done.out
    assert ran.out.partition("\nresults in")[0] in done.out
    assert Path("there/report.html").is_file()


def test_checking_against_brian_says_where_the_two_part(command: Command) -> None:
    step = ("dt=step", "constants.step=0.1 ms")  # the scenario's constants hold here too
    done = command("check", "small.toml", *step, "--against", "brian2", "--duration", "30 ms")
    assert done.code == 0, done.err
    assert "small, seed 0, 300 ticks:" in done.out
    assert "every spike is equal" in done.out


def listed(*times: str) -> str:
    return f"populations.told={{kind='spikes', size=2, indices=[0, 1], times={list(times)}}}"


def learns(weight: object) -> str:
    table = {
        **{"source": "E", "target": "E", "receptor": "v", "weight": weight},
        **{"wiring": {"rule": "all_to_all"}, "plasticity": {"rule": "stdp", "w_max": "1 mV"}},
    }
    return f"projections.ee={json.dumps(table).replace(': ', ' = ')}"


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
    "unit of an equation": (
        ["run", "small.toml", "populations.E.model=dv/dt = (15*mV - v)/(20*mV) : volt"],
        "populations.E: equation 'dv/dt = (15*mV - v)/(20*mV)': the unit of",
    ),
    "unit of a weight": (
        ["run", "small.toml", "projections.ee.weight=1 nS"],
        "projections.ee: weight '1*nS': the unit of '1*nS' is S, expected V",
    ),
    "unknown name in an equation": (
        ["run", "small.toml", "populations.E.model=dv/dt = (15*mV - v)/tau : volt"],
        "populations.E: equation 'dv/dt = (15*mV - v)/tau': the name 'tau' is unknown",
    ),
    "unknown receptor": (
        ["run", "small.toml", "projections.ee.receptor=ge"],
        "projections.ee: projection 'ee' ends at receptor 'ge' of 'E'; its equations have v",
    ),
    "noise for an integrator": (
        [
            *("run", "small.toml", "populations.E.method=rk4"),
            "populations.E.model=dv/dt = (15*mV-v)/(20*ms) + 1*mV*xi/sqrt(20*ms) : volt",
        ],
        "cannot be integrated by 'rk4'",
    ),
    "unstable": (
        [
            *("run", "small.toml", "populations.E.method=euler"),
            "populations.E.model=dv/dt = (15*mV - v)/(0.04*ms) : volt",
        ],
        "populations.E: equation 'dv/dt = (15*mV - v)/(0.04*ms)': its time constant of 4e-05 s is "
        "too short for method 'euler' with steps of 0.0001 s",
    ),
    "weight beyond its bounds": (
        ["run", "small.toml", learns("5 mV")],
        "projections.ee: weight: begins at 0.005; expected its bounds, 0.0 to 0.001",
    ),
    "drawn weight below its bounds": (
        ["run", "small.toml", learns({"uniform": ["-1 mV", "1 mV"]})],
        "projections.ee: weight: begins at -0.001; expected its bounds, 0.0 to 0.001",
    ),
    "delay between ticks": (
        ["run", "small.toml", "projections.ee.delay=0.25 ms"],
        "projections.ee.delay: '0.25 ms' is 2.5 ticks of 0.0001 s",
    ),
    "delay that is too long": (
        ["run", "small.toml", "projections.ee.delay=100 s"],
        "projections.ee.delay: '100 s' is 1e+06 ticks of 0.0001 s; expected at most 65535",
    ),
    "index out of range": (
        [
            *("run", "small.toml"),
            "projections.ee.wiring={rule='pairs', sources=[0, 20], targets=[1, 2]}",
        ],
        "projections.ee.wiring: projection 'ee' lists source 20 for synapse 1; expected 0 to 19",
    ),
    "negative probability": (
        ["run", "small.toml", "projections.ee.wiring.p=-0.1"],
        "projections.ee.wiring.p: got -0.1; expected a probability, 0 to 1",
    ),
    "spikes out of order": (
        ["run", "small.toml", listed("5 ms", "3 ms")],
        "populations.told.times: spike 1 is at 0.003 s, before spike 0 at 0.005 s",
    ),
    "spikes beyond the run": (
        ["run", "small.toml", listed("5 ms", "100 ms")],
        "populations.told.times: spike 1 is at 0.1 s; expected times from 0 to before the run's "
        "end at 0.1 s",
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
    "check of a task": (["check", "reward_choice"], "reward_choice is no spiking network of"),
    "comparison of a task": (
        ["compare", "hidden_pattern", "--rules", "stdp"],
        "hidden_pattern is a spiking network, which learns from no data set",
    ),
    "unknown task": (["validate", "task.toml"], "task.kind: got 'hiden_pattern'; did you mean"),
    "unknown key of a task": (
        ["run", "hidden_pattern", "task.epochs=3"],
        "task.epochs: unknown key; known are kind, afferents, involved",
    ),
    "unknown rule of a task": (
        ["run", "reward_choice", "rule.name=stdp"],
        "rule.name: no rule 'stdp' for this task; known are reward_stdp",
    ),
    "unknown parameter of a task's rule": (
        ["run", "hidden_pattern", "rule.lr=1"],
        "rule.lr: unknown key; known are name, w_max",
    ),
    "unit of a task's rule": (
        ["run", "reward_choice", "rule.w_max=1*nS"],
        "projection 'stimuli-left', on_pre, line 2, 'receptor += w': the unit of 'w' is S",
    ),
    "weight of a task": (
        ["run", "hidden_pattern", "task.weight=2"],
        "projection 'afferents-neuron', weight: begins at 2; expected its bounds, 0.0 to 1.0",
    ),
    "more afferents in the pattern than there are": (
        ["run", "hidden_pattern", "task.involved=2001"],
        "task: 2001 of 2000 afferents take part in the pattern; expected at most all of them",
    ),
    "a pattern that is never shown": (
        ["run", "hidden_pattern", "task.seconds=0.1"],
        "task: in 0.1 s the pattern would never be shown; make seconds or share greater",
    ),
    "memory of a task's input": (
        ["run", "hidden_pattern", "task.seconds=1e5", "task.afferents=100_000"],
        "the network needs about",
    ),
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
    Path("task.toml").write_text("task = { kind = 'hiden_pattern' }")
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
    tree = biosim.open_run("x")
    assert tree.attrs["status"] == "diverged"
    assert tree["spikes/E"].attrs["committed_tick"] == tree.attrs["committed_tick"]
    assert command("report", "x").code == 0


@pytest.mark.slow
def test_a_run_of_spike_pairs_prints_the_window(command: Command) -> None:
    done = command("run", "spike_pair", "--out", "x")
    assert done.code == 0, done.err
    assert re.search(r"^learning: +after - before, ms +change of w$", done.out, re.MULTILINE)
    assert re.search(r"^ +-60 +-0\.0005228$", done.out, re.MULTILINE)
    assert re.search(r"^ +0 +\+0\.01$", done.out, re.MULTILINE)
    told = command("report", "x").out
    assert done.out.partition("results in")[0] in told + "\n"


def test_a_task_is_validated_run_listed_and_reported(command: Command) -> None:
    words = ("reward_choice", "task.trials=4", "task.rest_ms=50", "run.seed=2")
    valid = command("validate", *words)
    assert valid.code == 0, valid.err
    assert "reward_choice with rule reward_stdp, 3 populations of 100 neurons" in valid.out
    done = command("run", *words)
    assert done.code == 0, done.err
    assert re.search(r"^right choices: \d+.0 % of the first 2 trials, ", done.out)
    there = "runs/reward_choice-reward_stdp-seed-2"
    assert f"results in {there}" in done.out
    info = command("traces", "info", there).out
    assert re.search(r"^time +1,000 ticks of 1 ms$", info, re.MULTILINE)
    told = command("report", there)
    assert told.code == 0, told.err
    assert done.out.partition("results in")[0].strip() in told.out
