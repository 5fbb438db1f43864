"""Weights become pictures: colour tells the sign, strength the share of the greatest one."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path

import numpy as np

from hpc import run
from hpc.report import render
from hpc.summary import collect, summarise
from hpc.weight_images import GAP, NEGATIVE, POSITIVE, mosaic, weight_image
from scenarios.reading import read_tree, resolve

QUICK = ["run.epochs=1", "run.batch_size=64", "network.hidden=[3]", "data.samples=64"]


def decoded(address: str) -> np.ndarray:
    """What a PNG of plain lines in RGB holds, (height, width, 3)."""
    kind, _, text = address.partition(",")
    assert kind == "data:image/png;base64"
    content = base64.b64decode(text)
    width, height = struct.unpack(">II", content[16:24])
    at, data = 8, b""
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        name, inside = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        assert struct.unpack(">I", content[at + 8 + length : at + 12 + length])[0] == zlib.crc32(
            name + inside
        )
        data += zlib.decompress(inside) if name == b"IDAT" else b""
        at += 12 + length
    lines = np.frombuffer(data, dtype=np.uint8).reshape(height, 1 + 3 * width)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape(height, width, 3)


def test_red_is_positive_blue_negative_white_nothing() -> None:
    found = mosaic(np.array([[[2.0, -2.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, -1e-3]]]))
    assert found.shape == (2, 5, 3)
    assert [tuple(pixel) for pixel in found[0]] == [
        POSITIVE,
        NEGATIVE,
        GAP,
        (255, 255, 255),
        (255, 255, 255),
    ]
    assert tuple(found[1, 4]) == NEGATIVE  # each neuron by its own greatest weight


def test_neurons_fill_rows_of_eight() -> None:
    found = mosaic(np.ones((9, 2, 3)))
    assert found.shape == (5, 31, 3)
    assert tuple(found[3, 0]) == POSITIVE
    assert tuple(found[3, 4]) == GAP


def test_the_report_shows_the_weights_that_a_run_ended_with(tmp_path: Path) -> None:
    run(resolve(read_tree("digits"), QUICK), tmp_path / "out")
    (row,) = summarise(collect(tmp_path / "out"))
    address = weight_image(row, ["input-hidden1", "hidden1-output"])
    stored = row.finished[0].array("weights/input-hidden1/weight")
    assert stored is not None
    expected = mosaic(np.asarray(stored[-1], dtype=np.float64).reshape(-1, 8, 8))
    np.testing.assert_array_equal(decoded(address), expected)
    assert address in render([row], tmp_path)


def test_weights_of_no_picture_are_not_shown(tmp_path: Path) -> None:
    run(resolve(read_tree("digits"), QUICK), tmp_path / "out")
    (row,) = summarise(collect(tmp_path / "out"))
    assert weight_image(row, ["hidden1-output"]) == ""
    row.finished[0].attributes["data"]["shape"] = [64]
    assert weight_image(row, ["input-hidden1"]) == ""
    assert "section-weights" not in render([row], tmp_path).partition("<script")[0]
