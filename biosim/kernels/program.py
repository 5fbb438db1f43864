"""Source text of `advance`: all ticks of a window, for everything that one shard owns.

The order within a tick is that of `biosim.spiking.shard`. One call advances many ticks, so that
the interpreter is entered once a window; threads meet inside, as often as delays ask for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from biosim.kernels.emit import Precision, printed
from biosim.kernels.event_sheets import LISTS, update_event_text
from biosim.kernels.plastic import PlasticCode, PlasticText
from biosim.kernels.sheets import SheetCode, apply_text, sample_text, settle_text, update_text


@dataclass(frozen=True)
class StoreCode:
    """Static synapses that are delivered together.

    Args:
        broad: whether delays differ.
        each: whether every synapse has a weight of its own.
        wakes: the event-driven sheet that they end on, or None for clock-driven ones.
        single: whether every source has one run, so that there is no table of rows.
    """

    broad: bool
    each: bool
    wakes: int | None = None
    single: bool = False


@dataclass(frozen=True)
class InputCode:
    """Poisson input to a receptor; `each`: neurons have means of their own; `wakes` a sheet."""

    each: bool
    wakes: int | None = None


@dataclass(frozen=True)
class SourceCode:
    """Neurons without equations: "random" or "listed"."""

    kind: str


@dataclass(frozen=True)
class DrawCode:
    """Random numbers of the neurons of one population in a sheet: "normal" or "uniform"."""

    kind: str
    stream: int


@dataclass(frozen=True)
class SampleCode:
    """A variable of a sheet that is read every so many ticks."""

    sheet: int
    variable: str


@dataclass(frozen=True)
class ProgramCode:
    """Everything that the text depends on."""

    sheets: tuple[SheetCode, ...]
    stores: tuple[StoreCode, ...] = ()
    inputs: tuple[InputCode, ...] = ()
    sources: tuple[SourceCode, ...] = ()
    draws: tuple[DrawCode, ...] = ()
    samples: tuple[SampleCode, ...] = ()
    plastic: tuple[tuple[PlasticCode, bool, int], ...] = ()
    """Of each plastic projection: its code, whether delays differ, and ticks to `on_post`."""


FIXED = ("t0", "t1", "me", "threads", "lookahead", "barrier", "ids", "counts", "status")
"""Arguments of every `advance`, before those that depend on the network."""


class Program:
    """The text, and the names of the arguments that `advance` takes after the fixed ones."""

    def __init__(self, code: ProgramCode, precision: Precision) -> None:
        self.arguments: list[str] = []
        functions, lines = [], []
        for part in (
            *(self._store(i, store) for i, store in enumerate(code.stores)),
            *(self._input(i, part) for i, part in enumerate(code.inputs)),
        ):
            lines += part
        for plastic, broad, _ in code.plastic:
            functions.append(PlasticText(plastic, precision).functions())
            lines += self._plastic(plastic, broad)
        for plastic, _, wait in code.plastic:
            lines += self._spiked(plastic, wait)
        for i, sheet in enumerate(code.sheets):
            functions.append(settle_text(sheet, f"settle_{i}", precision))
            text = update_event_text if sheet.event else update_text
            functions.append(text(sheet, f"update_{i}", precision))
            lines += self._settle(i, sheet)
        for i, sample in enumerate(code.samples):
            sheet = code.sheets[sample.sheet]
            functions.append(sample_text(sheet, sample.variable, f"sample_{i}", precision))
            lines += self._sample(i, sample.sheet, sheet)
        for i, draw in enumerate(code.draws):
            lines += self._draw(i, draw)
        if any(plastic.code.clock and plastic.code.reads_post for plastic, _, _ in code.plastic):
            for i, sheet in enumerate(code.sheets):
                if sheet.receptors and not sheet.event:
                    functions.append(apply_text(sheet, f"apply_{i}"))
                    (n,) = self._take(f"own{i}", ["n"])
                    lines.append(f"apply_{i}({n}, {self._sheet(i, sheet)})")
        for plastic, _, _ in code.plastic:
            lines += self._clock(plastic, precision)
        lines.append("m = 0")
        for i, sheet in enumerate(code.sheets):
            lines += self._update(i, sheet)
        for i, source in enumerate(code.sources):
            lines += self._source(i, source)
        head = ", ".join([*FIXED, *self.arguments])
        self.text = "\n".join(
            [
                *functions,
                "@compiled",
                f"def advance({head}):",
                "    depth = ids.shape[1]",
                "    events = 0",
                "    for tick in range(t0, t1):",
                "        place = tick % depth",
                "        t = F(tick * DT)",
                "        late = F((tick - 1) * DT)",  # events end what the last tick began
                *(f"        {line}" for line in lines),
                "        counts[me, place] = m",
                "        if threads > 1 and (tick + 1 - t0) % lookahead == 0:",
                "            if meet(barrier, threads):",
                "                return tick + 1",
                "    status[3] += events",
                "    if threads > 1 and (t1 - t0) % lookahead != 0:",
                "        meet(barrier, threads)",
                "    return t1",
                "",
            ]
        )

    def _take(self, prefix: str, names: Sequence[str]) -> list[str]:
        """Return the names with a prefix, and note them as arguments, each once."""
        full = [f"{prefix}_{name}" for name in names]
        self.arguments += [name for name in full if name not in self.arguments]
        return full

    def _store(self, i: int, store: StoreCode) -> list[str]:
        prefix = f"store{i}"
        weights = "weight" if store.each else "run_weight"
        how = "each" if store.each else "alike"
        if store.single:
            names = ["delay", "start", "slot", weights]
            delay, *synapses = [*self._take(prefix, names), *self._take("shard", ["acc"])]
            at = f"(tick - {delay}) % depth"
            return [f"events += deliver_single_{how}(ids, counts, {at}, {', '.join(synapses)})"]
        row, start, slot, weight = self._take(prefix, ["row", "start", "slot", weights])
        (acc,) = self._take("shard" if store.wakes is None else f"own{store.wakes}", ["acc"])
        if not store.broad and store.wakes is None:
            (delay,) = self._take(prefix, ["delay"])
            return [
                f"events += deliver_{how}(ids, counts, (tick - {delay}) % depth, "
                f"{row}, {start}, {slot}, {weight}, {acc})"
            ]
        (due,) = self._take(prefix, ["due"])
        lines = [f"found = {self._found(prefix, store.broad, row, due)}"]
        if store.wakes is None:
            call = f"deliver_due_{how}(found, {due}, {start}, {slot}, {weight}, {acc})"
        else:
            wakes = self._wakes(store.wakes)
            call = f"wake_{how}(found, {due}, {start}, {slot}, {weight}, {acc}, {wakes}, tick)"
        return [*lines, f"events += {call}"]

    def _found(self, prefix: str, broad: bool, row: str, due: str) -> str:
        """Return the call that collects the runs that are due."""
        if not broad:
            (delay,) = self._take(prefix, ["delay"])
            return f"runs_at(ids, counts, (tick - {delay}) % depth, {row}, {due})"
        cursor, delays, least, most = self._take(prefix, ["cursor", "delays", "least", "most"])
        return f"due_runs(ids, counts, {cursor}, tick, {least}, {most}, {row}, {delays}, {due})"

    def _wakes(self, sheet: int) -> str:
        names = self._take(f"own{sheet}", ["touched", "awake", "mark", "n"])
        return f"({', '.join(names)})"

    def _input(self, i: int, part: InputCode) -> list[str]:
        means = "means" if part.each else "thresholds"
        key, first, words, weight, acc, mean = self._take(
            f"input{i}", ["key", "first", "words", "weight", "acc", means]
        )
        how = "add_poisson_each" if part.each else "add_poisson"
        return [
            f"fill_words({key}, 0, tick, {first}, {words})",
            f"{how}({words}, {mean}, {weight}, {acc})",
            *self._driven(i, part, acc),
        ]

    def _driven(self, i: int, part: InputCode, acc: str) -> list[str]:
        if part.wakes is None:
            return []
        (slot,) = self._take(f"input{i}", ["slot"])
        return [f"wake_driven({acc}, {slot}, {self._wakes(part.wakes)}, tick)"]

    def _synapses(self, plastic: PlasticCode) -> str:
        return ", ".join(self._take(f"plastic{plastic.number}", plastic.arguments()))

    def _plastic(self, plastic: PlasticCode, broad: bool) -> list[str]:
        p, prefix = plastic.number, f"plastic{plastic.number}"
        row, due = self._take(prefix, ["row", "due"])
        return [
            f"found = {self._found(prefix, broad, row, due)}",
            f"came = arrive_{p}(found, {due}, tick, late, {self._synapses(plastic)})",
            "if came < 0:",
            f"    status[0], status[1], status[2] = tick, -1 - {p}, 0",
            "    give_up(barrier)",
            "    return tick",
            "events += came",
        ]

    def _spiked(self, plastic: PlasticCode, wait: int) -> list[str]:
        p, prefix = plastic.number, f"plastic{plastic.number}"
        first, end, floor = self._take(prefix, ["first", "end", "floor"])
        rest = self._synapses(plastic)
        who = f"total, ids[me, at], {first}, {end}"
        lines = [f"at = (tick - 1 - {wait}) % depth", "total = counts[me, at]"]
        if not plastic.eager:
            lines += [
                f"if full_{p}({who}, {floor}, {rest}):",
                f"    catch_up_{p}(tick, {floor}, {rest})",
            ]
        lines.append(f"spike_{p}({who}, tick, late, {rest})")
        if plastic.eager and plastic.code.on_post:
            lines += ["if total > 0:", f"    on_post_{p}({who}, tick, {rest})"]
        return lines

    def _clock(self, plastic: PlasticCode, precision: Precision) -> list[str]:
        p, code = plastic.number, plastic.code
        lines = [f"clock_{p}(tick, t, {self._synapses(plastic)})"] if code.clock else []
        names = {v.name: f"plastic{p}_s_{v.name}[0]" for v in code.shared_variables}
        self._take(f"plastic{p}", [f"s_{v.name}" for v in code.shared_variables])
        kept = [a.name for a in code.shared if a.name in names]
        # Beside the variables there are names for what they have in common.
        names |= {a.name: f"new_{a.name}" for a in code.shared if a.name not in kept}
        moved = [f"new_{a.name} = {printed(a.expression, precision, names)}" for a in code.shared]
        return [*lines, *moved, *(f"{names[x]} = new_{x}" for x in kept)]

    def _sheet(self, i: int, sheet: SheetCode) -> str:
        return ", ".join(self._take(f"sheet{i}", [*sheet.arrays, *sheet.scalars]))

    def _settle(self, i: int, sheet: SheetCode) -> list[str]:
        found, spiked = self._take(f"own{i}", ["found", "spiked"])
        arguments = [self._sheet(i, sheet), *self._take(f"sheet{i}", sheet.draws)]
        return [f"settle_{i}(late, {found}[0], {spiked}, {', '.join(arguments)})"]

    def _sample(self, i: int, at: int, sheet: SheetCode) -> list[str]:
        every, first, chosen, out = self._take(f"sample{i}", ["every", "first", "chosen", "out"])
        return [
            f"if tick % {every} == 0:",
            f"    row = (tick - {first}) // {every}",
            f"    sample_{i}(tick, t, {chosen}, {out}[row], {self._moved(at, sheet)}, "
            f"{self._sheet(at, sheet)})",
        ]

    def _moved(self, i: int, sheet: SheetCode) -> str:
        return self._take(f"own{i}", ["moved"])[0] if sheet.event else "0"

    def _draw(self, i: int, draw: DrawCode) -> list[str]:
        key, first, words, out = self._take(f"draw{i}", ["key", "first", "words", "out"])
        return [f"fill_{draw.kind}({key}, {draw.stream}, tick, {first}, {words}, {out})"]

    def _update(self, i: int, sheet: SheetCode) -> list[str]:
        if sheet.event:
            lists = self._take(f"own{i}", LISTS)
            gid, spiked = self._take(f"own{i}", ["gid", "spiked"])
            call = f"tick, t, {gid}, ids[me, place, m:], {spiked}, {', '.join(lists)}"
            return self._emitted(i, f"update_{i}({call}, {self._sheet(i, sheet)})")
        n, gid, spiked, flags, flags8 = self._take(
            f"own{i}", ["n", "gid", "spiked", "flags", "flags8"]
        )
        draws = [f", {name}" for name in self._take(f"sheet{i}", sheet.draws)]
        call = f"t, {n}, {gid}, ids[me, place, m:], {spiked}, {flags}, {flags8}"
        return self._emitted(i, f"update_{i}({call}, {self._sheet(i, sheet)}{''.join(draws)})")

    def _emitted(self, i: int, call: str) -> list[str]:
        (found,) = self._take(f"own{i}", ["found"])
        return [
            f"new = {call}",
            "if new < 0:",
            f"    status[0], status[1], status[2] = tick, {i}, -1 - new",
            "    give_up(barrier)",
            "    return tick",
            f"{found}[0] = new",
            "m += new",
        ]

    def _source(self, i: int, source: SourceCode) -> list[str]:
        if source.kind == "listed":
            ticks, listed, position = self._take(f"source{i}", ["ticks", "listed", "position"])
            return [f"m += emit_listed(tick, {ticks}, {listed}, {position}, ids[me, place, m:])"]
        key, first, words, thresholds, number = self._take(
            f"source{i}", ["key", "first", "words", "thresholds", "number"]
        )
        return [
            f"if may_fire({thresholds}):",
            f"    fill_words({key}, 0, tick, {first}, {words})",
            f"    m += emit_random({words}, {thresholds}, {number}, ids[me, place, m:])",
        ]
