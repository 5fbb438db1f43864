"""`biosim traces`: from words to one call, for what runs have stored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hpc.ending import repair
from hpc.exchange import Overwrite, export, import_file
from hpc.show_traces import traces_text

traces = typer.Typer(help="What runs have stored.")


@traces.command()
def info(run: Annotated[Path, typer.Argument(help="directory of a run")]) -> None:
    """Print what a run stored: status, how far it came, arrays, shapes, bytes.

    Example: biosim traces info runs/first
    """
    typer.echo(traces_text(run))


@traces.command()
def plot(
    run: Annotated[Path, typer.Argument(help="directory of a run, finished or not")],
    what: Annotated[
        str,
        typer.Option(
            help="raster, rates, isi, spectrum, weights, rotation, activity, cka, rsa, rdm, "
            "accuracy"
        ),
    ],
    out: Annotated[Path, typer.Option(help="file to write: .png, .svg or .pdf")],
    of: Annotated[
        str, typer.Option(help="populations or projections, with commas between; all if left out")
    ] = "",
    start: Annotated[float | None, typer.Option(help="begin of the stretch, in seconds")] = None,
    stop: Annotated[float | None, typer.Option(help="its end, in seconds")] = None,
    neurons: Annotated[int, typer.Option(help="of a raster, at most")] = 400,
    width: Annotated[float, typer.Option(help="of the figure, in millimetres")] = 180.0,
    overwrite: Overwrite = False,
) -> None:
    """Draw a figure of a run, ready to be printed.

    Example: biosim traces plot runs/cuba --what raster --out raster.pdf
    """
    from hpc.draw import draw  # matplotlib takes a second, and only this needs it

    names = tuple(name.strip() for name in of.split(",") if name.strip())
    done = draw(run, what, out, names, start, stop, neurons, width, overwrite)
    typer.echo(f"wrote {done}")


traces.command()(repair)
traces.command()(export)
traces.command("import")(import_file)
