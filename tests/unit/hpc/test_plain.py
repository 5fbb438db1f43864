"""Numbers of a page are ones that JSON has."""

from __future__ import annotations

import json

import numpy as np

from hpc.plain import plain


def test_what_is_not_finite_is_none_and_the_rest_is_kept() -> None:
    found = plain([1.5, np.nan, np.inf, -np.inf, np.float32(0.25), 1 / 3])
    assert found == [1.5, None, None, None, 0.25, 1 / 3]
    assert json.dumps(found, allow_nan=False)


def test_digits_are_counted_from_the_first_that_is_not_0() -> None:
    assert plain(np.array([1234.567, 0.001234567, 0.0]), 3) == [1230.0, 0.00123, 0.0]
