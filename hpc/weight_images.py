"""The weights of the first neurons that see an image, each as an image: what they look for."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hpc.summary import Row

ACROSS, DOWN = 8, 5
"""Neurons in a row, and rows: the first ones of the layer."""

POSITIVE, NEGATIVE, GAP = (178, 24, 43), (33, 102, 172), (190, 190, 190)


def weight_image(row: Row, names: Sequence[str]) -> str:
    """Return an image of the weights that the first finished run ended with, as an address.

    "" where no weights of its inputs are stored, or its inputs are no picture.

    Args:
        row: whose weights.
        names: of the projections with weights, from the input on.
    """
    if not row.finished:
        return ""
    run = row.finished[0]
    shape = tuple(run.attributes.get("data", {}).get("shape", ()))
    if len(shape) not in (2, 3):
        return ""
    for name in names:
        weight = run.array(f"weights/{name}/weight")
        if weight is not None and weight.sizes["pre"] == math.prod(shape):
            last = weight.isel(snapshot=-1, post=slice(ACROSS * DOWN)).transpose("post", "pre")
            # Colours or polarities of a pixel are seen together.
            pixels = np.asarray(last, dtype=np.float64).reshape(-1, *shape)
            if len(shape) == 3:
                pixels = pixels.sum(axis=1)
            return _address(mosaic(pixels))
    return ""


def mosaic(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Return a picture (height, width, 3) of the weights (n, y, x), neurons row by row.

    Red is positive, blue is negative, white is 0; full at a neuron's greatest weight.
    """
    n, height, width = weights.shape
    across = min(ACROSS, n)
    down = -(-n // across)
    picture = np.empty((down * (height + 1) - 1, across * (width + 1) - 1, 3), dtype=np.uint8)
    picture[...] = GAP
    for k, of_neuron in enumerate(weights):
        share = of_neuron / max(float(np.abs(of_neuron).max()), 1e-30)
        colour = np.where(share[..., None] > 0, POSITIVE, NEGATIVE)
        y, x = k // across * (height + 1), k % across * (width + 1)
        painted = 255.0 + (colour - 255.0) * np.abs(share)[..., None]
        picture[y : y + height, x : x + width] = np.rint(painted)
    return picture


def _address(picture: npt.NDArray[np.uint8]) -> str:
    """Return a PNG of the picture, inside an address."""
    height, width, _ = picture.shape
    # A byte before each line says that it is stored as it is.
    lines = np.pad(picture.reshape(height, -1), ((0, 0), (1, 0)))
    chunks: list[tuple[bytes, Any]] = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
        (b"IEND", b""),
    ]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")
