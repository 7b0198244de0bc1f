"""How many threads an embedded model may use here.

The runner's own default (a thread for every core, all of them spinning while they wait) is fast on an idle
machine and collapses on a busy one: with the 0.5B on two cores, 61 tokens/s became 2.5 to 5 at load 7, where one
thread kept 18 to 26. So one core is left to others while tokens are made.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_MOST = 8
_CPU_FOLDER = Path("/sys/devices/system/cpu")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, kw_only=True)
class Threads:
    """Threads for making tokens one by one (`decode`), and for reading a prompt (`batch`)."""

    decode: int
    batch: int


def choose_threads(cores: int, wished: int = 0) -> Threads:
    """Return the threads for a machine with that many usable cores; `wished` (0: none) overrides."""
    if wished:
        return Threads(decode=wished, batch=wished)
    batch = max(1, min(cores, _MOST))
    return Threads(decode=max(1, min(cores - 1, _MOST)), batch=batch)


def usable_cores() -> int:
    """Return the physical cores that this process may use, by its affinity and a container's quota."""
    allowed = _allowed_cpus()
    cores = len({_siblings(cpu) for cpu in allowed})
    return max(1, min(cores, _quota() or cores))


def _allowed_cpus() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _siblings(cpu: int) -> str:
    """Return what the hyper-threads of one core have in common; outside Linux each CPU counts as a core."""
    try:
        return (_CPU_FOLDER / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text("ascii").strip()
    except OSError:
        return str(cpu)


def _quota() -> int | None:
    """Return the whole CPUs that a container is granted; None without a limit."""
    try:
        quota, period = _QUOTA.read_text("ascii").split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else max(1, int(quota) // int(period))
