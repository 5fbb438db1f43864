"""The command line: what it prints, and what it refuses."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import biosim
from biosim.errors import BiosimError
from hpc import cli
from rules import RULES, SYNAPSE_RULES
from scenarios.data.idx import write_idx

QUICK = ["run.epochs=1", "run.batch_size=256", "network.hidden=[4]", "record.samples=3"]


class Outcome:
    """Exit code and output of one command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


class Command:
    """Runs `biosim WORDS` in this process, in an empty directory."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path
    ) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        self.home = home
        monkeypatch.chdir(home)

    def __call__(self, *words: str) -> Outcome:
        self._monkeypatch.setattr(sys, "argv", ["biosim", *words])
        code = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = self._capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    def files(self) -> set[str]:
        return {str(p.relative_to(self.home)) for p in self.home.rglob("*")}


@pytest.fixture
def biosim_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    monkeypatch.delenv("BIOSIM_DATA", raising=False)
    return Command(monkeypatch, capsys, tmp_path)


def test_a_run_says_its_accuracy_and_where_it_is(biosim_command: Command) -> None:
    done = biosim_command("run", "digits", *QUICK, "rule.name=noprop", "--out", "there")
    assert done.code == 0
    assert "% (noisy)" in done.out
    assert "% (noiseless)" in done.out
    assert "results in there" in done.out
    assert biosim.open_run("there").attrs["status"] == "complete"


def test_without_out_a_run_goes_to_runs(biosim_command: Command) -> None:
    done = biosim_command("run", "digits", *QUICK)
    assert done.code == 0
    assert Path("runs/digits-backprop-seed-0/run.zarr").is_dir()


def test_a_comparison_prints_a_table_and_writes_a_report(biosim_command: Command) -> None:
    done = biosim_command(
        "compare", "digits", *QUICK, "--rules", "frozen,soft_hebb", "--seeds", "2", "--out", "two"
    )
    assert done.code == 0, done.err
    assert "frozen" in done.out
    assert "soft_hebb" in done.out
    assert "report in two/report.html" in done.out
    listed = json.loads(Path("two/comparison.json").read_text())["runs"]
    assert [(r["rule"], r["seed"]) for r in listed] == [
        ("frozen", 0), ("frozen", 1), ("soft_hebb", 0), ("soft_hebb", 1),
    ]  # fmt: skip
    Path("two/report.html").unlink()
    again = biosim_command("report", "two")
    assert again.code == 0
    assert Path("two/report.html").is_file()


def test_a_run_that_diverges_does_not_end_a_comparison(biosim_command: Command) -> None:
    done = biosim_command(
        "compare", "digits", *QUICK, "rule.lr=1e30", "--rules", "soft_hebb,backprop",
        "--seeds", "1", "--out", "two",
    )  # fmt: skip
    assert done.code == 2
    assert "backprop" in done.out
    assert "became infinite or not a number in epoch 1" in done.err
    assert Path("two/report.html").is_file()


def test_a_comparison_that_cannot_start_overwrites_nothing(biosim_command: Command) -> None:
    asked = ["compare", "digits", *QUICK, "--rules", "frozen", "--seeds", "1", "--out", "two"]
    assert biosim_command(*asked).code == 0
    before = biosim_command.files()
    done = biosim_command(*asked, "run.start_from=nowhere", "--overwrite")
    assert (done.code, biosim_command.files()) == (2, before)
    assert biosim_command(*asked, "--overwrite").code == 0
    Path("two/frozen/mine.txt").write_text("mine")
    done = biosim_command(*asked, "--overwrite")
    assert (done.code, "'frozen/mine.txt', which is no result" in done.err) == (2, True)


@pytest.mark.slow
def test_parameters_go_to_the_rules_that_have_them(biosim_command: Command) -> None:
    done = biosim_command(
        "compare", "digits", *QUICK, "rule.gain=7", "--rules", "soft_hebb,frozen",
        "--seeds", "1", "--out", "two",
    )  # fmt: skip
    assert done.code == 0, done.err
    rule = biosim.open_run("two/soft_hebb/seed-0").attrs["scenario"]["rule"]
    assert rule["gain"] == 7


def test_predict_prints_or_writes_answers(biosim_command: Command) -> None:
    biosim_command("run", "digits", *QUICK, "--out", "there")
    np.savez("new.npz", x=np.zeros((3, 64), np.float32))
    printed = biosim_command("predict", "there", "--data", "new.npz")
    assert printed.code == 0
    assert len(printed.out.split()) == 3
    written = biosim_command("predict", "there", "--data", "new.npz", "--out", "answers.npz")
    assert "3 answers in answers.npz" in written.out


def test_traces_info_lists_arrays_with_their_dimensions(biosim_command: Command) -> None:
    biosim_command("run", "digits", *QUICK, "--out", "there")
    done = biosim_command("traces", "info", "there")
    assert done.code == 0
    assert "learning/accuracy" in done.out
    assert "snapshot 2, post 4, pre 64" in done.out


def test_validate_says_what_a_run_would_store(biosim_command: Command) -> None:
    words = ("digits", "run.epochs=200000000", "record.weights=every")
    done = biosim_command("validate", *words)
    assert done.code == 0
    size = re.search(r"stores ([\d.]+ GiB of weights, .* of activity: .* in all)", done.out)
    assert size
    assert f"stores {size[1]}" in biosim_command("plan", *words).out


def test_a_new_scenario_is_valid_as_it_is_and_with_every_comment_taken_away(
    biosim_command: Command,
) -> None:
    assert biosim_command("new", "mine").code == 0
    assert "mine is valid: backprop on digits" in biosim_command("validate", "mine.toml").out
    text = Path("mine.toml").read_text()
    lines = [
        line.removeprefix("# ") if " = " in line or line.startswith("# [") else line
        for line in text.splitlines()
    ]
    keep = [line for line in lines if "= ..." not in line]
    Path("all.toml").write_text("\n".join(keep))
    done = biosim_command("validate", "all.toml")
    assert done.code == 0, done.err
    again = biosim_command("new", "mine")
    assert (again.code, "exists" in again.err) == (2, True)
    assert Path("mine.toml").read_text() == text


@pytest.mark.parametrize("rule", list(RULES))
def test_the_card_of_every_rule_says_what_a_synapse_reads_and_cites(
    rule: str, biosim_command: Command
) -> None:
    done = biosim_command("explain", rule)
    assert done.code == 0
    assert RULES[rule].source.split()[0] in done.out
    for title in ("source", "equations", "locality", "a synapse reads", "phases", "parameters"):
        assert title in done.out


@pytest.mark.parametrize("rule", list(SYNAPSE_RULES))
def test_the_card_of_every_rule_of_synapses_shows_its_equations_and_cites(
    rule: str, biosim_command: Command
) -> None:
    done = biosim_command("explain", rule)
    assert done.code == 0
    assert SYNAPSE_RULES[rule].source.split()[0] in done.out
    for title in ("source", "locality", "a synapse reads", "model:", "on_pre:", "parameters"):
        assert title in done.out


def test_lists_name_everything(biosim_command: Command) -> None:
    listed = biosim_command("rules").out
    assert all(name in listed for name in (*RULES, *SYNAPSE_RULES))
    assert all(n in biosim_command("scenarios").out for n in ("digits", "mnist", "fashion_mnist"))


COMMANDS = (
    "run", "compare", "predict", "rules", "scenarios", "explain", "new", "validate", "plan",
    "check", "report", "traces info", "submit", "status", "logs", "cancel", "resubmit",
    "fetch-results",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str, biosim_command: Command) -> None:
    done = biosim_command(*command.split(), "--help")
    assert done.code == 0
    assert f"Example: biosim {command}" in done.out


def test_the_version_is_that_of_the_package(biosim_command: Command) -> None:
    done = biosim_command("--version")
    assert (done.code, done.out) == (0, f"biosim {biosim.__version__}\n")


def test_the_list_of_commands_is_whole(biosim_command: Command) -> None:
    listed = biosim_command("--help").out.partition("Commands:")[2].split("\n")
    names = {line.split()[0] for line in listed if line.strip()}
    assert names == {command.split()[0] for command in COMMANDS}


def damaged_mnist(directory: Path, what: str) -> None:
    """Write four small IDX files, one of them damaged."""
    directory.mkdir(parents=True)
    for split, n in (("train", 60), ("t10k", 10)):
        images = np.zeros((n, 28, 28), np.uint8)
        write_idx(directory / f"{split}-images-idx3-ubyte", images)
        write_idx(directory / f"{split}-labels-idx1-ubyte", np.arange(n, dtype=np.uint8) % 10)
    path = directory / "train-images-idx3-ubyte"
    content = path.read_bytes()
    if "magic" in what:
        content = b"\x01\x02\x03\x04" + content[4:]
    elif "truncated" in what:
        content = content[:-100]
    path.write_bytes(content)
    if "gz" in what or what == "checksum":
        with gzip.open(directory / "train-images-idx3-ubyte.gz", "wb") as file:
            file.write(content)
        path.unlink()


REFUSED = {
    "unknown rule": (["run", "digits", "rule.name=noporp"], "did you mean 'noprop'"),
    "unknown scenario": (["run", "digit"], "did you mean 'digits'"),
    "unknown key": (["run", "digits", "run.epohcs=3"], "run.epohcs: unknown key"),
    "wrong type": (["run", "digits", "run.epochs=many"], "run.epochs: got 'many'"),
    "layer size": (["run", "digits", "network.inputs=7"], "digits has 64 features"),
    "no data directory": (
        ["run", "mnist", "data.directory=nowhere"], "nowhere",
    ),
    "wrong magic": (["run", "mnist", "data.directory=magic"], "magic"),
    "wrong magic, gz": (["run", "mnist", "data.directory=magic-gz"], "magic"),
    "truncated": (["run", "mnist", "data.directory=truncated"], "bytes"),
    "truncated, gz": (["run", "mnist", "data.directory=truncated-gz"], "bytes"),
    "wrong checksum": (["run", "mnist", "data.directory=checksum"], "md5"),
    "no such file": (["run", "digits", "data.file=nowhere.npz"], "nowhere.npz"),
    "NaN in data": (["run", "digits", "data.file=nan.npz"], "nan.npz"),
    "output exists": (["run", "digits", "--out", "taken"], "taken exists"),
    "output not ours": (["run", "digits", "--out", "taken", "--overwrite"], "is no result of"),
    "output below a file": (["run", "digits", "--out", "nan.npz/out"], "cannot be written"),
    "negative delay": (["run", "digits", "network.delay=-1"], "network.delay: got -1"),
    "short period": (
        ["run", "digits", "rule.name=equilibrium_propagation", "run.period=1"],
        "run.period is 1; the phases of equilibrium_propagation take",
    ),
    "no CUDA device": (["run", "digits", "run.device=cuda:97"], "run.device"),
    "no run to start from": (["run", "digits", "run.start_from=nowhere"], "nowhere holds no run"),
    "no run to validate from": (["validate", "digits", "run.start_from=nowhere"], "holds no run"),
    "no run to compare from": (
        ["compare", "digits", "run.start_from=nowhere"], "nowhere holds no run",
    ),
    "a parameter of no rule": (["compare", "digits", "rule.lrr=1"], "rule.lrr: unknown key"),
    "no rule to compare": (["compare", "digits", "--rules", "hebb"], "no rule 'hebb'"),
    "a rule twice": (["compare", "digits", "--rules", "noprop,noprop"], "expected each once"),
    "no seeds": (["compare", "digits", "--seeds", "0"], "got 0 seeds"),
    "rule in a comparison": (["compare", "digits", "rule.name=noprop"], "--rules"),
    "comparison exists": (["compare", "digits", "--out", "taken"], "taken exists"),
    "unknown card": (["explain", "nopropp"], "did you mean 'noprop'"),
    "unknown option": (["run", "digits", "--ouput", "x"], "--ouput"),
    "unknown command": (["rnu"], "rnu"),
    "nothing to report": (["report", "taken"], "taken"),
    "no run": (["traces", "info", "nowhere"], "nowhere holds no run"),
    "nothing to predict": (["predict", "nowhere", "--data", "nan.npz"], "nowhere holds no run"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(REFUSED))
def test_bad_input_is_one_line_with_exit_code_2_and_writes_nothing(
    case: str, biosim_command: Command
) -> None:
    home = biosim_command.home
    for what in ("magic", "truncated", "magic-gz", "truncated-gz", "checksum"):
        damaged_mnist(home / what, what)
    x = np.zeros((50, 4), np.float32)
    x[3, 2] = np.nan
    np.savez("nan.npz", x=x, y=np.arange(50) % 2)
    Path("taken").mkdir()
    Path("taken/mine.txt").write_text("mine")
    before = biosim_command.files()
    words, message = REFUSED[case]
    done = biosim_command(*words)
    assert done.code == 2
    assert done.err.startswith("biosim: ")
    assert done.err.count("\n") == 1
    assert message in done.err
    assert done.out == ""
    assert biosim_command.files() == before


def test_packages_from_several_places_are_refused(
    monkeypatch: pytest.MonkeyPatch, biosim_command: Command
) -> None:
    monkeypatch.setattr(cli.rules, "__file__", "/elsewhere/rules/__init__.py")
    with pytest.raises(BiosimError, match="package 'rules' comes from /elsewhere"):
        cli.check_one_place()
    assert biosim_command("rules").code == 2


def test_an_unwritable_output_is_refused(biosim_command: Command) -> None:
    if shutil.which("uname") is None or not Path("/proc/version").exists():
        pytest.skip("needs a file system that nobody can write to, such as /proc")
    done = biosim_command("run", "digits", *QUICK, "--out", "/proc/biosim")
    assert done.code == 2
    assert "cannot be written" in done.err
