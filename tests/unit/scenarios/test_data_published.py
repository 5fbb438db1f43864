"""Where published files are looked for, and what they are compared with."""

import dataclasses
import functools
import hashlib
import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from biosim.errors import DataError
from scenarios.data import published
from scenarios.data.published import Published, locate

CONTENT = {"a.gz": b"first", "b.gz": b"second"}
FILES = Published(
    name="toy",
    md5={name: hashlib.md5(content).hexdigest() for name, content in CONTENT.items()},
    mirrors=(),
)


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(published.VARIABLE, raising=False)
    monkeypatch.setattr(published, "CHECKOUT_DATA", tmp_path / "no-checkout")
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache" / project)
    # Between two attempts, pooch waits a second.
    monkeypatch.setattr("pooch.core.time.sleep", lambda _seconds: None)


def place(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or CONTENT:
        (folder / name).write_bytes(CONTENT.get(name, b"unzipped"))
    return folder


def test_a_named_directory_may_hold_the_files_or_their_folder(tmp_path: Path) -> None:
    flat = place(tmp_path / "flat")
    place(tmp_path / "deep" / "toy")
    assert locate(FILES, flat)["a.gz"] == flat / "a.gz"
    assert locate(FILES, tmp_path / "deep")["a.gz"] == tmp_path / "deep" / "toy" / "a.gz"


def test_the_folder_of_the_name_comes_first(tmp_path: Path) -> None:
    place(tmp_path)
    place(tmp_path / "toy")
    assert locate(FILES, tmp_path)["b.gz"] == tmp_path / "toy" / "b.gz"


def test_the_order_is_argument_then_variable_then_checkout_then_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cached = place(tmp_path / "cache" / "biosim" / "toy")
    # The mirror cannot be reached; what is cached needs none.
    files = dataclasses.replace(FILES, mirrors=("http://127.0.0.1:9/",))
    assert locate(files)["a.gz"].parent == cached
    checkout = place(tmp_path / "checkout")
    monkeypatch.setattr(published, "CHECKOUT_DATA", checkout)
    assert locate(files)["a.gz"].parent == checkout
    variable = place(tmp_path / "variable")
    monkeypatch.setenv(published.VARIABLE, str(variable))
    assert locate(files)["a.gz"].parent == variable
    argument = place(tmp_path / "argument")
    assert locate(files, argument)["a.gz"].parent == argument


def test_a_variable_without_these_files_falls_through(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "others").mkdir()
    monkeypatch.setenv(published.VARIABLE, str(tmp_path / "others"))
    monkeypatch.setattr(published, "CHECKOUT_DATA", place(tmp_path / "checkout"))
    assert locate(FILES)["a.gz"].parent == tmp_path / "checkout"


def test_an_empty_variable_is_as_good_as_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(published.VARIABLE, "")
    monkeypatch.setattr(published, "CHECKOUT_DATA", place(tmp_path / "checkout"))
    assert locate(FILES)["a.gz"].parent == tmp_path / "checkout"


def test_unzipped_files_are_taken_where_no_zipped_one_lies(tmp_path: Path) -> None:
    place(tmp_path, "a", "b", "b.gz")
    assert locate(FILES, tmp_path) == {"a.gz": tmp_path / "a", "b.gz": tmp_path / "b.gz"}


def test_a_named_directory_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: is no directory, expected the data directory"):
        locate(FILES, tmp_path / "nowhere")


def test_a_variable_that_names_no_directory_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(published.VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"nowhere: is no directory, expected \$BIOSIM_DATA"):
        locate(FILES)


def test_a_named_directory_without_the_files_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Whoever names a directory must not get the files of another.
    monkeypatch.setenv(published.VARIABLE, str(place(tmp_path / "variable")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"toy: none of its files in .*empty.*expected a.gz, b.gz"):
        locate(FILES, tmp_path / "empty")


def test_missing_files_are_named(tmp_path: Path) -> None:
    place(tmp_path, "a.gz")
    with pytest.raises(DataError, match=r"toy: .* lacks b.gz, expected a.gz, b.gz"):
        locate(FILES, tmp_path)


def test_a_wrong_checksum_names_the_file_and_both_checksums(tmp_path: Path) -> None:
    place(tmp_path)
    (tmp_path / "b.gz").write_bytes(b"sec0nd")
    came, expected = hashlib.md5(b"sec0nd").hexdigest(), FILES.md5["b.gz"]
    with pytest.raises(DataError, match=rf"b\.gz: has the md5 {came}, expected {expected}"):
        locate(FILES, tmp_path)


def test_an_unreadable_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place(tmp_path)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(hashlib, "file_digest", refuse)
    with pytest.raises(DataError, match=r"a\.gz: cannot be read \(.*Permission denied"):
        locate(FILES, tmp_path)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Keeps the test's output empty."""


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """The URL of a directory on this machine with the folders `good/` and `bad/`."""
    place(tmp_path / "web" / "good")
    bad = place(tmp_path / "web" / "bad")
    for name in CONTENT:
        (bad / name).write_bytes(b"not what was published")
    handler = functools.partial(Quiet, directory=str(tmp_path / "web"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("first", ["good", "bad", "absent"])
def test_the_first_mirror_with_the_right_files_is_used(
    mirror: str, first: str, tmp_path: Path
) -> None:
    mirrors = (f"{mirror}/{first}/", f"{mirror}/good/")
    found = locate(dataclasses.replace(FILES, mirrors=mirrors))
    assert {name: path.read_bytes() for name, path in found.items()} == CONTENT
    assert found["a.gz"].parent == tmp_path / "cache" / "biosim" / "toy"


def test_a_download_of_something_else_is_refused(mirror: str) -> None:
    files = dataclasses.replace(FILES, mirrors=(f"{mirror}/bad/",))
    with pytest.raises(
        DataError, match=r"cannot download a\.gz \(http://.*/bad/a\.gz: wrong md5\)"
    ):
        locate(files)


def test_without_a_network_the_message_says_what_to_place_where() -> None:
    files = dataclasses.replace(FILES, mirrors=("http://127.0.0.1:9/", "http://127.0.0.1:9/b/"))
    message = (
        "toy: cannot download a.gz (http://127.0.0.1:9/a.gz: ConnectionError; "
        "http://127.0.0.1:9/b/a.gz: ConnectionError), expected a network connection or placed "
        "files: place a.gz, b.gz in a folder toy/ and set BIOSIM_DATA to the directory that holds "
        "that folder"
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        locate(files)
