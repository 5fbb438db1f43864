"""A report of a run on several ranks says how its work was shared."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from jinja2 import Environment, FileSystemLoader, StrictUndefined

import biosim
import hpc
from biosim.store import STORE, RunStore
from hpc.rank_times import write_times
from hpc.report import write_report
from hpc.report_ranks import balance, balance_lines, imbalance
from hpc.report_spiking import spiking_table, write_spiking_report
from hpc.run import run
from scenarios.reading import read_tree, resolve_any

MS = 1_000_000
TWO = [[6 * MS, MS, 2 * MS, 1_500_000, 1234, 5], [10 * MS, MS, 0, 0, 0, 5]]
"""(n_ranks, n_counts): run, exchange, wait in ns, bytes, messages, exchanges."""


SPIKES = {
    "name": "two_blocks",
    "populations": {
        "E": {
            "size": 300,
            "model": "dv/dt = (15*mV - v)/(20*ms) : volt",
            "threshold": "v > 10*mV",
            "reset": "v = 0*mV",
            "method": "exact",
        }
    },
    "run": {"duration": "3 ms"},
}


def stored(path: Path, counts: list[list[int]]) -> xr.DataTree:
    write_times(RunStore(path / STORE, "w"), np.array(counts, dtype=np.int64))
    return biosim.open_run(path)


def rows_of(page: str) -> list[list[str]]:
    """Return the cells of the table of ranks, as text."""
    tables = re.findall(r'<table class="ranks">(.*?)</table>', page, re.DOTALL)
    assert len(tables) == 1
    rows = re.findall(r"<tr>(.*?)</tr>", tables[0].partition("<tbody>")[2], re.DOTALL)
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]


def test_shares_are_parts_of_the_longest_rank(tmp_path: Path) -> None:
    first, second = balance(stored(tmp_path, TWO))
    assert first["share"] == pytest.approx([30, 10, 20])
    assert second["share"] == pytest.approx([90, 10, 0])
    assert (first["rank"], first["bytes"], first["messages"]) == (0, 1_500_000, 1234)
    assert (second["compute"], second["exchange"], second["wait"]) == pytest.approx((9e-3, 1e-3, 0))


def test_the_table_has_a_line_a_rank_and_the_dearest(tmp_path: Path) -> None:
    assert balance_lines(stored(tmp_path, TWO)) == [
        "",
        "rank  compute s  exchange s   wait s   MB sent  messages",
        "   0      0.003       0.001    0.002       1.5     1,234",
        "   1      0.009       0.001        0         0         0",
        "rank 1 computed longest, 1.50 times the mean",
    ]


def test_one_rank_has_no_balance(tmp_path: Path) -> None:
    tree = stored(tmp_path, TWO[:1])
    assert balance(tree) == []
    assert balance_lines(tree) == []


def test_a_run_that_stored_no_times_has_no_balance(tmp_path: Path) -> None:
    for groups in ((), ("timing",), ("timing", "timing/ranks")):
        RunStore(tmp_path / STORE, "w", groups=groups)
        tree = biosim.open_run(tmp_path)
        assert balance(tree) == []
        assert balance_lines(tree) == []
    assert balance_lines(None) == []


def test_a_run_that_was_killed_while_it_stored_its_times_has_no_balance(tmp_path: Path) -> None:
    store = RunStore(tmp_path / STORE, "w")
    store.group("timing/ranks", {"exchanges": 3})
    store.write("timing/ranks/compute", [1.0, 2.0], ["rank"])
    assert balance(biosim.open_run(tmp_path)) == []


def test_ranks_that_did_nothing_have_a_balance(tmp_path: Path) -> None:
    rows = balance(stored(tmp_path, [[0] * 6, [0] * 6]))
    assert [row["share"] for row in rows] == [[0, 0, 0]] * 2
    assert imbalance(rows) == "no rank computed anything"


def test_the_page_has_the_numbers_of_the_store(tmp_path: Path) -> None:
    environment = Environment(
        loader=FileSystemLoader(Path(hpc.__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
    )
    rows = balance(stored(tmp_path, TWO))
    template = environment.get_template("report_ranks.html").module
    page = str(template.table(rows, "rank 1 <computed> longest"))  # type: ignore[attr-defined]
    first, second = rows_of(page)
    assert first[:4] == ["0", "0.003", "0.001", "0.002"]
    assert first[5:] == ["1.5", "1,234"]
    assert second[:4] == ["1", "0.009", "0.001", "0"]
    assert re.findall(r"width:([\d.]+)%", first[4]) == ["30.00", "10.00", "20.00"]
    assert "Rank 1 &lt;computed&gt; longest." in page


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_report_of_layers_shows_the_balance_of_several_ranks(tmp_path: Path, ranks: int) -> None:
    small = ["network.hidden=[8,8]", "run.epochs=1", "data.samples=300"]
    settings = resolve_any(read_tree("digits"), [*small, f"run.pretend_ranks={ranks}"])
    result = run(settings, tmp_path / "out")
    check_page(write_report(result.path).read_text(encoding="utf-8"), result.path, ranks)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_report_of_spikes_shows_the_balance_of_several_ranks(tmp_path: Path, ranks: int) -> None:
    settings = resolve_any(SPIKES, [f"run.pretend_ranks={ranks}"])
    result = run(settings, tmp_path / "out")
    said = spiking_table(result.path)
    lines = balance_lines(biosim.open_run(result.path))
    assert bool(lines) == (ranks > 1)
    assert said.endswith("\n".join(lines))
    assert ("computed longest" in said) == (ranks > 1)
    check_page(write_spiking_report(result.path).read_text(encoding="utf-8"), result.path, ranks)


def check_page(page: str, path: Path, ranks: int) -> None:
    assert biosim.open_run(path)["timing/ranks"].sizes["rank"] == ranks
    assert ("computed longest" in page) == (ranks > 1)
    assert ("Load balance" in page) == (ranks > 1)
    if ranks == 1:
        assert 'class="ranks"' not in page
        return
    rows = balance(biosim.open_run(path))
    assert [(row[0], row[1]) for row in rows_of(page)] == [
        (str(row["rank"]), f"{row['compute']:.3g}") for row in rows
    ]
    assert all(row["compute"] > 0 for row in rows)
