import numpy as np

from biosim.wiring.sorting import count, place, put, runs_of

SOURCES = np.array([7, 5, 7, 5, 8, 7], np.uint32)
COLUMNS = np.array([1, 0, 0, 0, 2, 1], np.uint32)
NONE = np.empty(0, np.uint32)


def test_synapses_are_sorted_by_source_and_column() -> None:
    table = np.zeros(12, np.uint32)
    count(SOURCES, COLUMNS, 0, 5, 3, table)
    assert table.tolist() == [2, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1]
    row, columns, lengths = np.empty(4, np.int64), np.empty(4, np.uint32), np.empty(4, np.int64)
    runs_of(table, 3, row, columns, lengths)
    assert row.tolist() == [1, 0, 2, 1]
    assert columns.tolist() == [0, 0, 1, 2]
    assert lengths.tolist() == [2, 1, 2, 1]
    places, out = np.empty(6, np.uint32), np.empty(6, np.int32)
    place(SOURCES, COLUMNS, 0, 5, 3, table, places)
    put(np.arange(6, dtype=np.int32), places, out)
    assert out.tolist() == [1, 3, 2, 0, 5, 4]


def test_one_column_need_not_be_listed() -> None:
    both = np.zeros((2, 12), np.uint32)
    count(SOURCES, np.full(6, 2, np.uint32), 0, 5, 3, both[0])
    count(SOURCES, NONE, 2, 5, 3, both[1])
    assert (both[0] == both[1]).all()
    places = np.empty(6, np.uint32)
    place(SOURCES, NONE, 2, 5, 3, np.arange(0, 120, 10, dtype=np.uint32), places)
    assert places.tolist() == [80, 20, 81, 21, 110, 82]
