#!/usr/bin/env python3
"""A real Slurm on this machine, of emulated nodes, for tests: install it, start it, stop it.

Why a cluster of its own instead of the machine's: tests kill nodes, wait for time limits and fill
memory. All that it needs and writes (configuration, key, state, logs, sockets, what jobs write for
a while) lies in one directory; there may be several at a time. The only thing outside is what
`install` does: Debian's packages, and the link that lets Slurm find PMIx.

Why processes are found by what they were started with, and not by their names: other clusters and
the machine's own may run beside. Daemons have the directory in their command line, jobs the name
of the cluster in their environment.

It needs root, since Slurm starts the steps of several users, and no packages of Python.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("slurm-wlm", "munge", "libpmix2")
DAEMONS = ("munged", "slurmctld", "slurmd")
BESIDE = ("slurmstepd", "srun", "salloc", "sbatch")
PROGRAMS = (*DAEMONS, "sbatch", "scontrol", "sinfo", "srun")

CPUS, MEMORY_MB = 4, 4000
"""Of each node, as Slurm is told: more than the machine may have, so that jobs of several ranks
find room; nothing enforces CPUs."""

LONGEST_PATH = 60
"""Of the directory: the path of a Unix socket ends after 108 bytes."""

STARTED_S = 30.0
"""Until all nodes wait for jobs; 1 to 2 s were measured."""

GRACE_S = 2.0
"""Between SIGTERM and SIGKILL for jobs that are there when the cluster is stopped."""

CONFIGURATION = """\
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# A job that is put back waits until its first credential has expired, by default for 120 s.
AuthInfo=socket={here}/munge/socket,cred_expire=5
StateSaveLocation={here}/state
SlurmdSpoolDir={here}/spool.%n
SlurmctldPidFile={here}/slurmctld.pid
SlurmdPidFile={here}/slurmd.%n.pid
SlurmctldLogFile={here}/log/slurmctld.log
SlurmdLogFile={here}/log/slurmd.%n.log
# Two nodes on one machine would meet in the same directory for PMIx.
TmpFS={here}/tmp.%n
TaskProlog={here}/task_prolog
ProctrackType=proctrack/linuxproc
TaskPlugin={memory.plugin}
SwitchType=switch/none
MpiDefault=none
{memory.gathering}
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=1000
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
JobRequeue=1
# Ended jobs stay visible to scontrol, since there is no data base.
MinJobAge=600
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={here}/log/jobs.txt
SlurmctldDebug=info
SlurmdDebug=info
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=1-00:00:00 State=UP
PartitionName=short Nodes=ALL MaxTime=1 State=UP
"""

TASK_PROLOG = """\
#!/bin/sh
# What a job leaves where it is killed stays in the cluster's directory, each node's in its own.
echo "export TMPDIR={here}/tmp.$SLURMD_NODENAME"
echo "export OMPI_MCA_btl_sm_backing_directory={here}/tmp.$SLURMD_NODENAME"
echo "export PRTE_MCA_prte_silence_shared_fs=1"
"""


CGROUPS = """\
CgroupPlugin=cgroup/v1
CgroupMountpoint={here}/cgroup
CgroupAutomount=no
ConstrainRAMSpace=yes
"""


@dataclass(frozen=True)
class Memory:
    """How a job is ended that takes more memory than it asked for.

    Args:
        plugin: Slurm's for tasks.
        gathering: lines of the configuration.
    """

    plugin: str
    gathering: str


MEMORY = {
    # By the kernel, as on most clusters: the job's state is OUT_OF_MEMORY.
    "cgroup": Memory("task/cgroup", "JobAcctGatherType=jobacct_gather/none"),
    # Where there are none, as in many containers, Slurm looks every second. The job's state is
    # FAILED with the reason JobLaunchFailure and the exit code 0:9, and its errors say
    # "exceeded memory limit".
    "watched": Memory(
        "task/none",
        "JobAcctGatherType=jobacct_gather/linux\n"
        "JobAcctGatherFrequency=task=1\n"
        "JobAcctGatherParams=OverMemoryKill",
    ),
}

MEMORY_CGROUPS = Path("/sys/fs/cgroup/memory")
"""Where version 1 has them; Slurm 22.05 needs systemd for version 2."""


class UnavailableError(Exception):
    """There can be no cluster on this machine; the message says why."""


def install() -> None:
    """Install Slurm, munge and PMIx from Debian's packages, where they are not there.

    Raises:
        UnavailableError: this is no Debian, the user is not root, or the packages do not come.
    """
    if os.geteuid() != 0:
        raise UnavailableError("Slurm is installed and started as root only")
    if missing():
        if shutil.which("apt-get") is None:
            raise UnavailableError("this is no Debian or Ubuntu: apt-get is not there")
        options = ["-qq", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        # A stale list may still name packages that can be had: its failure decides nothing.
        for command in (["update", "-qq"], ["install", *options, *PACKAGES]):
            done = subprocess.run(
                ["apt-get", *command], capture_output=True, text=True, check=False, env=environment
            )
        if missing():
            words = done.stderr.strip().splitlines() or ["apt-get said nothing"]
            raise UnavailableError(f"the packages {', '.join(PACKAGES)} do not come: {words[-1]}")
    _link_pmix()


def cgroups() -> bool:
    """Return whether the kernel can limit the memory of jobs here."""
    return (MEMORY_CGROUPS / "cgroup.procs").exists() and os.access(MEMORY_CGROUPS, os.W_OK)


def missing() -> list[str]:
    """Return the programs that are not on the path."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


def _link_pmix() -> None:
    """Let Slurm find PMIx: its plug-in opens libpmix.so, and the package has libpmix.so.2 only.

    This link is the one thing outside the cluster's directory; it belongs to what is installed.
    """
    for found in Path("/usr/lib").glob("*/pmix2/lib/libpmix.so.2"):
        link = found.with_suffix("")
        if not link.exists():
            link.symlink_to(found.name)


def start(here: Path, nodes: int = 2, memory: str | None = None) -> None:
    """Start a cluster in a directory; it may hold what a former one has left.

    Args:
        here: the directory; made if it is not there.
        nodes: to emulate, named n1, n2, ...
        memory: how it is limited, a name in MEMORY; None takes the best that can be had.

    Raises:
        UnavailableError: it is there already, cannot be started, or its nodes do not come.
    """
    here = here.resolve()
    if os.geteuid() != 0:
        raise UnavailableError("Slurm is installed and started as root only")
    if lacking := missing():
        raise UnavailableError(f"{', '.join(lacking)} is not on the path: run install")
    if len(str(here)) > LONGEST_PATH:
        raise UnavailableError(f"{here} has more than {LONGEST_PATH} characters: sockets lie in it")
    if any(_daemons(here)):
        raise UnavailableError(f"a cluster runs in {here}: run stop")
    stop(here)  # jobs of one that was killed
    own = [f"{what}.n{n + 1}" for what in ("spool", "tmp") for n in range(nodes)]
    for left in ("state", "munge", "log", *own):
        shutil.rmtree(here / left, ignore_errors=True)
        (here / left).mkdir(parents=True)
    here.chmod(0o755)
    _write(here, nodes, memory or ("cgroup" if cgroups() else "watched"))
    try:
        _begin(here, "munged", "--foreground", "--force", *_munge_files(here))
        _await(here, lambda: (here / "munge" / "socket").exists(), "munged")
        _begin(here, "slurmctld", "-D", "-f", str(here / "slurm.conf"))
        for n in range(nodes):
            _begin(here, "slurmd", "-D", "-N", f"n{n + 1}", "-f", str(here / "slurm.conf"))
        _await(here, lambda: _idle(here) == nodes, "the nodes")
    except UnavailableError:
        stop(here)
        raise


def stop(here: Path) -> None:
    """End all processes of a cluster: its daemons, then its jobs, then its munged.

    The directory stays: it holds the logs.
    """
    here = here.resolve()
    # A job can be started neither by a daemon that is gone nor with one.
    for process in _daemons(here):
        if "munged" not in _command(process)[0]:
            _kill(process, signal.SIGKILL)
    asked_until = time.monotonic() + GRACE_S
    for process in _jobs(here):
        _kill(process, signal.SIGTERM)
    while any(_jobs(here)):
        if time.monotonic() > asked_until:
            for process in _jobs(here):
                _kill(process, signal.SIGKILL)
        time.sleep(0.02)
    for process in _daemons(here):
        _kill(process, signal.SIGKILL)
    while any(_daemons(here)):
        time.sleep(0.01)
    for group, _, _ in os.walk(MEMORY_CGROUPS / _name(here), topdown=False):
        _remove(group)


def _remove(group: str) -> None:
    """Remove a cgroup; the kernel may still be at the end of what was killed in it."""
    until = time.monotonic() + GRACE_S
    while True:
        try:
            os.rmdir(group)
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


def status(here: Path) -> str:
    """Return the cluster's nodes, and how many processes it has."""
    here = here.resolve()
    daemons, jobs = len(list(_daemons(here))), len(list(_jobs(here)))
    told = f"{daemons} daemons, {jobs} processes of jobs"
    return f"{told}\n{_asked(here, 'sinfo')}" if daemons else told


def processes(here: Path) -> list[int]:
    """Return all processes of a cluster."""
    return sorted({*_daemons(here.resolve()), *_jobs(here.resolve())})


def environment(here: Path) -> dict[str, str]:
    """Return what commands need to be told to speak to this cluster."""
    return {"SLURM_CONF": str(here.resolve() / "slurm.conf")}


def _name(here: Path) -> str:
    return f"biosim-{hashlib.sha256(str(here).encode()).hexdigest()[:8]}"


def _write(here: Path, nodes: int, memory: str) -> None:
    host = socket.gethostname()
    try:
        socket.gethostbyname(host)
    except OSError as problem:
        raise UnavailableError(f"the machine's name {host} has no address: {problem}") from None
    port, *ports = _free_ports(1 + nodes)
    described = "\n".join(
        f"NodeName=n{n + 1} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[n]} "
        f"CPUs={CPUS} RealMemory={MEMORY_MB} State=UNKNOWN"
        for n in range(nodes)
    )
    names = {"name": _name(here), "host": host, "here": here, "port": port, "nodes": described}
    text = CONFIGURATION.format(memory=MEMORY[memory], **names)
    (here / "slurm.conf").write_text(text, encoding="utf-8")
    (here / "cgroup.conf").write_text(CGROUPS.format(here=here), encoding="utf-8")
    if memory == "cgroup":
        # Slurm names its groups after nodes, which other clusters here name alike.
        own = MEMORY_CGROUPS / _name(here)
        own.mkdir(exist_ok=True)
        (here / "cgroup").mkdir(exist_ok=True)
        (here / "cgroup" / "memory").unlink(missing_ok=True)
        (here / "cgroup" / "memory").symlink_to(own)
    prolog = here / "task_prolog"
    prolog.write_text(TASK_PROLOG.format(here=here), encoding="utf-8")
    prolog.chmod(0o755)
    (here / "munge").chmod(0o755)
    key = here / "munge" / "key"
    key.touch(mode=0o400)
    key.write_bytes(secrets.token_bytes(128))


def _munge_files(here: Path) -> list[str]:
    place = here / "munge"
    files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed",
             "log-file": "log"}  # fmt: skip
    return [f"--{option}={place / name}" for option, name in files.items()]


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        doors = [held.enter_context(socket.socket()) for _ in range(count)]
        for door in doors:
            door.bind(("127.0.0.1", 0))
        return [door.getsockname()[1] for door in doors]


def _begin(here: Path, program: str, *arguments: str) -> None:
    with open(here / "log" / f"{program}.said", "ab") as said:
        subprocess.Popen(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            cwd=here,
            env=os.environ | environment(here),
            start_new_session=True,
        )


def _await(here: Path, ready: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + STARTED_S
    while not ready():
        if time.monotonic() > until:
            raise UnavailableError(f"{what} did not come within {STARTED_S:g} s: see {here}/log")
        time.sleep(0.05)


def _idle(here: Path) -> int:
    return _asked(here, "sinfo", "--noheader", "--partition=main", "--Node", "--format=%T").count(
        "idle\n"
    )


def _asked(here: Path, *command: str) -> str:
    """Return what a command of Slurm prints; nothing where it fails or does not end."""
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
            env=os.environ | environment(here),
        ).stdout
    except subprocess.TimeoutExpired:
        return ""


def _daemons(here: Path) -> Iterator[int]:
    for process in _living():
        words = _command(process)
        told = Path(words[0]).name in DAEMONS and any(f"{here}/" in word for word in words)
        if told or _has(process, f"SLURM_CONF={here}/slurm.conf", beside="slurmscriptd"):
            yield process


def _jobs(here: Path) -> Iterator[int]:
    """Yield the processes of jobs, that which Slurm has beside each, and commands that wait."""
    for process in _living():
        told = _has(process, f"SLURM_CLUSTER_NAME={_name(here)}")
        if told or _has(process, f"SLURM_CONF={here}/slurm.conf", beside=BESIDE):
            yield process


def _has(process: int, variable: str, beside: str | tuple[str, ...] = "") -> bool:
    """Return whether a process was given a variable, and has a name that begins so."""
    named = _read(process, "comm").startswith(beside)
    return named and variable in _read(process, "environ").split("\0")


def _living() -> Iterator[int]:
    """Yield all processes but this one, those above it, and those that have ended."""
    above, process = set(), os.getpid()
    while process > 0:
        above.add(process)
        stat = _read(process, "stat")
        process = int(stat.rpartition(")")[2].split()[1]) if stat else 0
    for entry in os.listdir("/proc"):
        if entry.isdecimal() and int(entry) not in above:
            stat = _read(int(entry), "stat").rpartition(")")[2].split()
            if stat and stat[0] not in "ZX":
                yield int(entry)


def _command(process: int) -> list[str]:
    return _read(process, "cmdline").split("\0")


def _read(process: int, what: str) -> str:
    try:
        return Path(f"/proc/{process}/{what}").read_text(encoding="utf-8", errors="replace")
    except OSError:  # it has ended
        return ""


def _kill(process: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


def main() -> int:
    """Do what the command line says; one line where it cannot be done."""
    parser = argparse.ArgumentParser(description="A real Slurm on this machine, for tests.")
    parser.add_argument("what", choices=("install", "start", "stop", "status"))
    parser.add_argument("directory", nargs="?", type=Path, help="of the cluster")
    parser.add_argument("--nodes", type=int, default=2, help="to emulate")
    parser.add_argument("--memory", choices=MEMORY, help="how it is limited; the best if left out")
    asked = parser.parse_args()
    if asked.what != "install" and asked.directory is None:
        parser.error(f"{asked.what} needs the cluster's directory")
    try:
        if asked.what == "install":
            install()
        elif asked.what == "start":
            start(asked.directory, asked.nodes, asked.memory)
            for name, value in environment(asked.directory).items():
                print(f"export {name}={value}")
        elif asked.what == "stop":
            stop(asked.directory)
        else:
            print(status(asked.directory))
    except UnavailableError as problem:
        print(f"no Slurm for tests: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
