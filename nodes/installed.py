"""Whether a package is installed, told without importing it."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec


@cache
def is_installed(root: str) -> bool:
    """Look for a top-level package, once a process: a look is file access, and each plan asks for each model."""
    return find_spec(root) is not None
