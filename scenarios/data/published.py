"""Published files: where they may lie, what they must be, and how to download them.

Why placed files come before a download: compute nodes rarely reach the network, and a dozen
jobs that start together must not fetch the same file a dozen times.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from biosim.errors import DataError
from scenarios.data.idx import read_idx

VARIABLE = "BIOSIM_DATA"

# Beside a checkout; where biosim is installed, no such directory exists and none is used.
CHECKOUT_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@dataclass(frozen=True)
class Published:
    """The files of one published data set.

    Attributes:
        name: the data set's, and its folder's.
        md5: file name -> its published checksum. A name that ends in `.gz` may also be placed
            unzipped, without the ending: then there is no published checksum to compare with.
        mirrors: URLs of the directory that holds the files, tried in this order.
    """

    name: str
    md5: Mapping[str, str]
    mirrors: tuple[str, ...]


def locate(
    published: Published, directory: str | os.PathLike[str] | None = None
) -> dict[str, Path]:
    """Find the files, download them if they lie nowhere, and compare their checksums.

    Looked at are: the named directory and no other; without one `$BIOSIM_DATA`, then
    `../shared/data` beside the checkout, then the cache and the mirrors. In a directory, the
    folder of the data set's name comes before the directory itself.

    Args:
        published: which files.
        directory: that must hold them.

    Returns:
        File name, as in `published.md5` -> path.

    Raises:
        DataError: a directory that was named (here or by the variable) is missing; a named
            directory lacks files; some files lie there and others do not; a checksum differs;
            no mirror could be reached.
    """
    if directory is not None:
        root = _existing(Path(directory).expanduser(), "the data directory")
        found = _placed(published, root)
        if found is None:
            raise DataError(
                f"{published.name}: none of its files in {root} or {root / published.name}, "
                f"expected {_listed(published)}: place them there"
            )
        return found

    roots = []
    if os.environ.get(VARIABLE):
        roots.append(_existing(Path(os.environ[VARIABLE]).expanduser(), f"${VARIABLE}"))
    if CHECKOUT_DATA.is_dir():
        roots.append(CHECKOUT_DATA)
    for root in roots:
        found = _placed(published, root)
        if found is not None:
            return found
    return {file: _downloaded(published, file) for file in published.md5}


def _existing(directory: Path, what: str) -> Path:
    if not directory.is_dir():
        raise DataError(
            f"{directory}: is no directory, expected {what} with the data sets' folders: "
            "make it, or name another"
        )
    return directory


def _placed(published: Published, root: Path) -> dict[str, Path] | None:
    """Return the files in the first folder that holds any of them, or None."""
    for folder in (root / published.name, root):
        found = {}
        for file in published.md5:
            # The zipped file first: only its checksum is known.
            for path in (folder / file, folder / file.removesuffix(".gz")):
                if path.is_file():
                    found[file] = path
                    break
        if not found:
            continue
        missing = [file for file in published.md5 if file not in found]
        if missing:
            raise DataError(
                f"{published.name}: {folder} lacks {', '.join(missing)}, expected "
                f"{_listed(published)}: place the missing ones there too"
            )
        for file, path in found.items():
            if path.name == file:
                _check_md5(path, published.md5[file])
        return found
    return None


def _check_md5(path: Path, expected: str) -> None:
    try:
        with path.open("rb") as stream:
            # The published checksums are MD5, which guards against accidents, not attackers.
            came = hashlib.file_digest(
                stream, lambda: hashlib.md5(usedforsecurity=False)
            ).hexdigest()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error}), expected a readable file: mend its permissions"
        ) from error
    if came != expected:
        # A damaged IDX file often says itself what is wrong with it: magic number, length, gzip.
        for dimensions in (1, 3):
            if f"-idx{dimensions}-" in path.name:
                read_idx(path, dimensions)
        raise DataError(
            f"{path}: has the md5 {came}, expected {expected}: it is damaged or another file of "
            "that name; fetch it again, or move another data set's files to a folder of that "
            "data set's name"
        )


def _downloaded(published: Published, file: str) -> Path:
    # Not at the head of the file: it loads an HTTP client, which placed files do not need.
    import pooch

    cache = Path(pooch.os_cache("biosim")) / published.name
    problems = []
    for mirror in published.mirrors:
        source = pooch.create(
            path=cache,
            base_url=mirror,
            registry={file: f"md5:{published.md5[file]}"},
            retry_if_failed=1,
        )
        try:
            # A cached file's checksum is compared too, and a damaged one fetched again.
            return Path(source.fetch(file, downloader=pooch.HTTPDownloader(timeout=20)))
        except OSError as error:
            # The client's errors are OSErrors, and so is a cache that cannot be written.
            problems.append(f"{mirror}{file}: {type(error).__name__}")
        except ValueError:
            # How pooch reports a wrong checksum.
            problems.append(f"{mirror}{file}: wrong md5")
    raise DataError(
        f"{published.name}: cannot download {file} ({'; '.join(problems)}), expected a network "
        f"connection or placed files: place {_listed(published)} in a folder "
        f"{published.name}/ and set {VARIABLE} to the directory that holds that folder"
    )


def _listed(published: Published) -> str:
    return ", ".join(published.md5)
