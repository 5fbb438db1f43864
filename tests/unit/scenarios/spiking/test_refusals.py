"""Everything impossible is refused in one line that names the table and what is wrong there."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biosim.errors import BiosimError, ScenarioError
from scenarios.reading import read_tree, resolve_any
from scenarios.spiking import SpikingScenario
from scenarios.spiking.checking import check

MODEL = """
dv/dt = (g - v) / tau : volt (unless refractory)
dg/dt = -g / (5*ms) : volt
I : amp
"""

SMALL: dict[str, Any] = {
    "name": "small",
    "constants": {"tau": "20 ms", "J": "0.5 mV"},
    "populations": {
        "E": {
            "size": 20,
            "model": MODEL,
            "threshold": "v > 10*mV",
            "reset": "v = 0*mV",
            "refractory": "2 ms",
            "method": "exact",
            "initial": {"v": "rand() * 10*mV"},
        },
        "noise": {"kind": "poisson", "size": 5, "rate": "10 Hz"},
        "told": {"kind": "spikes", "size": 2, "indices": [0, 1], "times": ["1 ms", "2 ms"]},
    },
    "projections": {
        "ee": {
            "source": "E",
            "target": "E",
            "receptor": "g",
            "wiring": {"rule": "fixed_probability", "p": 0.1},
            "weight": "J",
            "delay": "1.5 ms",
        },
        "learning": {
            "source": "noise",
            "target": "E",
            "receptor": "g",
            "wiring": {"rule": "all_to_all"},
            "weight": "J",
            "plasticity": {
                "model": "w : volt\ndpost/dt = -post/(20*ms) : 1 (event-driven)",
                "on_pre": "receptor += w",
                "on_post": "post += 1; w = clip(w - post*0.01*mV, 0*mV, 1*mV)",
                "bounds": {"w": ["0 mV", "1 mV"]},
            },
        },
    },
    "inputs": {
        "drive": {"target": "E", "receptor": "g", "rate": "100 Hz", "weight": "J"},
        "pulse": {
            "kind": "step",
            "target": "E",
            "variable": "I",
            "times": ["1 ms", "5 ms"],
            "values": ["1 nA", "0 nA"],
        },
    },
    "run": {"duration": "10 ms"},
}


def checked(tree: dict[str, Any], overrides: tuple[str, ...]) -> None:
    scenario = resolve_any(tree, overrides)
    assert isinstance(scenario, SpikingScenario)
    check(scenario)


def refused(*overrides: str, drop: tuple[str, ...] = (), **tables: Any) -> str:
    """The message by which the small scenario is refused once it is changed."""
    tree = copy.deepcopy(SMALL) | tables
    for path in drop:
        *above, key = path.split(".")
        here = tree
        for part in above:
            here = here[part]
        del here[key]
    with pytest.raises(BiosimError) as found:
        checked(tree, overrides)
    message = str(found.value)
    assert "\n" not in message
    return message


def test_the_small_scenario_itself_is_valid() -> None:
    scenario = resolve_any(SMALL)
    assert isinstance(scenario, SpikingScenario)
    assert check(scenario).needs.neurons == 27


@pytest.mark.parametrize(
    ("override", "message"),
    [
        # keys
        ("populations.E.sise=3", "populations.E.sise: unknown key; did you mean 'size'?"),
        ("projections.ee.dealy=1", "projections.ee.dealy: unknown key; did you mean 'delay'?"),
        ("projections.ee.wiring.q=1", "projections.ee.wiring.q: unknown key"),
        ("inputs.drive.rates=1", "inputs.drive.rates: unknown key; did you mean 'rate'?"),
        ("run.epochs=3", "run.epochs: unknown key; known are duration, seed"),
        ("rule.name=stdp", "rule: unknown key"),
        ("record.states=[{population='E'}]", "record.states.0.variables: is missing; give it"),
        (
            "record.weights=['ee']",
            "record.weights.0: got 'ee'; expected a table, such as { projection = ... }",
        ),
        (
            "record.spikes={E=true}",
            'record.spikes: expected true, false or a list, such as ["E",',
        ),
        ("record.spikes='E'", "record.spikes: got 'E'; expected true, false or a list, such as"),
        ("record.spikes=[5]", "record.spikes: got [5]; expected a valid boolean or a valid string"),
        ("run=5", "run: got 5; expected a table"),
        ("record.weight=1", "record.weight: unknown key; did you mean 'weights'?"),
        ("populations.E.kind=cells", "populations.E.kind: got 'cells'; expected 'neurons', 'poi"),
        ("populations.E.rate='1 Hz'", "populations.E: rate: neurons has no such key; it takes"),
        ("projections.ee.wiring.n=3", "projections.ee.wiring: n: fixed_probability has no such"),
        ("projections.ee.wiring.rule=fixed_in_degree", "projections.ee.wiring: p: fixed_in_deg"),
        ("projections.learning.plasticity.on_prr=''", "projections.learning.plasticity: on_prr: "),
        ("projections.ee.plasticity=stdpp", "projections.ee.plasticity: no rule 'stdpp'; did you"),
        ("inputs.drive.variable=v", "inputs.drive: variable: poisson has no such key"),
        # time
        ("dt=0", "dt: got 0; expected a valid string"),
        ("dt='-0.1 ms'", "dt: got '-0.1 ms'; expected a time above zero"),
        ("dt='0.1 mV'", "dt '0.1*mV': the unit of"),
        ("run.duration='0.15 ms'", "run.duration: '0.15 ms' is 1.5 ticks of 0.0001 s; expected"),
        ("run.duration='1e30 s'", "run.duration: '1e30 s' is 1e+34 ticks of 0.0001 s; expected at"),
        ("run.duration='0 s'", "run.duration: '0 s' is 0 ticks"),
        ("projections.ee.delay='0.15 ms'", "projections.ee.delay: '0.15 ms' is 1.5 ticks"),
        ("projections.ee.delay='0 ms'", "projections.ee.delay: '0 ms' is 0 ticks of 0.0001 s; ex"),
        ("projections.ee.delay='1.5 mV'", "projections.ee.delay '1.5*mV': the unit of"),
        ("projections.ee.delay=1", "projections.ee.delay: got 1; expected a valid string"),
        ("projections.ee.delay={normal=['1 ms']}", "projections.ee.delay"),
        ("projections.ee.delay={uniform=['2 ms', '1 ms']}", "projections.ee: the delay of"),
        # sizes and chances
        ("populations.E.size=0", "populations.E.size: got 0; expected a whole number, at least 1"),
        ("populations.E.size=1.5", "populations.E.size"),
        ("populations.E.size='tau'", "populations.E.size 'tau': the unit of"),
        ("populations.E.size='0.3'", "populations.E.size: got '0.3', which is 0.3; expected"),
        ("projections.ee.wiring.p=1.2", "projections.ee.wiring.p: got 1.2; expected a probabil"),
        ("projections.ee.wiring.p=-0.1", "projections.ee.wiring.p: got -0.1; expected a probab"),
        ("projections.ee.wiring.p=nan", "projections.ee.wiring.p"),
        ("projections.ee.wiring.p=[[0.1, 0.2]]", "projections.ee.wiring.p: got rows of 2 numbers"),
        ("run.threads=0", "run.threads: got 0; expected greater than or equal to 1"),
        ("populations.noise.rate='20 kHz'", "populations.noise: population 'noise' spikes with a"),
        ("inputs.drive.rate='-1 Hz'", "inputs.drive: input 'drive' has a rate of -1 Hz"),
        ("inputs.drive.n=-1", "inputs.drive.n: got -1.0; expected 0 or more"),
        ("inputs.drive.n=[1, 2]", "inputs.drive.n: got 2 numbers for 1 targets"),
        # names and units
        ("projections.ee.source=F", "projections.ee.source: no population 'F'"),
        ("projections.ee.target=['E', 'E']", "projections.ee.target: got ['E', 'E']; expected ea"),
        ("projections.ee.receptor=ge", "projections.ee: projection 'ee' ends at receptor 'ge'"),
        ("projections.ee.weight='1 nS'", "projections.ee: weight '1*nS': the unit of"),
        ("projections.ee.weight='JJ'", "projections.ee: weight 'JJ': the name 'JJ' is unknown"),
        ("projections.ee.target=noise", "projections.ee: projection 'ee' has sparse synapses"),
        ("populations.E.threshold='v > 10'", "populations.E: threshold 'v > 10'"),
        ("populations.E.threshold='u > 10*mV'", "populations.E: threshold 'u > 10*mV': the name"),
        ("populations.E.reset='v = 1'", "populations.E: reset 'v = 1'"),
        ("populations.E.model='dv/dt = v : volt'", "populations.E: equation 'dv/dt = v'"),
        ("populations.E.model='dv/dt v'", "populations.E: equation 'dv/dt v' cannot be read"),
        ("populations.E.method=rk5", "populations.E: method: got 'rk5'"),
        ("populations.E.initial.u='1*mV'", "populations.E: initial 'u': its equations have g, v"),
        ("populations.E.initial.v='1*nS'", "populations.E: initial 'v' '1*nS': the unit of"),
        ("populations.E.neuron=lif", "populations.E.neuron: no table neurons.lif"),
        ("constants.tau='20 mss'", "constants, 'tau': the name 'mss' is unknown"),
        ("constants.mV='1 mV'", "constants.mV: mV is a unit; name the constant otherwise"),
        ("constants.rand=1", "constants.rand: rand is what differs between synapses; name"),
        ("inputs.drive.weight='1 mA'", "inputs.drive: weight '1*mA': the unit of"),
        ("inputs.drive.target=told", "inputs.drive: input 'drive' goes to 'told'"),
        ("inputs.pulse.variable=v", "inputs.pulse.variable: 'v' is no parameter of population"),
        ("inputs.pulse.values=['1 mV', '1 mV']", "inputs.pulse.values '1*mV': the unit of"),
        ("inputs.pulse.times=['5 ms', '1 ms']", "inputs.pulse.times: got"),
        ("inputs.pulse.times=['1 ms', '20 ms']", "inputs.pulse.times: '20 ms' is beyond the run"),
        ("inputs.pulse.times=['1 ms']", "inputs.pulse: has 1 times and 2 values"),
        ("projections.learning.plasticity.on_pre='receptor += w*mV'", "projections.learning: on_p"),
        ("projections.learning.plasticity.bounds={}", "projections.learning: on_pre: 'g' += w"),
        ("scale=0.5", "scale: got 0.5; no text of small names scale"),
        # lists
        ("populations.told.indices=[0, 2]", "populations.told.indices: spike 1 is of neuron 2"),
        ("populations.told.indices=[0, 10000000000000000000]", "populations.told.indices: got 10"),
        ("populations.told.times=['2 ms', '1 ms']", "populations.told.times: spike 1 is at 0.001"),
        ("populations.told.times=['1 ms', '10 ms']", "populations.told.times: spike 1 is at 0.01"),
        ("populations.told.times=['1 ms']", "populations.told: lists 2 indices and 1 times"),
        ("populations.told.file='a.csv'", "populations.told: lists spikes; give it indices and"),
        (
            "record.spikes=[{population='E', neurons=21}]",
            "record.spikes.E.neurons: got 21, the first so many; the population has 20: give at",
        ),
        (
            "record.states=[{population='E', variables=['v'], neurons=[3, 3, 1]}]",
            "record.states.E.neurons: got [3, 3, 1]; expected each neuron once",
        ),
        ("record.spikes=['F']", "record: population 'F' is to be recorded"),
        (
            "record.spikes=[{population='E', during=[['5 ms', '5 ms']]}]",
            "record.spikes.E.during: got [(50, 50)] as ticks from which and until which to record",
        ),
        (
            "record.spikes=[{population='E', during=[['5 ms', '0.15 ms']]}]",
            "record.spikes.E.during: '0.15 ms' is 1.5 ticks",
        ),
        (
            "record.weights=[{projection='ee', during=[['900 s', '901 s']]}]",
            "record.weights.ee.during: got [['900 s', '901 s']], of which one begins beyond the",
        ),
        ("record.weights=[{projection='ee'}]", "record: the weights of 'ee' are to be recorded"),
        ("record.states=[{population='E', variables=['u']}]", "record: 'u' of 'E' is to be recor"),
        (
            "record.states=[{population='E', variables=['v'], every='0.15 ms'}]",
            "record.states.E.every: '0.15 ms' is 1.5 ticks",
        ),
        (
            "record.states=[{population='E', variables=['v'], neurons=[20]}]",
            "record: neuron 20 of 'E' is to be recorded",
        ),
    ],
)
def test_a_wrong_value_is_refused_by_its_place(override: str, message: str) -> None:
    assert refused(override).startswith(message)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("populations.E.size", "populations.E.size: is missing; give it"),
        ("populations.E.model", "populations.E: has no equations; give it a model"),
        ("populations.noise.rate", "populations.noise: fires at random but has no rate"),
        ("populations.told.times", "populations.told: lists spikes; give it indices and times"),
        ("projections.ee.wiring.p", "projections.ee.wiring: fixed_probability needs p; give it"),
        ("projections.ee.weight", "projections.ee.weight: is missing; give it"),
        ("inputs.drive.rate", "inputs.drive: an input of kind poisson needs rate; give it"),
    ],
)
def test_what_is_missing_is_named(path: str, message: str) -> None:
    assert refused(drop=(path,)).startswith(message)


def test_a_scenario_without_populations_is_refused() -> None:
    assert refused(populations={}).startswith("populations: got {}; ")


@pytest.mark.parametrize("name", ["a/b", "1st", "a b", ""])
def test_a_name_that_cannot_be_stored_is_refused(name: str) -> None:
    populations = {**SMALL["populations"], name: SMALL["populations"]["noise"]}
    assert refused(populations=populations).startswith(f"populations: {name!r} is no name")


def test_a_scale_that_is_also_a_constant_is_refused() -> None:
    given = refused("populations.E.size='40*scale'", "scale=0.5", "constants.scale=1")
    assert given.startswith("constants.scale: the scenario has a scale")


@pytest.mark.parametrize(
    ("wiring", "message"),
    [
        ("{rule='pairs', sources=[0, 20], targets=[1, 2]}", "projections.ee.wiring: projection 'e"),
        ("{rule='pairs', sources=[0], targets=[1, 2]}", "projections.ee.wiring: got 1 sources and"),
        (
            "{rule='pairs', sources=[0], targets=[1], weights=[1, 2]}",
            "projections.ee.wiring.weights: got 2 for 1 pairs",
        ),
        (
            "{rule='pairs', sources=[-1], targets=[1]}",
            "projections.ee.wiring.sources: got -1; ex",
        ),
        ("{rule='fixed_total', p=1}", "projections.ee.wiring.p: got 1.0, which no number of syn"),
        ("{rule='fixed_total'}", "projections.ee.wiring: fixed_total needs n, the number of"),
        ("{rule='fixed_in_degree', n=21, multiple=false}", "projections.ee.wiring: projection 'ee"),
        ("{rule='table', file='nowhere.csv'}", "projections.ee.wiring.file: cannot read the tab"),
        ("{rule='matrix', file='nowhere.npz'}", "projections.ee.wiring.file: nowhere.npz cannot"),
        ("{rule='one_to_all'}", "projections.ee.wiring.rule: got 'one_to_all'; expected 'all_to_"),
    ],
)
def test_a_wrong_wiring_is_refused_by_its_place(wiring: str, message: str) -> None:
    assert refused(f"projections.ee.wiring={wiring}").startswith(message)


def test_one_to_one_needs_as_many_of_each() -> None:
    message = refused("projections.learning.wiring={rule='one_to_one'}")
    assert message.startswith("projections.learning.wiring: projection 'learning' joins 5 sources")


def test_listed_weights_take_one_value_to_multiply() -> None:
    wiring = "projections.ee.wiring={rule='pairs', sources=[0], targets=[1], weights=[2]}"
    assert refused(wiring, "projections.ee.weight='rand()*mV'").startswith(
        "projections.ee.weight: got 'rand()*mV' beside listed weights"
    )
    assert refused(wiring, "projections.ee.weight='1 nS'").startswith("projections.ee: weight")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("index,time_s\n0,0.002\n1,0.001\n", "spike 1 is at 0.001 s, before spike 0 at 0.002 s"),
        ("index,time_s\n0,0.002\n2,0.003\n", "spike 1 is of neuron 2; expected 0 to 1"),
        ("index,time_s\n0,0.002\n0,0.5\n", "spike 1 is at 0.5 s; expected times from 0 to before"),
        ("index,time_s\n0,-0.002\n", "spike 0 is at -0.002 s; expected times from 0"),
        ("index,time_s\n0,0.001\n0,0.00101\n", "neuron 0 fires twice in tick 10"),
        ("index,time_s\n0.5,0.001\n", "expected as many of each, whole indices"),
        ("index,time_s\n0,nan\n", "expected as many of each, whole indices and finite times"),
        ("neuron,time\n0,0.1\n", "cannot be read"),
        ("index,time_s\n0,soon\n", "cannot be read"),
        ("index,time_s\n0\n", "cannot be read"),
        ("index,time_s\n0,1e300\n", "spike 0 is at 1e+300 s; expected times from 0 to before"),
        ("index,time_s\n1e300,0.001\n", "spike 0 is of neuron 1e+300; expected 0 to 1"),
        ("index,time_s\ninf,0.001\n", "spike 0 is of neuron inf; expected 0 to 1"),
    ],
)
def test_a_wrong_file_of_spikes_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "spikes.csv"
    path.write_text(text)
    populations = copy.deepcopy(SMALL["populations"])
    populations["told"] = {"kind": "spikes", "size": 2, "file": str(path)}
    given = refused(populations=populations)
    assert given.startswith("populations.told.file: ")
    assert message in given


def test_a_missing_file_of_spikes_is_refused(tmp_path: Path) -> None:
    populations = copy.deepcopy(SMALL["populations"])
    for name in ("none.csv", "none.npz"):
        populations["told"] = {"kind": "spikes", "size": 2, "file": str(tmp_path / name)}
        assert "none" in refused(populations=populations)
    np.savez(tmp_path / "none.npz", who=np.arange(2))
    populations["told"] = {"kind": "spikes", "size": 2, "file": str(tmp_path / "none.npz")}
    assert "cannot be read" in refused(populations=populations)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.npz"
    np.savez(path, index=np.zeros(9), time_s=np.zeros(9))
    path.write_bytes(path.read_bytes()[:100])
    populations = copy.deepcopy(SMALL["populations"])
    populations["told"] = {"kind": "spikes", "size": 2, "file": str(path)}
    assert "cannot be read" in refused(populations=populations)
    wiring = f"projections.ee.wiring={{rule='matrix', file='{path}'}}"
    assert "cut.npz cannot be read as a sparse matrix" in refused(wiring)


def test_a_network_that_does_not_fit_is_refused_with_the_figure() -> None:
    message = refused("populations.E.size=3_000_000", "projections.ee.wiring.p=0.5")
    found = re.search(r"needs about ([\d.]+) GiB, ([\d.]+) GiB of it for ([\d,]+) syn", message)
    assert found is not None
    # Two bytes a synapse or four, and half of 9e12 of them.
    assert float(found[3].replace(",", "")) == pytest.approx(4.5e12, rel=1e-3)
    assert 4.5e12 * 2 < float(found[2]) * 2**30 < 4.5e12 * 5


def test_a_spiking_scenario_cannot_be_compared() -> None:
    from scenarios.reading import resolve

    with pytest.raises(ScenarioError, match="cuba is a spiking network, which learns from no data"):
        resolve(read_tree("cuba"))
