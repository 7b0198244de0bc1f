"""How many files and connections a process may have open."""

from __future__ import annotations

import sys


def allow_files() -> int:
    """Raise this process's own limit of open files (`ulimit -n`) as far as the system lets it; return the limit."""
    if sys.platform == "win32":
        return 2**16
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft
