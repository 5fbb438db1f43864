"""A report as its reader sees it: drawn, readable at any width, and silent on the network.

`problems` is the check; it is shown to find what is wrong in reports that were spoiled on purpose.
"""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zarr

from biosim import open_run
from biosim.store import STORE
from hpc import report_raster
from hpc.compare import compare, plan
from hpc.report import shown, write_report
from hpc.report_spiking import write_spiking_report
from hpc.run import run
from hpc.stored import stored_scenario
from hpc.summary import collect, count, percent, summarise
from scenarios.reading import read_tree, resolve, resolve_any
from scenarios.spiking import SpikingScenario
from tests.unit.hpc.test_run_spiking import TREE

pytestmark = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="chromium and chromedriver are not on the PATH: bash tests/chromium.sh",
)

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
ActionChains = webdriver.ActionChains

RULES = ["backprop", "equilibrium_propagation", "frozen"]
QUICK = ["run.epochs=2", "run.batch_size=64", "record.samples=5"]

OF_A_RULE = ("change", "rotation", "growth", "cka", "rdm")

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1000",
)

# Only what data draws: a grid line is a path too, in another layer.
DRAWN = """
return Array.from(document.querySelectorAll("div.plot"), (place) => [
  place.id,
  Array.from(place.querySelectorAll(
    ".scatterlayer path, .barlayer path, .heatmaplayer image",
  )).filter((mark) => {
    const box = mark.getBoundingClientRect();
    return box.width > 0 && box.height > 0;
  }).length,
]);
"""
CELLS = """
return Array.from(document.querySelectorAll(`#${arguments[0]} tbody tr`), (row) =>
  Array.from(row.cells, (cell) => cell.innerText.trim().replace(/\\s+/g, " ")));
"""
WIDTHS = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth];"
HEADINGS = "return Array.from(document.querySelectorAll('h2'), (h) => h.innerText);"
AXIS = "return document.getElementById(arguments[0])._fullLayout[arguments[1]].type;"
BOX = "return document.getElementById(arguments[0])._fullLayout.xaxis.range;"
SHOWN = """
return Array.from(document.querySelectorAll("div.plot"), (place) => place.data
  .filter((trace) => trace.meta === arguments[0] && trace.visible !== false).length)
  .reduce((a, b) => a + b, 0);
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_page_load_timeout(120)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three rules, two seeds, two epochs, with their report."""
    directory = tmp_path_factory.mktemp("comparison") / "runs"
    entries = plan(read_tree("digits"), RULES, 2, QUICK)
    assert compare(entries, directory, jobs=2) == []
    write_report(directory)
    return directory


def layers(directory: Path, *overrides: str) -> Path:
    """Run backprop on the digits, and return its report."""
    given = resolve(read_tree("digits"), ["run.epochs=1", "run.batch_size=64", *overrides])
    run(given, directory)
    return write_report(directory)


def spikes(directory: Path) -> Path:
    """Run a small network that learns, and return its report."""
    given = resolve_any(TREE, ["record.spikes=true", "name=<tiny>"])
    assert isinstance(given, SpikingScenario)
    run(given, directory)
    return write_spiking_report(directory)


@pytest.fixture(scope="module")
def spiking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a spiking run with more spikes than are dots."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_raster, "MOST_DOTS", 200)
        return spikes(tmp_path_factory.mktemp("spiking") / "run")


def problems(browser: Any, page: Path) -> list[str]:
    """What a reader of the page would miss, or should not have had to allow."""
    for log in ("browser", "performance"):
        browser.get_log(log)  # what an earlier page left
    browser.get(page.as_uri())
    found = [f"console: {e['message']}" for e in browser.get_log("browser")]
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            if url != page.as_uri() and not url.startswith(("data:", "blob:")):
                found.append(f"request: {url}")
    drawn = browser.execute_script(DRAWN)
    found += [f"nothing is drawn in {place}" for place, paths in drawn if paths == 0]
    if not drawn:
        found.append("there are no plots")
    return found


def resize(browser: Any, width: int, height: int) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def test_the_report_is_drawn_and_asks_for_nothing(
    browser: Any, comparison: Path, tmp_path: Path
) -> None:
    assert problems(browser, comparison / "report.html") == []
    places = {place for place, _ in browser.execute_script(DRAWN)}
    assert places == {
        *("accuracy", "curve-test", "curve-train", "rate", "bytes", "arithmetic"),
        *(f"{what}-{rule}" for what in OF_A_RULE for rule in RULES),
    }
    resize(browser, 1280, browser.execute_script("return document.documentElement.scrollHeight"))
    picture = tmp_path / "report.png"
    assert browser.save_screenshot(str(picture))
    assert picture.stat().st_size > 50_000, "a page with nothing on it is small"


def test_the_tables_read_as_the_stores_do(browser: Any, comparison: Path) -> None:
    browser.get((comparison / "report.html").as_uri())
    rows = summarise(collect(comparison))
    assert [row.label for row in rows] == RULES
    cells = browser.execute_script(CELLS, "table-accuracy")
    for line, row in zip(cells, rows, strict=True):
        own = next(iter(row.test)).replace("_", " ")
        spread = percent(row.accuracy.half_width)
        assert line[:5] == [shown(row), "2/2", own, percent(row.accuracy.mean), spread]
    cells = browser.execute_script(CELLS, "table-ledger")
    for line, row in zip(cells, rows, strict=True):
        rest = [row.lag_ticks_max, row.stale_updates_max, row.held_bytes, row.samples_per_second]
        assert line[0] == shown(row)
        assert line[-4:] == [count(number) for number in rest]
    cells = browser.execute_script(CELLS, "table-locality")
    assert [line[0] for line in cells[::2]] == [shown(row) for row in rows]
    assert [line[1].split(" ")[0] for line in cells[1::2]] == ["delta_l", "ds/dt", "dW_l"]


def test_a_scenario_of_the_report_is_the_one_that_ran(browser: Any, comparison: Path) -> None:
    browser.get((comparison / "report.html").as_uri())
    texts = browser.execute_script(
        "return Array.from(document.querySelectorAll('pre'), (pre) => pre.textContent)"
    )
    stored = [open_run(comparison / rule / "seed-0") for rule in RULES]
    assert [resolve(tomllib.loads(text)) for text in texts] == list(map(stored_scenario, stored))


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_no_wider_than_the_window(browser: Any, comparison: Path, width: int) -> None:
    resize(browser, width, 900)
    browser.get((comparison / "report.html").as_uri())
    page, window = browser.execute_script(WIDTHS)
    assert page <= window <= width


def test_a_rule_can_be_hidden_in_all_figures(browser: Any, comparison: Path) -> None:
    browser.get((comparison / "report.html").as_uri())
    button, figure = (
        browser.find_element("css selector", f'{what}[data-row="backprop"]')
        for what in ("nav button", "figure")
    )
    assert browser.execute_script(SHOWN, "backprop") > 0
    others = browser.execute_script(SHOWN, "frozen")
    browser.execute_script("arguments[0].click()", button)
    assert browser.execute_script(SHOWN, "backprop") == 0
    assert browser.execute_script(SHOWN, "frozen") == others
    assert not figure.is_displayed()
    browser.execute_script("arguments[0].click()", button)
    assert browser.execute_script(SHOWN, "backprop") > 0
    assert figure.is_displayed()


def test_a_single_run_is_drawn(browser: Any, comparison: Path) -> None:
    report = write_report(comparison / "backprop" / "seed-0")
    assert problems(browser, report) == []


@pytest.mark.parametrize(
    "rate", [7000.0, *(pytest.param(rate, marks=pytest.mark.slow) for rate in (3200.0, 10**4.85))]
)
def test_the_axis_of_a_single_speed_has_ticks(
    rate: float, browser: Any, comparison: Path, tmp_path: Path
) -> None:
    """At 3,200 a second there was once no tick, at 70,795 one at the edge and an error for it."""
    run = shutil.copytree(comparison / "backprop" / "seed-0", tmp_path / "run")
    timing = zarr.open_group(str(run / STORE), mode="r+")["timing/samples_per_second"]
    timing[:] = rate  # type: ignore[index]
    assert problems(browser, write_report(run)) == []
    shown = browser.execute_script("return document.querySelectorAll('#rate .xtick text').length")
    assert shown >= 2


def test_a_run_that_diverged_is_drawn_as_far_as_it_came(
    browser: Any, comparison: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(comparison / "backprop" / "seed-0", tmp_path / "run")
    zarr.open_group(str(run / STORE), mode="r+").attrs.update(status="diverged", error="infinite")
    assert problems(browser, write_report(run)) == []
    places = [place for place, _ in browser.execute_script(DRAWN)]
    of_it = [f"{what}-backprop" for what in OF_A_RULE if what != "change"]
    assert places == ["curve-test", "curve-train", *of_it]
    (line,) = browser.execute_script(CELLS, "table-unfinished")
    assert line[:4] == ["backprop", "0", "diverged", "infinite"]


def test_what_was_not_recorded_has_no_section(browser: Any, tmp_path: Path) -> None:
    report = layers(tmp_path / "run", "record.weights=last", "record.activity=[]")
    assert problems(browser, report) == []
    places = {place for place, _ in browser.execute_script(DRAWN)}
    assert not places & {f"{what}-backprop" for what in ("rotation", "growth", "cka", "rdm")}
    assert browser.execute_script(HEADINGS).count("Weights over time") == 0
    assert "Representations" not in browser.execute_script(HEADINGS)


def test_a_run_without_a_finite_weight_is_drawn(
    browser: Any, comparison: Path, tmp_path: Path
) -> None:
    """Of the snapshots of such a run some are known; on a logarithmic axis nothing may be NaN."""
    run = shutil.copytree(comparison / "backprop" / "seed-0", tmp_path / "run")
    with zarr.config.set({"array.write_empty_chunks": True}):  # or NaN takes chunks away
        group = zarr.open_group(str(run / STORE), mode="r+")
        group.attrs.update(status="diverged", error="infinite")
        weight: Any = group["weights/hidden1-hidden2/weight"]
        weight[1] = 1e30
        other: Any = group["weights/input-hidden1/weight"]
        other[1, 0, 0] = float("nan")
        activity: Any = group["activity/hidden1/activity"]
        activity[:] = float("nan")
    assert problems(browser, write_report(run)) == []
    assert browser.execute_script(AXIS, "growth-backprop", "yaxis") == "log"


@pytest.mark.parametrize("width", [1280, 390])
def test_a_spiking_report_is_drawn_and_no_wider_than_the_window(
    width: int, browser: Any, spiking: Path
) -> None:
    resize(browser, width, 900)
    assert problems(browser, spiking) == []
    places = {place for place, _ in browser.execute_script(DRAWN)}
    assert places == {"rates", "raster-map", "raster", "learnt-0", "spread-0"}
    page, window = browser.execute_script(WIDTHS)
    assert page <= window <= width


def test_a_reader_looks_closer_at_the_raster_in_time(browser: Any, spiking: Path) -> None:
    resize(browser, 1280, 900)
    browser.get(spiking.as_uri())
    first = browser.execute_script(BOX, "raster-map")
    (place,) = browser.find_elements("css selector", "#raster-map .nsewdrag[data-subplot='xy']")
    browser.execute_script("arguments[0].scrollIntoView({ block: 'center' })", place)
    actions = ActionChains(browser).move_to_element_with_offset(place, -100, 0)
    actions.click_and_hold().move_by_offset(150, 2).release().perform()
    close = browser.execute_script(BOX, "raster-map")
    assert first[0] < close[0] < close[1] < first[1]


def test_few_spikes_are_all_dots(browser: Any, tmp_path: Path) -> None:
    report = spikes(tmp_path / "run")
    assert problems(browser, report) == []
    places = {place for place, _ in browser.execute_script(DRAWN)}
    assert places == {"rates", "raster", "learnt-0", "spread-0"}
    drawn = browser.execute_script(
        "return document.querySelectorAll('#raster .scatterlayer path.point').length"
    )
    tree = open_run(tmp_path / "run")
    assert drawn == sum(node.sizes["spike"] for node in tree["spikes"].children.values())


def after(head: str, more: str) -> Callable[[str], str]:
    return lambda page: page.replace(head, head + more, 1)


def instead(of: str, other: str) -> Callable[[str], str]:
    return lambda page: page.replace(of, other, 1)


ELSEWHERE = "http://127.0.0.1:9"
SPOILED: dict[str, tuple[Callable[[str], str], str]] = {
    "a plot that fails": (instead("Plotly.newPlot(", "Plotly.noSuchPlot("), "noSuchPlot"),
    "plots without data": (
        instead("Plotly.newPlot(place, figure.data", "Plotly.newPlot(place, []"),
        "nothing is drawn in accuracy",
    ),
    "a hidden plot": (
        instead('class="plot" id="rate"', 'class="plot" hidden id="rate"'),
        "nothing is drawn in rate",
    ),
    "no plots": (lambda page: page.replace('class="plot"', 'class="blot"'), "there are no plots"),
    "a script from elsewhere": (
        after("<head>", f'<script src="{ELSEWHERE}/x.js"></script>'),
        f"request: {ELSEWHERE}/x.js",
    ),
    "a picture from elsewhere": (
        after("<body>", f'<img alt="" src="{ELSEWHERE}/x.png">'),
        f"request: {ELSEWHERE}/x.png",
    ),
    "a map without numbers": (
        instead("zmin: 0, zmax: 1,", "zmin: 0, zmax: 1, z: [],"),
        "nothing is drawn in cka-frozen",
    ),
    "an error": (after("<body>", "<script>console.error('wrong')</script>"), "wrong"),
}


QUICK_TO_SPOIL = ("plots without data", "a script from elsewhere", "an error")


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(what, marks=() if what in QUICK_TO_SPOIL else pytest.mark.slow)
        for what in SPOILED
    ],
)
def test_a_spoiled_report_is_found(
    what: str, browser: Any, comparison: Path, tmp_path: Path
) -> None:
    spoil, finding = SPOILED[what]
    good = (comparison / "report.html").read_text(encoding="utf-8")
    bad = spoil(good)
    assert bad != good
    page = tmp_path / "report.html"
    page.write_text(bad, encoding="utf-8")
    assert any(finding in problem for problem in problems(browser, page))


@pytest.mark.parametrize(
    ("good", "bad", "finding"),
    [
        ("z: p.hz,", "z: [],", "nothing is drawn in raster-map"),
        ("y: map.edge, z,", "y: map.edge, z: w,", "w is not defined"),
        ("y: p.neuron,", "y: [],", "nothing is drawn in raster"),
    ],
)
def test_a_spoiled_spiking_report_is_found(
    good: str, bad: str, finding: str, browser: Any, spiking: Path, tmp_path: Path
) -> None:
    text = spiking.read_text(encoding="utf-8")
    assert text.count(good) == 1
    page = tmp_path / "report.html"
    page.write_text(text.replace(good, bad), encoding="utf-8")
    assert any(finding in problem for problem in problems(browser, page))
