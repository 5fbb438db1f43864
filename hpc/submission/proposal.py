"""What a job is to ask for where nobody said: by what `biosim plan` expects, with a margin."""

from __future__ import annotations

from collections.abc import Sequence

from hpc.submission.amounts import clock_text, memory_text, seconds
from hpc.submission.command import found_flavour
from hpc.submission.description import Scheduler
from hpc.submission.site import Settled
from scenarios.reading import AnyScenario

BY_PLAN = "proposed by biosim plan"

MEMORY_MARGIN = 1.3
"""A job that needs more than it asked for is killed; one that needs less has waited in vain."""

TIME_MARGIN = 3.0
"""Nodes differ from the machine that was measured, and what is not measured takes time as well;
runs of the built-in scenarios took up to 3 times what was expected where others were at work."""

START_S = 600
"""To load libraries from a shared disk, to read data, to compile; and to write at the end."""


def proposed(
    known: Settled, scenarios: Sequence[AnyScenario], scheduler: Scheduler, chain: int
) -> tuple[Settled, list[str]]:
    """Return the description with what was open filled in, and a line for each of that.

    Args:
        known: what is said.
        scenarios: that jobs run; the one that needs most decides.
        scheduler: for which it is.
        chain: jobs that share the time of a run.
    """
    said = []
    if scheduler == "slurm" and "mpi" not in known.origins:
        flavour, why = found_flavour(known.description)
        known = known.proposed({"mpi": flavour}, f"for {why}")
        if known.description.ranks > 1:
            said.append(f"mpi {flavour}: for {why}")
    elif "mpi" not in known.origins:
        known = known.proposed({"mpi": "mpiexec"}, f"for {scheduler}")
    wanted = [key for key in ("memory", "time") if key not in known.origins]
    if not wanted:
        return known, said
    from hpc.needs import needs  # the parser and the compiler that it may need take seconds

    found = [needs(scenario, known.description.ranks) for scenario in scenarios]
    job = known.description
    size = MEMORY_MARGIN * max(each.memory_bytes for each in found) * job.ranks_per_node
    # A job of a chain may end before the run does, and the warning is to come in its second half.
    duration = START_S + TIME_MARGIN * max(each.run_s for each in found) / chain
    duration = max(duration, 2 * seconds(job.lead))
    values = {"memory": memory_text(size), "time": clock_text(duration)}
    limit = known.longest_s()
    if "time" in wanted and limit is not None and duration > limit:
        values["time"] = clock_text(limit)
        said.append(
            f"the run is expected to take {clock_text(duration)}, and the partition allows "
            f"{clock_text(limit)}: it is continued after a requeue, or give --chain"
        )
    known = known.proposed({key: values[key] for key in wanted}, BY_PLAN)
    return known, [*said, *(f"{key} {values[key]}: {BY_PLAN}" for key in wanted)]
