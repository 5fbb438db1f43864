"""Times and memory are read with their units, and only with them."""

import pytest

from hpc.submission.amounts import clock_text, mebibytes, memory_text, seconds, size_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90 min", 5400), ("1.5 h", 5400), ("2 days", 172800), ("1 day", 86400), ("45s", 45),
        ("1:30:00", 5400), ("1-12:00:00", 129600), (" 00:00:10 ", 10),
    ],
)  # fmt: skip
def test_times_are_read_as_people_and_schedulers_write_them(text: str, expected: int) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["90", "1:30", "2 weeks", "0 h", "", "-1 h", "1 h 30 min"])
def test_times_that_could_mean_several_things_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a time with its unit, such as 90 min"):
        seconds(text)


def test_a_time_is_given_to_schedulers_in_whole_minutes_up() -> None:
    assert clock_text(1) == "00:01:00"
    assert clock_text(5401) == "01:31:00"
    assert clock_text(129600) == "1-12:00:00"
    assert seconds(clock_text(5400)) == 5400


def test_memory_is_read_in_both_kinds_of_units() -> None:
    assert size_bytes("4 GiB") == 4 * 2**30
    assert size_bytes("1.5GB") == 1_500_000_000
    assert mebibytes("1 GB") == 954


@pytest.mark.parametrize("text", ["4", "4G", "0 GiB", "four GiB", "4 KiB"])
def test_memory_without_a_unit_that_is_known_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected memory with its unit, such as 500 MiB"):
        size_bytes(text)


@pytest.mark.parametrize("size", [1, 100 << 20, (4 << 30) + 1, 10**12])
def test_memory_that_is_proposed_is_enough(size: int) -> None:
    assert size <= size_bytes(memory_text(size)) <= size + 2**30
