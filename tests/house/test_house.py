"""The house rules, each with a negative control: a check that cannot fail is no check."""

import ast
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from rules import RULES, SYNAPSE_RULES

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ROOT / "pyproject.toml"
PACKAGES = ("biosim", "rules", "scenarios", "hpc")
TOO_MANY_LINES = 400

SLOW = pytest.mark.slow

# What `make lint` runs, which CI does too.
LINT = ("ruff check .", "ruff format --check .", "mypy", "lint-imports")

# What the files in rules/ share. Every other file there is a rule.
SHARED_BY_RULES = ("__init__.py", "card.py", "rule.py", "stack.py", "synaptic.py")

# Split, so that this file does not find itself.
PLACEHOLDER = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME)\b")


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def run(command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs a tool of this interpreter's environment, whether that is activated or not."""
    tool, *arguments = shlex.split(command)
    program = Path(sysconfig.get_path("scripts")) / tool
    return subprocess.run([program, *arguments], cwd=cwd, capture_output=True, text=True)


def report(done: subprocess.CompletedProcess[str]) -> str:
    return f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"


# --- the checks, as functions of what they look at


def too_long(paths: Iterable[Path]) -> dict[str, int]:
    lines = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    return {path: count for path, count in lines.items() if count >= TOO_MANY_LINES}


def with_placeholder(paths: Iterable[Path]) -> list[str]:
    return [
        f"{path}:{number}"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if PLACEHOLDER.search(line)
    ]


def without_docstring(paths: Iterable[Path]) -> list[str]:
    def public(path: Path) -> bool:
        return not path.stem.startswith("_") or path.stem in ("__init__", "__main__")

    return [
        str(path)
        for path in paths
        if public(path) and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]


def without_source(paths: Iterable[Path]) -> list[str]:
    """The files in which no class, and not the module, has an attribute `source` with a text.

    An argument of that name is none: `Projection(source="input")` names a population.
    """

    def is_source(statement: ast.stmt) -> bool:
        match statement:
            case ast.Assign(targets=[ast.Name(id="source")], value=ast.Constant(value=str(text))):
                return bool(text.strip())
            case ast.AnnAssign(target=ast.Name(id="source"), value=ast.Constant(value=str(text))):
                return bool(text.strip())
        return False

    def cites(path: Path) -> bool:
        module = ast.parse(path.read_text(encoding="utf-8"))
        owners = [node for node in ast.walk(module) if isinstance(node, ast.Module | ast.ClassDef)]
        return any(is_source(part) for owner in owners for part in owner.body)

    return [str(path) for path in paths if not cites(path)]


def shell_commands(markdown: str) -> list[list[str]]:
    """The commands in a page's fenced shell blocks, as words, comments and prompts removed."""
    blocks = re.findall(r"^```(\w*)[^\n]*\n(.*?)^```", markdown, flags=re.MULTILINE | re.DOTALL)
    lines = [
        line
        for language, block in blocks
        if language in ("", "sh", "bash", "shell", "console")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    commands = []
    for line in lines:
        words = line.strip().removeprefix("$ ")
        if re.match(r"(?:\.venv/bin/)?(?:make|biosim)(?:\s|$)", words):
            # `a && b` and `a | b` are commands of their own.
            commands += [
                shlex.split(part, comments=True)
                for part in re.split(r"\s+(?:&&|\|\|?)\s+|;\s+", words)
            ]
    return [command for command in commands if command]


def unknown_make_targets(commands: Iterable[list[str]], makefile: str) -> list[str]:
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, flags=re.MULTILINE))
    asked = {
        word
        for command in commands
        if command[0] == "make"
        for word in command[1:]
        if "=" not in word and not word.startswith("-")
    }
    return sorted(asked - targets)


def refused_by_biosim(commands: Iterable[list[str]]) -> list[str]:
    """The commands that fail with --help appended: no such command, or no such option."""
    asked = [command[1:] for command in commands if Path(command[0]).name == "biosim"]
    # All in one process, because loading torch takes longer than everything else.
    program = """
import contextlib, io, json, sys
from hpc.cli import main

refused = []
for arguments in json.load(sys.stdin):
    sys.argv = ["biosim", *arguments, "--help"]
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = main()
    except SystemExit as end:
        status = end.code
    if status:
        refused.append(" ".join(["biosim", *arguments]) + "\\n" + said.getvalue())
print(json.dumps(refused))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(asked),
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == 0, report(done)
    refused: list[str] = json.loads(done.stdout.splitlines()[-1])
    return refused


# --- files


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_has_files_to_check(package: str) -> None:
    assert python_files(package)


def test_no_file_is_too_long() -> None:
    assert not too_long(python_files(*PACKAGES))


def test_a_file_of_401_lines_is_found(tmp_path: Path) -> None:
    long, short = tmp_path / "long.py", tmp_path / "short.py"
    long.write_text("x = 1\n" * 401)
    short.write_text("x = 1\n" * 399)
    assert too_long([long, short]) == {str(long): 401}


def test_nothing_is_left_to_do() -> None:
    assert not with_placeholder(python_files(*PACKAGES, "tests", "benchmarks"))


@pytest.mark.parametrize("word", ["TO" + "DO", "FIX" + "ME"])
def test_a_placeholder_is_found(word: str, tmp_path: Path) -> None:
    path = tmp_path / "later.py"
    path.write_text(f"x = 1\ny = 2  # {word}: three\n")
    assert with_placeholder([path]) == [f"{path}:2"]


def test_every_public_module_has_a_docstring() -> None:
    assert not without_docstring(python_files(*PACKAGES))


def test_a_missing_docstring_is_found(tmp_path: Path) -> None:
    bare, told, private = tmp_path / "bare.py", tmp_path / "told.py", tmp_path / "_own.py"
    bare.write_text("# not a docstring\nx = 1\n")
    told.write_text('"""What it is for."""\n')
    private.write_text("x = 1\n")
    assert without_docstring([bare, told, private]) == [str(bare)]


def test_every_rule_cites_a_source() -> None:
    rules = [path for path in python_files("rules") if path.name not in SHARED_BY_RULES]
    assert rules, "no rules in rules/"
    assert not without_source(rules)


def test_every_rule_is_listed() -> None:
    listed = {rule.__module__ for rule in (*RULES.values(), *SYNAPSE_RULES.values())}
    files = [path for path in python_files("rules") if path.name not in SHARED_BY_RULES]
    assert {f"rules.{path.stem}" for path in files} == listed


def test_no_listed_rule_is_taken_for_a_shared_file() -> None:
    rules = [*RULES.values(), *SYNAPSE_RULES.values()]
    files = {Path(inspect.getfile(rule)).name for rule in rules}
    assert files
    assert not files & set(SHARED_BY_RULES)


@pytest.mark.parametrize(
    "text",
    [
        'class Rule:\n    source: ClassVar[str] = "Oja 1982, eq. 3"\n',
        'class Rule:\n    source = (\n        "Oja 1982, "\n        "eq. 3"\n    )\n',
        'source = "Oja 1982, eq. 3"\n',
    ],
)
def test_a_cited_source_is_seen(text: str, tmp_path: Path) -> None:
    path = tmp_path / "cites.py"
    path.write_text(text)
    assert not without_source([path])


@pytest.mark.parametrize(
    "text",
    [
        '"""source: Oja 1982."""\n',
        "class Rule:\n    source: ClassVar[str]\n",
        'class Rule:\n    source = " "\n',
        "class Rule:\n    source = None\n",
        'class Rule:\n    def wire(self):\n        return Projection(source="input")\n',
        'def wire():\n    source = "input"\n',
    ],
)
def test_a_missing_source_is_found(text: str, tmp_path: Path) -> None:
    path = tmp_path / "silent.py"
    path.write_text(text)
    assert without_source([path]) == [str(path)]


# --- tools


@pytest.mark.parametrize(
    "command", [pytest.param(tool, marks=SLOW if tool == "mypy" else ()) for tool in LINT]
)
def test_the_tool_finds_nothing(command: str) -> None:
    done = run(command)
    assert done.returncode == 0, report(done)


@pytest.mark.parametrize(
    ("command", "text", "finding"),
    [
        ("ruff check --no-cache", "import os\n", "F401"),
        ("ruff check --no-cache", "def f() -> None:\n    pass\n", "D103"),
        ("ruff format --no-cache --check", "x  =  1\n", "would be reformatted"),
        ("mypy --cache-dir=/dev/null", "def f(x):\n    return x\n", "no-untyped-def"),
    ],
)
def test_the_tool_finds_what_is_wrong(
    command: str, text: str, finding: str, tmp_path: Path
) -> None:
    (tmp_path / "wrong.py").write_text(text)
    option = "--config-file" if command.startswith("mypy") else "--config"
    done = run(f"{command} {option} {shlex.quote(str(SETTINGS))} wrong.py", cwd=tmp_path)
    assert done.returncode == 1, report(done)
    assert finding in done.stdout


@pytest.mark.parametrize(
    ("low", "high"),
    [(low, high) for position, low in enumerate(PACKAGES) for high in PACKAGES[position + 1 :]],
)
def test_an_import_against_the_direction_is_found(low: str, high: str, tmp_path: Path) -> None:
    (tmp_path / SETTINGS.name).write_bytes(SETTINGS.read_bytes())
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / high / "__init__.py").write_text(f"import {low}\n")
    allowed = run("lint-imports --no-cache", cwd=tmp_path)
    assert allowed.returncode == 0, report(allowed)

    (tmp_path / high / "__init__.py").write_text("")
    (tmp_path / low / "__init__.py").write_text(f"import {high}\n")
    forbidden = run("lint-imports --no-cache", cwd=tmp_path)
    assert forbidden.returncode == 1, report(forbidden)
    assert "1 broken" in forbidden.stdout


def test_make_lint_and_the_commit_hooks_run_these_tools() -> None:
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    made = [line.strip().removeprefix("$(BIN)/") for line in recipe[1].splitlines()]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    hooked = [hook["entry"].removeprefix(".venv/bin/") for hook in hooks]
    assert made == hooked == list(LINT)


# --- pages


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_page_names_make_targets_that_exist(page: str) -> None:
    commands = shell_commands((ROOT / page).read_text(encoding="utf-8"))
    assert any(command[0] == "make" for command in commands)
    assert not unknown_make_targets(commands, (ROOT / "Makefile").read_text())


def test_the_readme_names_biosim_commands_that_exist() -> None:
    commands = shell_commands((ROOT / "README.md").read_text(encoding="utf-8"))
    assert any(Path(command[0]).name == "biosim" for command in commands)
    assert not refused_by_biosim(commands)


def test_an_unknown_make_target_is_found() -> None:
    commands = shell_commands("```sh\nmake demo PYTHON=python3.12\nmake coffee  # black\n```\n")
    assert unknown_make_targets(commands, "demo: ready\n\ttrue\n") == ["coffee"]


@pytest.mark.parametrize("command", ["biosim coffee", "biosim compare digits --coffee"])
def test_a_command_that_biosim_refuses_is_found(command: str) -> None:
    (refused,) = refused_by_biosim(shell_commands(f"```sh\n{command}\n```\n"))
    assert "coffee" in refused


def test_commands_are_read_from_shell_blocks_only() -> None:
    page = (
        "Run `make nothing`.\n```python\nmake = 1\n```\n"
        "```console\n$ make demo && biosim list  # both\n"
        "biosim compare digits \\\n    --seeds 3\nls\n```\n"
    )
    assert shell_commands(page) == [
        ["make", "demo"],
        ["biosim", "list"],
        ["biosim", "compare", "digits", "--seeds", "3"],
    ]
