"""Every neuron has one owner, who owns whole blocks and about as many neurons as any other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biosim.kernels.noise import BLOCK
from biosim.spiking.blocks import cuts

SIZES = st.lists(st.integers(1, 5000), min_size=1, max_size=6)
SHARDS = st.integers(1, 40)


@given(sizes=SIZES, shards=SHARDS)
def test_every_neuron_has_one_owner_and_blocks_are_whole(sizes: list[int], shards: int) -> None:
    found = cuts(sizes, shards)
    assert found.shape == (shards + 1, len(sizes))
    assert found[0].tolist() == [0] * len(sizes)
    assert found[-1].tolist() == sizes
    assert (np.diff(found, axis=0) >= 0).all()
    assert ((found % BLOCK == 0) | (found == sizes)).all()


@given(sizes=SIZES, shards=SHARDS)
def test_no_owner_has_a_block_more_than_its_share(sizes: list[int], shards: int) -> None:
    before = cuts(sizes, shards).sum(1)
    shares = np.arange(shards + 1) * sum(sizes) / shards
    assert np.abs(before - shares).max() <= BLOCK / 2


@given(sizes=SIZES, ranks=st.integers(1, 12), threads=st.integers(1, 5))
def test_a_rank_owns_what_its_threads_own(sizes: list[int], ranks: int, threads: int) -> None:
    of_threads = cuts(sizes, ranks * threads)
    np.testing.assert_array_equal(of_threads[::threads], cuts(sizes, ranks))


@pytest.mark.parametrize(
    ("sizes", "shards", "expected"),
    [
        ([1000], 3, [[256], [768]]),
        # Of small populations not all go to one.
        ([64, 40, 40], 3, [[64, 0, 0], [64, 40, 0]]),
        ([512, 1024], 2, [[256, 512]]),
        ([10_000, 2500], 2, [[4864, 1280]]),
    ],
)
def test_cuts_are_where_the_rule_says(
    sizes: list[int], shards: int, expected: list[list[int]]
) -> None:
    assert cuts(sizes, shards)[1:-1].tolist() == expected
