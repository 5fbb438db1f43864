"""A report shows what the stores hold, and loads nothing."""

from __future__ import annotations

import json
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from plotly.offline import get_plotlyjs

import biosim
from biosim.errors import OutputError
from hpc.report import COLOURS, MORE_COLOURS, about, colours, figures, shown, write_report
from hpc.summary import collect, summarise
from rules import RULES
from tests.unit.hpc.test_summary import CARD, list_runs, store_run

ACCURACY = {
    "backprop": (0.95, 0.97, 0.96),
    "feedback_alignment": (0.9012, 0.9134, 0.8978),
    "soft_hebb": (0.81, 0.85, 0.84),
}


class Page(HTMLParser):
    """What of a page matters here: cells of tables with an id, text, and what it would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.loads: list[str] = []
        self.text = ""
        self.scripts: list[str] = []
        self._rows: list[list[str]] | None = None
        self._within: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        # An anchor is followed by a reader; everything else is loaded by the browser.
        sources = ("src", "srcset", "href", "data", "action", "poster")
        self.loads += [found[n] for n in sources if n in found and tag != "a"]
        self.loads += re.findall(r"url\((.*?)\)", found.get("style", ""))
        if tag in ("script", "style"):
            self._within = tag
            self.scripts.append("")
        if tag == "table":
            self._rows = self.tables.setdefault(found["id"], []) if "id" in found else None
        elif self._rows is not None and tag == "tr":
            self._rows.append([])
        elif self._rows is not None and tag in ("td", "th"):
            self._rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._within = None
        elif tag == "table":
            self._rows = None

    def handle_data(self, data: str) -> None:
        if self._within == "style":
            self.loads += re.findall(r"url\((.*?)\)|@import\s+(\S+)", data)
        if self._within is not None:
            self.scripts[-1] += data
            return
        self.text += data
        if self._rows is not None and self._rows and self._rows[-1]:
            self._rows[-1][-1] += data

    def rows(self, table: str) -> dict[str, list[str]]:
        """The cells of a table's rows, without white space around, by their first cell."""
        lines = [[" ".join(cell.split()) for cell in row] for row in self.tables[table]]
        return {line[0]: line[1:] for line in lines}


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    """Three rules and three seeds, stored by hand."""
    runs = [(rule, seed) for rule in ACCURACY for seed in range(3)]
    for rule, seed in runs:
        end = ACCURACY[rule][seed]
        card = {"supervised_readout": rule == "soft_hebb", "source": f"source of {rule}"}
        store_run(
            tmp_path / rule / f"seed-{seed}",
            [0.1, 0.5, end],
            rule=rule,
            seed=seed,
            card=card,
            rates=(100.0 * (seed + 1), 100.0 * (seed + 1)),
            other_way=[0.1, 0.2, end - 0.1] if rule == "backprop" else None,
            settings={"lr": 0.25, "name_of_it": "adam"},
        )
    list_runs(tmp_path, runs)
    return tmp_path


def page_of(directory: Path) -> Page:
    path = write_report(directory)
    assert path == directory / "report.html"
    return Page(path.read_text(encoding="utf-8"))


# --- what it shows


def test_the_numbers_of_the_page_are_those_of_the_stores(comparison: Path) -> None:
    page = page_of(comparison)
    stored = {
        rule: [
            biosim.open_run(comparison / rule / f"seed-{seed}")["learning"].accuracy
            for seed in range(3)
        ]
        for rule in ACCURACY
    }
    for name, rule in (
        ("backprop", "backprop"),
        ("feedback alignment", "feedback_alignment"),
        ("soft hebb *", "soft_hebb"),
    ):
        ends = [float(a.sel(split="test", way="own").isel(epoch=-1)) for a in stored[rule]]
        train = [float(a.sel(split="train", way="own").isel(epoch=-1)) for a in stored[rule]]
        half = scipy.stats.sem(ends) * scipy.stats.t.ppf(0.975, 2)
        cells = page.rows("table-accuracy")[name]
        numbers = [100 * np.mean(ends), 100 * half, 100 * min(ends), 100 * np.mean(train)]
        assert cells[:6] == ["3/3", "own", *(f"{number:.2f}" for number in numbers)]
    other = np.array(ACCURACY["backprop"]) - 0.1
    half = scipy.stats.sem(other) * scipy.stats.t.ppf(0.975, 2)
    expected = f"other {100 * other.mean():.2f} ± {100 * half:.2f}"
    assert page.rows("table-accuracy")["backprop"][6] == expected

    ledger = page.rows("table-ledger")
    assert ledger["Rule"][:5] == ["Up", "Down", "Broadcast", "Label", "Phase"]
    assert ledger["backprop"] == [
        *("448", "30", "84", "1", "8", "571"),
        *("3,392", "640", "3,392", "7,424"),
        *("4", "3", "1,230", "200"),
    ]
    settings = page.rows("table-settings")["backprop"]
    # 32 x 64 weights whose change is stored as .5 and .25, as many that never change.
    assert settings[1:] == ["2", "10", "2,048", "2,048", "lr 0.25, name of it adam"]


def test_the_figures_are_those_of_the_stores(comparison: Path) -> None:
    page = page_of(comparison)
    drawn = json.loads(next(script for script in page.scripts if script.startswith('{"splits"')))
    assert drawn == figures(summarise(collect(comparison)))
    assert drawn["splits"] == ["test", "train"]
    row = next(row for row in drawn["rows"] if row["label"] == "feedback_alignment")
    ends = [100 * end for end in ACCURACY["feedback_alignment"]]
    assert row["accuracy"]["seeds"] == pytest.approx(ends)
    assert row["accuracy"]["middle"] == pytest.approx(np.mean(ends))
    assert row["rate"] == {"seeds": pytest.approx([100, 200, 300]), "middle": pytest.approx(200)}
    curve = row["curves"]["test"]
    assert curve["epoch"] == [0, 1, 2]
    assert curve["mean"] == pytest.approx([10, 50, np.mean(ends)])
    assert curve["low"] == pytest.approx([10, 50, min(ends)])
    assert curve["high"] == pytest.approx([10, 50, max(ends)])
    assert row["change"] == {"input-hidden1": {"epoch": [1, 2], "value": [0.5, 0.25]}}


def test_every_rule_has_its_facts_and_its_scenario(comparison: Path) -> None:
    page = page_of(comparison)
    for rule in ACCURACY:
        assert f"source of {rule}" in page.text
        (scenario,) = re.findall(
            rf'\[rule\]\nname = "{rule}"\nlr = 0.25\nname_of_it = "adam"', page.text
        )
        assert tomllib.loads(scenario)["rule"]["lr"] == 0.25
    locality = page.rows("table-locality")
    assert locality["backprop"] == [
        CARD["locality"],
        "no",
        "error: from the output straight to every hidden layer (2 projections)",
        "post.apical, pre.activity",
        "forward",
    ]
    assert page.text.count(CARD["equations"]) == 3


def test_the_header_says_what_the_data_and_the_software_were(comparison: Path) -> None:
    text = " ".join(page_of(comparison).text.split())
    assert "3 learning rules, 9 runs: all finished" in text
    assert "made: made up; 20 % held out for the test" in text
    assert "1,437 train, 360 test, 64 features, 10 classes" in text
    assert "Seeds 0, 1, 2" in text
    assert "python 3.11.0, biosim 0.1.0" in text
    assert "here (cpu, float32)" in text


def test_runs_that_differ_in_version_are_told_apart(tmp_path: Path) -> None:
    for seed in (0, 1):
        store_run(tmp_path / str(seed), seed=seed)
    assert about(summarise(collect(tmp_path)))["Commit"] == ["none"]
    for seed, commit in enumerate(("abc", "abc+changes")):
        described = tmp_path / str(seed) / "run.zarr" / "zarr.json"
        text = described.read_text(encoding="utf-8")
        described.write_text(text.replace('"git": "none"', f'"git": "{commit}"'), encoding="utf-8")
    found = about(summarise(collect(tmp_path)))
    assert found["Commit"] == ["abc", "abc with uncommitted changes"]
    assert found["Seeds"] == ["0, 1"]


def test_a_star_marks_a_supervised_readout(comparison: Path) -> None:
    rows = summarise(collect(comparison))
    assert [shown(row) for row in rows] == ["backprop", "feedback alignment", "soft hebb *"]
    assert "a supervised read-out" in page_of(comparison).text


def test_runs_that_did_not_finish_are_shown_with_their_error(comparison: Path) -> None:
    store_run(
        comparison / "noprop" / "seed-0",
        [0.1, 0.3],
        rule="noprop",
        status="diverged",
        error="layer '<b>hidden1</b>' </script> & became infinite",
    )
    list_runs(comparison, [("backprop", 0), ("noprop", 0), ("noprop", 1)])
    page = page_of(comparison)
    assert "2 runs did not finish" in page.text
    first, second = page.tables["table-unfinished"][1:]
    assert first[:3] == ["noprop", "0", "diverged"]
    assert first[3] == "layer '<b>hidden1</b>' </script> & became infinite"
    assert second[1:4] == ["1", "missing", "there is no run.zarr in its directory"]
    assert [line[4].strip() for line in (first, second)] == ["noprop/seed-0", "noprop/seed-1"]
    assert page.rows("table-accuracy")["noprop"][:3] == ["0/2", "-", "-"]
    drawn = figures(summarise(collect(comparison)))
    assert drawn["rows"][1]["accuracy"] == {"seeds": [], "middle": None, "half_width": None}
    assert drawn["rows"][1]["curves"]["test"]["unfinished"] == [
        {"epoch": [0, 1], "value": pytest.approx([10, 30])}
    ]


def test_a_name_in_a_store_cannot_end_the_script(tmp_path: Path) -> None:
    store_run(tmp_path / "run", rule="</script><script>alert(1)</script>")
    page = page_of(tmp_path)
    assert len(page.scripts) == 4, "the style, plotly, the figures, and what draws them"
    assert not any(script == "alert(1)" for script in page.scripts)


def test_a_single_run_has_a_report(tmp_path: Path) -> None:
    run = store_run(tmp_path / "run", [0.1, 0.8])
    page = page_of(run)
    assert "backprop, one run: complete" in " ".join(page.text.split())
    assert page.rows("table-accuracy")["backprop"][:4] == ["1/1", "own", "80.00", "-"]
    assert write_report(run / "run.zarr") == run / "report.html"


def test_a_comparison_of_which_nothing_has_begun_has_a_report(tmp_path: Path) -> None:
    list_runs(tmp_path, [("backprop", 0), ("noprop", 0)])
    text = " ".join(page_of(tmp_path).text.split())
    assert "2 learning rules, 2 runs: 0 finished" in text


def test_a_report_is_the_same_when_it_is_made_again(comparison: Path) -> None:
    first = write_report(comparison).read_bytes()
    assert write_report(comparison).read_bytes() == first


# --- what it loads


def test_the_page_loads_nothing(comparison: Path) -> None:
    page = page_of(comparison)
    assert [load for load in page.loads if load != "data:,"] == []
    html = (comparison / "report.html").read_text(encoding="utf-8")
    assert html.count(get_plotlyjs()) == 1
    # Plotly's own script names addresses of maps, which no figure here asks for.
    assert "://" not in html.replace(get_plotlyjs(), "")


@pytest.mark.parametrize(
    "wrong",
    [
        '<script src="https://cdn.example/plotly.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/sans.css">',
        '<img src="picture.png">',
        "<style>@import 'https://fonts.example/sans.css';</style>",
        '<p style="background: url(https://example.org/x.png)">',
    ],
)
def test_a_page_that_loads_something_is_found(wrong: str) -> None:
    assert Page(f"<html>{wrong}</html>").loads


# --- colours


def test_a_rule_has_the_same_colour_in_every_report(tmp_path: Path) -> None:
    for i, rule in enumerate(("frozen", "noprop", "of_mine")):
        store_run(tmp_path / f"{i}", rule=rule)
    rows = summarise(collect(tmp_path))
    assert colours(rows) == [COLOURS["frozen"], COLOURS["noprop"], MORE_COLOURS[0]]
    assert colours(rows[1:]) == [COLOURS["noprop"], MORE_COLOURS[0]]


def test_two_rows_of_a_rule_have_two_colours(tmp_path: Path) -> None:
    for lr in (1, 2, 3):
        store_run(tmp_path / str(lr), settings={"lr": lr})
    found = colours(summarise(collect(tmp_path)))
    assert found == [COLOURS["backprop"], *MORE_COLOURS[:2]]


def test_every_rule_has_a_colour_of_its_own() -> None:
    assert set(COLOURS) >= {name for name in RULES if RULES[name].__module__.startswith("rules.")}
    assert len({*COLOURS.values(), *MORE_COLOURS}) == len(COLOURS) + len(MORE_COLOURS)


# --- refusals


def test_a_directory_without_runs_has_no_report(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds no runs"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    run = store_run(tmp_path / "run")
    (run / "report.html").mkdir()
    before: set[Any] = set(run.iterdir())
    with pytest.raises(OutputError, match=r"report\.html cannot be written \(Is a directory\)"):
        write_report(run)
    assert set(run.iterdir()) == before, "nothing half written is left"
