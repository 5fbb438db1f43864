import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from biosim.kernels import compiled
from biosim.kernels.compiled import module_of

ROOT = Path(__file__).resolve().parents[4]
TEXT = "# a test\n@compiled\ndef twice(x):\n    return F(x) + F(x)\n"
PROGRAM = f"""
import sys
from biosim.kernels.compiled import module_of
module = module_of({TEXT!r}, "float64", 1e-4)
sys.stdout.write(f"{{module.twice(4)}} {{module.__file__}}")
"""


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BIOSIM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def started() -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def files(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "kernels").iterdir() if path.is_file())


def test_several_processes_may_start_at_once(own_cache: Path) -> None:
    processes = [started() for _ in range(2)]
    said = {process.communicate(timeout=120)[0] for process in processes}
    assert all(process.returncode == 0 for process in processes)
    (path,) = {words.split()[1] for words in said}
    assert {words.split()[0] for words in said} == {"8.0"}
    assert files(own_cache) == [Path(path).name], "a file that is not whole was left"
    # And the machine code of one serves the next.
    module = module_of(TEXT, "float64", 1e-4)
    assert module.__file__ == path
    assert module.twice(4) == 8
    assert sum(module.twice.stats.cache_hits.values()) == 1


def test_a_cache_that_cannot_be_written_is_no_reason_not_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no directory")
    monkeypatch.setenv("BIOSIM_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(compiled.tempfile, "tempdir", None)
    module = module_of(TEXT + "# elsewhere\n", "float64", 1e-4)
    assert module.twice(4) == 8
    assert Path(str(module.__file__)).parent.parent == tmp_path


def test_another_text_precision_tick_or_kernel_is_another_file(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [
        module_of(TEXT, "float64", 1e-4),
        module_of(TEXT, "float64", 1e-4),
        module_of(TEXT, "float32", 1e-4),
        module_of(TEXT, "float64", 2e-4),
        module_of(TEXT + "\n", "float64", 1e-4),
    ]
    monkeypatch.setattr(compiled, "_kernels", lambda: "a kernel was changed")
    made.append(module_of(TEXT, "float64", 1e-4))
    names = [module.__name__ for module in made]
    assert names[0] == names[1]
    assert len(set(names[1:])) == 5
    assert made[0] is made[1]


def test_what_stands_for_the_kernels_covers_their_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = compiled._kernels()
    for path in Path(compiled.__file__).parent.glob("*.py"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "compiled.py"))
    compiled._kernels.cache_clear()
    assert compiled._kernels() == before
    (tmp_path / "delivery.py").write_bytes(b"# faster\n")
    compiled._kernels.cache_clear()
    assert compiled._kernels() != before
    monkeypatch.undo()
    compiled._kernels.cache_clear()
    assert compiled._kernels() == before


def test_threads_never_see_a_module_that_is_half_imported(own_cache: Path) -> None:
    text = "import time\ntime.sleep(0.2)\n" + TEXT
    found, failed = [], []

    def one() -> None:
        try:
            found.append(module_of(text, "float64", 1e-4).twice)
        except AttributeError as error:
            failed.append(error)

    crowd = [threading.Thread(target=one) for _ in range(4)]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join()
    assert not failed
    assert len(found) == 4


def test_a_generated_file_is_of_no_time(own_cache: Path) -> None:
    # numba compiles anew what has another age.
    module = module_of(TEXT + "# old\n", "float64", 1e-4)
    assert os.stat(str(module.__file__)).st_mtime == 0
