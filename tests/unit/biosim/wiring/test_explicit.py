import numpy as np
import pytest
from scipy import sparse

from biosim.errors import DataError
from biosim.network import NetworkError
from biosim.wiring import Pairs, from_matrix, from_table


def pairs_of(wiring, n_pre, n_post):
    indptr, sources = wiring.sources(0, n_post, n_pre, n_post, 0, "a")
    return list(zip(sources.tolist(), np.repeat(np.arange(n_post), np.diff(indptr)), strict=True))


def test_pairs_come_by_target_in_the_order_of_the_list() -> None:
    wiring = Pairs([4, 2, 0, 2], [1, 0, 1, 1])
    assert pairs_of(wiring, 5, 3) == [(2, 0), (4, 1), (0, 1), (2, 1)]
    assert wiring.listed(0, 3).tolist() == [1, 0, 2, 3]
    assert wiring.listed(1, 2).tolist() == [0, 2, 3]
    assert wiring.synapses(5, 3) == 4


@pytest.mark.parametrize(
    ("pre", "post", "message"),
    [
        ([0, 5], [0, 0], "'x' lists source 5 for synapse 1; expected 0 to 4"),
        ([0, -1], [0, 0], "'x' lists source -1 for synapse 1; expected 0 to 4"),
        ([0, 1], [3, 0], "'x' lists target 3 for synapse 0; expected 0 to 2"),
        ([0.5], [0], "'x' lists sources as float64; expected whole numbers"),
        ([0, 1], [0], r"sources of shape \(2,\) and targets of shape \(1,\)"),
        ([[0]], [[0]], "expected one of each a synapse"),
    ],
)
def test_a_list_that_is_no_wiring_is_refused(pre, post, message) -> None:
    with pytest.raises(NetworkError, match=message):
        Pairs(pre, post).check(5, 3, "x")


def test_an_empty_list_is_a_wiring() -> None:
    Pairs([], []).check(5, 3, "x")
    assert pairs_of(Pairs([], []), 5, 3) == []


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.coo_array, sparse.csc_matrix, np.array])
def test_a_matrix_has_a_row_for_each_target(kind) -> None:
    dense = np.array([[0.0, 2.0, 0.0], [1.5, 0.0, -1.0]])
    wiring, weights = from_matrix(kind(dense))
    wiring.check(3, 2, "x")
    assert pairs_of(wiring, 3, 2) == [(1, 0), (0, 1), (2, 1)]
    assert weights[wiring.listed(0, 2)].tolist() == [2.0, 1.5, -1.0]
    with pytest.raises(NetworkError, match=r"of shape \(2, 3\); expected \(3, 2\), a row for each"):
        wiring.check(2, 3, "x")


def test_what_is_no_matrix_is_refused() -> None:
    with pytest.raises(NetworkError, match=r"array of shape \(3,\); expected a matrix"):
        from_matrix(np.ones(3))


TABLE = "\ufeffSource,Target,Weight,Type\nI1L , I2L  ,10,chemical\n\nI2L,I1L,2.5,electrical\n"


@pytest.fixture
def table(tmp_path):
    def write(text=TABLE):
        path = tmp_path / "edges.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("apart", [",", "\t", " , ", " "])
def test_a_table_is_read_by_its_headings(table, apart) -> None:
    text = TABLE.replace(" ,", ",").replace(", ", ",").replace("  ,", ",").replace(" ", "")
    found = from_table(table(text.replace(",", apart)))
    assert found.names == {"I1L": 0, "I2L": 1}
    assert pairs_of(found.wiring, 2, 2) == [(1, 0), (0, 1)]
    assert found.weights.tolist() == [10.0, 2.5]


def test_names_are_stripped(table) -> None:
    assert list(from_table(table()).names) == ["I1L", "I2L"]


def test_names_may_be_given_in_the_order_of_neurons(table) -> None:
    found = from_table(table(), names=["X", "I2L", "I1L"])
    assert pairs_of(found.wiring, 3, 3) == [(2, 1), (1, 2)]
    assert from_table(table(), names={"I2L": 7, "I1L": 1}).wiring.post.tolist() == [7, 1]


def test_lines_are_chosen_by_a_column(table) -> None:
    found = from_table(table(), only={"type": "chemical"})
    assert found.weights.tolist() == [10.0]


def test_without_weights_every_synapse_weighs_one(table) -> None:
    assert from_table(table(), weight=None).weights.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (TABLE, {"source": "pre"}, "has no column 'pre'; it has source, target, weight, type"),
        (TABLE, {"only": {"kind": "x"}}, "has no column 'kind'"),
        ("", {}, "has no column 'source'; it has no headings"),
        (TABLE + "A,B\n", {}, "line 5 of .* has 2 cells; expected 4"),
        (TABLE + "A,B,many,x\n", {}, "line 5 of .* has the weight 'many'; expected a number"),
        (TABLE + "A,B,nan,x\n", {}, "line 5 of .* has the weight 'nan'; expected a number"),
        (TABLE, {"names": ["I1L"]}, "names 'I2L', which is not among the names given"),
    ],
)
def test_a_table_that_cannot_be_wired_is_refused(table, text, options, message) -> None:
    with pytest.raises(DataError, match=message):
        from_table(table(text), **options)


def test_a_table_that_is_not_there_is_refused(tmp_path) -> None:
    with pytest.raises(DataError, match=r"cannot read the table .*nowhere"):
        from_table(tmp_path / "nowhere.csv")


def test_the_worm_is_read(shared_data) -> None:
    worm = from_table(shared_data / "celegans" / "herm_full_edgelist.csv")
    assert (len(worm.names), len(worm.weights)) == (448, 7379)
    worm.wiring.check(448, 448, "worm")
    old = from_table(
        shared_data / "celegans" / "aconnectome_white_1986_whole.csv", "pre", "post", "synapses"
    )
    assert (len(old.names), len(old.weights)) == (309, 2961)
    assert {"AVAL", "AVAR"} <= set(worm.names) & set(old.names)
    first = from_table(
        shared_data / "celegans" / "aconnectome_white_1986_A.csv", "pre", "post", "synapses"
    )
    assert first.weights[:2].tolist() == [1.0, 1.0]
