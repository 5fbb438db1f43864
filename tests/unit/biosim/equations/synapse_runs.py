"""Two ways to run a synapse model over random trains, sharing nothing but the text.

`by_statement` executes the statements as they are written, one synapse after the other, with
every event-driven variable in every synapse. `by_contract` executes scalar code as the contract
of `SynapseCode` says, with traces kept once a row and once a post neuron.
"""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from scipy.linalg import expm

from biosim.equations.code import SynapseCode
from tests.unit.biosim.equations.synapse_rules import DT, FUNCTIONS, UNITS, Rule


@dataclass(frozen=True)
class Events:
    """What happens to a few neurons, the same for both ways.

    Args:
        sources: (n_synapses,).
        targets: (n_synapses,).
        delays: (n_synapses,) ticks.
        spikes: (n_ticks, n_pre) and `fired`: (n_ticks, n_post) whether a neuron spiked.
        post: variable -> (n_ticks, n_post) values of the post neurons.
        gain: (n_pre,) a parameter.
        weights: (n_synapses,) at the start.
    """

    sources: np.ndarray
    targets: np.ndarray
    delays: np.ndarray
    spikes: np.ndarray
    fired: np.ndarray
    post: dict[str, np.ndarray]
    gain: np.ndarray
    weights: np.ndarray


def random_events(seed: int, ticks: int = 250, n_pre: int = 4, n_post: int = 3) -> Events:
    """Random trains; many post spikes reach their synapses in the tick of an arrival."""
    rng = np.random.default_rng(seed)
    sources, targets = (part.ravel() for part in np.indices((n_pre, n_post)))
    delays = rng.integers(1, 4, len(sources))
    spikes = rng.random((ticks, n_pre)) < 0.06
    fired = rng.random((ticks, n_post)) < 0.03
    for synapse in range(0, len(sources), 2):
        arrivals = np.flatnonzero(spikes[:, sources[synapse]]) + delays[synapse]
        arrivals = arrivals[(arrivals < ticks) & (rng.random(len(arrivals)) < 0.3)]
        fired[arrivals - 1, targets[synapse]] = True
    post = {name: rng.uniform(-0.08, -0.04, (ticks, n_post)) for name in ("v", "u", "x")}
    post["ge"] = np.zeros((ticks, n_post))
    post["goal"] = np.tile(rng.uniform(0.5, 1.5, n_post), (ticks, 1))
    gain = rng.uniform(0.5, 1.5, n_pre)
    return Events(
        sources, targets, delays, spikes, fired, post, gain, rng.uniform(0.2, 0.8, len(sources))
    )


def coincidences(events: Events) -> int:
    """How often a spike arrives in the tick in which one of the target reaches the synapse."""
    found = 0
    for source, target, delay in zip(events.sources, events.targets, events.delays, strict=True):
        arrived = events.spikes[: len(events.spikes) - delay, source]
        found += int((arrived & events.fired[delay - 1 : -1, target]).sum())
    return found


def arriving(events: Events, synapse: int, tick: int) -> bool:
    sent = tick - events.delays[synapse]
    return bool(sent >= 0 and events.spikes[sent, events.sources[synapse]])


def value(constants: dict) -> dict[str, float]:
    """Constants in SI units."""
    found = dict(UNITS)
    for name, text in constants.items():
        found[name] = eval(text, {}, found) if isinstance(text, str) else float(text)
    return found | {"inf": float("inf")}


def subexpressions(model: str) -> dict[str, str]:
    lines = [line.split(":")[0].split("=", 1) for line in model.splitlines() if "/dt" not in line]
    return {name.strip(): text.strip() for name, text in (each for each in lines if len(each) == 2)}


def decayed(rule: Rule, state: dict[str, float], outside: dict[str, float], elapsed: float) -> None:
    """Let the event-driven variables of one synapse decay, by a matrix exponential."""
    names = list(rule.decay)
    matrix = np.zeros((len(names) + 1, len(names) + 1))
    for row, (slopes, constant) in enumerate(rule.decay.values()):
        matrix[row, -1] = constant
        for name, slope in slopes.items():
            if name in names:
                matrix[row, names.index(name)] += slope
            else:
                matrix[row, -1] += slope * outside[name]
    after = expm(matrix * elapsed) @ np.array([*(state[name] for name in names), 1.0])
    state.update(zip(names, map(float, after), strict=False))


def by_statement(rule: Rule, events: Events) -> SimpleNamespace:
    """Run the text of a rule, synapse by synapse."""
    model = rule.synapse
    known = value(dict(model.constants)) | FUNCTIONS | {"dt": DT}
    inserted = subexpressions(model.model)
    shared = {name: v for name, v in rule.start.items() if name in ("d", "rate")}
    names = {line.split("/dt")[0].strip()[1:] for line in model.model.splitlines() if "/dt" in line}
    start = dict.fromkeys(names | {"w"}, 0.0) | rule.start
    synapses = [{**start, "w": float(w)} for w in events.weights]
    for synapse in synapses:
        for name in shared:
            synapse.pop(name)
    last = [0] * len(synapses)
    given = {name: np.zeros_like(array) for name, array in events.post.items()}
    for tick in range(len(events.spikes)):

        def execute(code: str, at: int, tick: int = tick, shared: dict = shared) -> None:
            target = events.targets[at]
            snapshot = {name: float(array[tick, target]) for name, array in events.post.items()}
            decayed(rule, synapses[at], snapshot, (tick - last[at]) * DT)
            last[at] = tick
            scope = {**known, **snapshot, **shared, "gain_pre": events.gain[events.sources[at]]}
            scope |= {f"{name}_post": now for name, now in snapshot.items()}
            scope |= {"receptor": 0.0, "t": tick * DT, **synapses[at]}
            for line in code.replace(";", "\n").splitlines():
                for name, text in inserted.items():
                    scope[name] = eval(text, scope)
                exec(line.strip(), scope)
            synapses[at] = {name: scope[name] for name in synapses[at]}
            given["ge"][tick, target] += scope["receptor"]
            for name, now in snapshot.items():
                for written in {name, f"{name}_post"} - set(synapses[at]):
                    given[name][tick, target] += scope[written] - now

        for at in range(len(synapses)):
            if arriving(events, at, tick):
                execute(model.on_pre, at)
        for at in range(len(synapses)):
            if tick and events.fired[tick - 1, events.targets[at]]:
                execute(model.on_post, at)
        for at, synapse in enumerate(synapses):
            scope = {**known, **shared, **synapse}
            scope |= {
                f"{n}_post": array[tick, events.targets[at]] for n, array in events.post.items()
            }
            new = {name: eval(text, scope) for name, text in rule.clock.items()}
            synapses[at] |= {name: each for name, each in new.items() if name not in shared}
        shared |= {name: each for name, each in new.items() if name in shared}
    for at, synapse in enumerate(synapses):
        snapshot = {name: array[-1, events.targets[at]] for name, array in events.post.items()}
        decayed(rule, synapse, snapshot, (len(events.spikes) - last[at]) * DT)
    return SimpleNamespace(synapses=synapses, given=given, shared=shared)


def run(steps: tuple, scope: dict[str, float]) -> None:
    for step in steps:
        scope[step.name] = eval(step.expression, FUNCTIONS, scope)


class Kept:
    """Traces that are kept together, with the tick of their last update."""

    def __init__(self, traces: tuple, start: dict[str, float]) -> None:
        self.traces, self.last = traces, 0
        self.values = {trace.name: start.get(trace.name, 0.0) for trace in traces}

    def at(self, tick: int, outside: dict[str, float]) -> dict[str, float]:
        scope = {**outside, **self.values, "elapsed": (tick - self.last) * DT}
        return {each.name: eval(each.decayed, FUNCTIONS, scope) for each in self.traces}

    def store(self, tick: int, values: dict[str, float]) -> None:
        self.values, self.last = values, tick


def by_contract(code: SynapseCode, rule: Rule, events: Events) -> SimpleNamespace:
    """Run scalar code."""
    start = {"w": 0.0, **rule.start}
    rows = {
        row: Kept(code.pre_traces, start) for row in zip(events.sources, events.delays, strict=True)
    }
    posts = [Kept(code.post_traces, start) for _ in range(events.fired.shape[1])]
    own = [Kept(code.own_traces, start) for _ in events.weights]
    names = [variable.name for variable in code.variables]
    synapses = [{n: start.get(n, 0.0) for n in names} | {"w": float(w)} for w in events.weights]
    shared = {variable.name: start.get(variable.name, 0.0) for variable in code.shared_variables}
    given = {name: np.zeros_like(array) for name, array in events.post.items()}
    for tick in range(len(events.spikes)):
        outside = [
            {
                **shared,
                "t": tick * DT,
                **{f"{name}_post": events.post[name][tick, target] for name in code.reads_post},
                **{f"{name}_pre": events.gain[source] for name in code.reads_pre},
            }
            for source, target in zip(events.sources, events.targets, strict=True)
        ]

        def each(at: int, scope: dict, steps: tuple, effects: tuple, tick: int = tick) -> None:
            scope = {**scope, **synapses[at], **own[at].at(tick, {**scope, **synapses[at]})}
            run(steps, scope)
            for effect in effects:
                sent = eval(effect.expression, FUNCTIONS, scope)
                given[effect.variable][tick, events.targets[at]] += sent
            synapses[at] = {name: scope[name] for name in names}
            own[at].store(tick, {trace.name: scope[trace.name] for trace in code.own_traces})

        for (source, delay), row in rows.items():
            members = np.flatnonzero((events.sources == source) & (events.delays == delay))
            if not arriving(events, members[0], tick):
                continue
            alike = {n: x for n, x in outside[members[0]].items() if not n.endswith("_post")}
            prelude = {**alike, **row.at(tick, alike)}
            run(code.pre_prelude, prelude)
            for at in members:
                now = posts[events.targets[at]].at(tick, outside[at])
                each(at, {**outside[at], **prelude, **now}, code.on_pre, code.effects)
            row.store(tick, {name: prelude[final] for name, final in code.pre_final.items()})
        for target in np.flatnonzero(events.fired[tick - 1]) if tick else ():
            members = np.flatnonzero(events.targets == target)
            alike = {n: x for n, x in outside[members[0]].items() if not n.endswith("_pre")}
            prelude = {**alike, **posts[target].at(tick, alike)}
            run(code.post_prelude, prelude)
            for at in members:
                row = rows[events.sources[at], events.delays[at]]
                now = {**outside[at], **prelude, **row.at(tick, outside[at])}
                each(at, now, code.on_post, code.post_effects)
            final = {name: prelude[last] for name, last in code.post_final.items()}
            posts[target].store(tick, final)
        for at, synapse in enumerate(synapses):
            scope = {**outside[at], **synapse}
            run(code.clock, scope)
            synapses[at] = {name: scope[name] for name in names}
        scope = dict(shared, t=tick * DT)
        run(code.shared, scope)
        shared = {name: scope[name] for name in shared}
    end = len(events.spikes)
    for at, synapse in enumerate(synapses):
        row = rows[events.sources[at], events.delays[at]]
        for kept in (row, posts[events.targets[at]], own[at]):
            synapse |= kept.at(end, {**outside[at], **synapse})
    return SimpleNamespace(synapses=synapses, given=given, shared=shared)
