"""What a job asks for, by the figures that others are told."""

from __future__ import annotations

import pytest

from hpc.submission.description import Description


@pytest.mark.parametrize(
    ("asked", "ranks", "each"),
    [
        ({}, 1, 1),
        ({"nodes": 3}, 3, 1),
        ({"nodes": 2, "tasks_per_node": 4}, 8, 4),
        ({"nodes": 2, "tasks": 3}, 3, 2),
        ({"nodes": 2, "gpus_per_node": 4}, 8, 4),
        ({"nodes": 2, "gpus_per_node": 4, "tasks": 2}, 2, 1),
    ],
)
def test_ranks_follow_from_nodes_tasks_and_gpus(
    asked: dict[str, int], ranks: int, each: int
) -> None:
    job = Description(**asked)
    assert (job.ranks, job.ranks_per_node) == (ranks, each)


def test_a_description_is_stored_with_what_programs_read() -> None:
    told = Description(time="2 h", lead="1 min", cpus_per_task=4, modules=("a",)).stored()
    assert (told["time_s"], told["warning_s"], told["grace_s"]) == (7200, 60, 30)
    assert (told["ranks"], told["threads"], told["modules"]) == (1, 4, ["a"])
    assert "partition" not in told
    assert "time_s" not in Description().stored()
    kept = {key: value for key, value in told.items() if key in Description.model_fields}
    assert Description(**kept).stored() == told
