"""The commands `traces export` and `traces import`: from names of formats to `biosim.exchange`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
import zarr
import zarr.errors

from biosim.errors import OutputError
from biosim.store import STORE
from biosim.traces import open_run
from hpc.output import check_free as check_run_free
from scenarios.complaints import nearest
from scenarios.reading import resolve_any
from scenarios.spiking.schema import SpikingScenario

if TYPE_CHECKING:
    import xarray as xr

    from biosim.exchange import Recording

RECORDING = "recording"
"""The attribute `kind` of the store of a recording."""
EXPORTED = ("nwb", "neo", "sonata", "parquet", "nir")
IMPORTED = ("nwb", "sonata", "hdf5-mea")
Run = Annotated[Path, typer.Argument(help="directory of a run")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace what is there")]


def export(
    run: Run,
    to: Annotated[str, typer.Option(help=", ".join(EXPORTED))],
    out: Annotated[Path, typer.Option(help="file to make")],
    population: Annotated[
        list[str] | None, typer.Option(help="whose spikes and states; all if left out")
    ] = None,
    what: Annotated[
        str | None, typer.Option(help="of parquet: spikes or learning; spikes where there are any")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a run as a file that other tools read.

    Example: biosim traces export runs/first --to nwb --out first.nwb
    """
    for line in exported(run, to, out, population, what, overwrite):
        typer.echo(line)


def import_file(
    file: Annotated[Path, typer.Argument(help="file with spikes")],
    from_: Annotated[str, typer.Option("--from", help=", ".join(IMPORTED))],
    out: Annotated[Path, typer.Option(help="directory to make")],
    tick: Annotated[
        float | None, typer.Option(help="length of a tick in seconds; by default as it fits")
    ] = None,
    stop: Annotated[
        float | None, typer.Option(help="end of the recording in seconds, if the file has none")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Make spikes of another origin a run, for `biosim.open_run` and the analysis.

    Example: biosim traces import retina.h5 --from hdf5-mea --out runs/retina
    """
    for line in imported(file, from_, out, tick, stop, overwrite):
        typer.echo(line)


def is_recording(directory: Path) -> bool:
    """Return whether a directory holds an imported recording."""
    store = directory if directory.name == STORE else directory / STORE
    try:
        return zarr.open_group(str(store), mode="r").attrs.get("kind") == RECORDING
    except (zarr.errors.BaseZarrError, OSError, ValueError, KeyError):
        return False


def check_simulated(directory: Path) -> None:
    """Check that a directory may be reported on.

    Raises:
        OutputError: it holds a recording, in which nothing was simulated.
    """
    if is_recording(directory):
        raise OutputError(
            f"{directory} is an imported recording, and a report is of what was simulated; see "
            "biosim traces info, or analyse it with biosim.analysis"
        )


def exported(
    run: Path,
    to: str,
    out: Path,
    populations: list[str] | None = None,
    what: str | None = None,
    overwrite: bool = False,
) -> list[str]:
    """Write a run as a file of another format, and return what is to be said of it.

    Args:
        run: its directory.
        to: the format, one of `EXPORTED`.
        out: the file.
        populations: whose spikes and states; all if left out.
        what: of parquet, "spikes" or "learning".
        overwrite: replace the file if it is there.

    Raises:
        OutputError: there is no such run or format, the run has nothing for it, a library is
            missing, or the file may not or cannot be written.
    """
    from biosim import exchange  # compiles kernels' code, which most commands do without

    _check_format("--to", to, EXPORTED)
    if what is not None and (to != "parquet" or what not in ("spikes", "learning")):
        raise OutputError(f"--what: got {what!r}; expected spikes or learning, and --to parquet")
    if populations and to == "nir":
        raise OutputError("--population: NIR holds the whole network; leave it out")
    exchange.check_free(out, overwrite)
    tree = open_run(run)
    chosen = populations or None
    writers: dict[str, Callable[[Path], None]] = {
        "nwb": lambda path: exchange.write_nwb(tree, path, chosen),
        "neo": lambda path: exchange.write_neo(tree, path, chosen),
        "sonata": lambda path: exchange.write_sonata(tree, path, chosen),
        "parquet": lambda path: exchange.write_parquet(tree, path, chosen, _table(what)),
        "nir": lambda path: _write_nir(tree, path),
    }
    with exchange.whole(out, overwrite) as beside:
        writers[to](beside)
    lines = [note for note in (exchange.unfinished(tree),) if note]
    if to == "parquet" and what is None and _has_both(tree):
        lines.append("the run has learning metrics too: --what learning exports them")
    return [*lines, f"{out}: {out.stat().st_size:,} bytes"]


def imported(
    file: Path,
    form: str,
    out: Path,
    tick_s: float | None = None,
    stop_s: float | None = None,
    overwrite: bool = False,
) -> list[str]:
    """Make a file of spikes the store of a run, and return what is to be said of it.

    Args:
        file: to read.
        form: of the file, one of `IMPORTED`.
        out: directory to make.
        tick_s: length of a tick in seconds.
        stop_s: end of the recording in seconds.
        overwrite: replace results that are there.

    Raises:
        OutputError: there is no such format, or the directory may not or cannot be written.
        DataError: the file is not of the format, or damaged.
    """
    from biosim import exchange

    _check_format("--from", form, IMPORTED)
    check_run_free(out, overwrite)
    readers: dict[str, Callable[[Path], Recording]] = {
        "nwb": exchange.read_nwb,
        "sonata": exchange.read_sonata,
        "hdf5-mea": exchange.read_electrodes,
    }
    recording = readers[form](file)
    # Made beside its place: what is replaced stays until the new run is whole.
    place = Path(os.path.abspath(out))  # "." has no name, and cannot be removed
    beside = place.with_name(f".{os.getpid()}.{place.name}")
    try:
        beside.mkdir(parents=True)
        found = exchange.write_recording(recording, beside, tick_s, stop_s)
        check_run_free(out, overwrite)
        if place.exists():
            shutil.rmtree(place)
        beside.rename(place)
    except OSError as problem:
        raise OutputError(
            f"{out} cannot be written ({problem.strerror or problem}); choose another --out"
        ) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    lines = [
        f"{name}: {count:,} spikes of {found.sizes[name]:,} units"
        for name, count in found.spikes.items()
    ]
    lines.append(
        f"ticks of {found.tick_s * 1e3:g} ms; no spike was moved by more than {found.shift_s:.2g} s"
    )
    if not found.stop_known:
        lines.append(
            f"the file does not say when it ends; taken is {found.stop_s:g} s, after the last "
            "spike: --stop sets it"
        )
    return [*lines, f"results in {out}"]


def _check_format(option: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        raise OutputError(f"{option}: no format {given!r}" + nearest(given, known))


def _table(what: str | None) -> Literal["spikes", "learning"] | None:
    return None if what is None else "learning" if what == "learning" else "spikes"


def _has_both(tree: xr.DataTree) -> bool:
    from biosim.exchange.parquet import tables

    return len(tables(tree)) > 1


def _write_nir(tree: xr.DataTree, path: Path) -> None:
    """Write the network of a run, which its stored scenario describes."""
    from biosim.exchange.nir_graph import write_nir
    from scenarios.spiking.checking import check

    stored: Any = tree.attrs.get("scenario")
    if stored is None:
        raise OutputError("the run is a recording; NIR describes networks")
    settings = resolve_any(stored, [])
    if not isinstance(settings, SpikingScenario):
        raise OutputError(
            f"NIR cannot describe this network: {settings.name} is of layers or of a task, for "
            "which NIR has no nodes; its weights are in the run's store"
        )
    write_nir(tree, path, check(settings).described.network)
