"""The site file: what is the same for every job of a cluster, with the command line above it."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from biosim.errors import BiosimError
from hpc.submission.amounts import Time, seconds
from hpc.submission.description import Count, Description, Scheduler
from scenarios.complaints import complaints, nearest
from scenarios.scenario import Table

BUILT_IN = "biosim's own"
COMMAND_LINE = "command line"


class SubmissionError(BiosimError):
    """A job cannot be described, written or submitted as asked."""


class Limits(Table):
    """What a partition allows."""

    max_time: Time | None = Field(None, description="of a job")
    max_nodes: Count | None = Field(None, description="of a job")


class Site(Description):
    """Defaults of a cluster: a description of a job, and what the cluster is."""

    scheduler: Scheduler | None = Field(None, description="slurm, local, pbs or lsf")
    partitions: dict[str, Limits] = Field({}, description="tables of limits, by name")


@dataclass(frozen=True)
class Settled:
    """A job described, and where each part of it comes from.

    Args:
        description: of the job.
        scheduler: that is to run it; None where nothing says.
        origins: of what is not biosim's own, by key.
        limits: of partitions, by name.
    """

    description: Description
    scheduler: Scheduler | None
    origins: Mapping[str, str]
    limits: Mapping[str, Limits]

    def proposed(self, values: Mapping[str, Any], by: str) -> Settled:
        """Return it with values for what nothing has been said of.

        Raises:
            SubmissionError: they do not go with the rest.
        """
        new = {key: value for key, value in values.items() if key not in self.origins}
        known = self.description.model_dump(exclude_unset=True)
        return replace(
            self,
            description=_described(known | new),
            origins={**self.origins, **dict.fromkeys(new, by)},
        )

    def longest_s(self) -> int | None:
        """Return how long a job of the partition may take, if the site file says."""
        known = self.limits.get(self.description.partition or "")
        return None if known is None or known.max_time is None else seconds(known.max_time)

    def check_limits(self) -> None:
        """Hold the description against what its partition allows.

        Raises:
            SubmissionError: it asks for more.
        """
        job = self.description
        known = self.limits.get(job.partition or "")
        if known is None:
            return
        if known.max_nodes is not None and job.nodes > known.max_nodes:
            raise SubmissionError(
                f"nodes is {job.nodes} and partition {job.partition} allows {known.max_nodes}; "
                "expected fewer, or another partition"
            )
        longest = self.longest_s()
        if job.time is not None and longest is not None and seconds(job.time) > longest:
            raise SubmissionError(
                f"time is {job.time} ({self.origins.get('time', BUILT_IN)}) and partition "
                f"{job.partition} allows {known.max_time}; expected less, with --chain for longer "
                "runs, or another partition"
            )

    def lines(self) -> list[str]:
        """Return every key with its value and where it comes from."""
        rows: list[tuple[str, str, str]] = [("scheduler", self.scheduler or "slurm", "scheduler")]
        for key, value in self.description.model_dump().items():
            shown = "" if value is None else _shown(value)
            rows.append((key, shown, key))
        wide = max(len(value) for _, value, _ in rows)
        wide = min(wide, 40)
        return [
            f"{key:<18} {value:<{wide}}  {self.origins.get(of, BUILT_IN)}"
            for key, value, of in rows
        ]


def site_path(asked: Path | None, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the path of the site file; None where there is none and none is asked for.

    Args:
        asked: on the command line.
        environment: with BIOSIM_SITE, XDG_CONFIG_HOME, HOME.

    Raises:
        SubmissionError: the one that is asked for is not there.
    """
    given = asked or (Path(environment["BIOSIM_SITE"]) if environment.get("BIOSIM_SITE") else None)
    if given is not None:
        if not given.is_file():
            raise SubmissionError(
                f"no site file {given} ({'--site' if asked else '$BIOSIM_SITE'}); expected a TOML "
                "file, as in docs/sites"
            )
        return given
    home = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME", "~")) / ".config")
    path = Path(home).expanduser() / "biosim" / "site.toml"
    return path if path.is_file() else None


def read_site(path: Path) -> Site:
    """Return what a site file says.

    Raises:
        SubmissionError: it cannot be read or parsed, or has an unknown key or an impossible value.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise SubmissionError(f"{path} cannot be parsed: {problem}") from None
    except OSError as problem:
        raise SubmissionError(f"{path} cannot be read ({problem.strerror})") from None
    try:
        return Site.model_validate(tables)
    except ValidationError as problem:
        raise SubmissionError(f"{path}: {_complaints(problem, Site)}") from None


def settled(
    site: Site | None, where: Path | None, given: Mapping[str, Any], scheduler: str | None
) -> Settled:
    """Return a description of the job: biosim's own, the site's, then what was given.

    Args:
        site: what the site file says.
        where: it lies.
        given: on the command line, by key; what is None was not.
        scheduler: on the command line.

    Raises:
        SubmissionError: a value is impossible, or two do not go together.
    """
    asked = {key: value for key, value in given.items() if value not in (None, (), [], {})}
    known: dict[str, Any] = {}
    if site is not None:
        keys = site.model_fields_set & set(Description.model_fields)
        known = {key: getattr(site, key) for key in keys}
        if "options" in known and "options" in asked:
            asked["options"] = {**known["options"], **asked["options"]}
    origins = dict.fromkeys(known, str(where)) | dict.fromkeys(asked, COMMAND_LINE)
    named = site.scheduler if site is not None else None
    if named is not None:
        origins["scheduler"] = str(where)
    if scheduler is not None:
        origins["scheduler"] = COMMAND_LINE
        kinds = Scheduler.__args__  # type: ignore[attr-defined]
        if scheduler not in kinds:
            raise SubmissionError(f"--scheduler: got {scheduler!r}" + nearest(scheduler, kinds))
        named = scheduler  # type: ignore[assignment]
    return Settled(
        _described(known | asked), named, origins, site.partitions if site is not None else {}
    )


def options_of(texts: Sequence[str]) -> dict[str, bool | int | str]:
    """Return what `--option key=value` says; without a value, the option is only switched on.

    Raises:
        SubmissionError: there is no key.
    """
    found: dict[str, bool | int | str] = {}
    for text in texts:
        key, equals, value = text.removeprefix("--").partition("=")
        if not key:
            raise SubmissionError(f"--option: got {text!r}; expected key=value, or a key alone")
        found[key] = {"true": True, "false": False}.get(value, value) if equals else True
    return found


def _described(values: Mapping[str, Any]) -> Description:
    try:
        return Description.model_validate(values)
    except ValidationError as problem:
        raise SubmissionError(_complaints(problem, Description)) from None


def _complaints(problem: ValidationError, model: type[Table]) -> str:
    """Return one line; what is wrong with the whole table has no place of its own."""
    return complaints(problem, (), model).removeprefix(": ")


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key}={each}" for key, each in value.items())
    return str(value)
