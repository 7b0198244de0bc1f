"""The runner of the embedded models, and whether one of them could run here.

To tell that, files alone are looked at, and no more is imported than that takes: every match asks it.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from ..routing.errors import WeightsError
from .installed import is_installed
from .settings import Settings

_NOT_INSTALLED = "xllamacpp is not installed: pip install 'ymera[local]'"


class _Runner:
    """The runner of this process, and what kept it from loading."""

    fault: str | None = None

    def load(self) -> ModuleType:
        # Threads that wait for one another spin, by default for milliseconds each time, and on a busy machine
        # that starves them all. OpenMP reads this once, when it is loaded, so there is no other place for it.
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
        try:
            return importlib.import_module("xllamacpp")
        except ImportError as error:
            self.fault = _mend(error)
            raise ImportError(self.fault) from error


def _mend(error: ImportError) -> str:
    if isinstance(error, ModuleNotFoundError):
        return _NOT_INSTALLED
    if "libgomp" in str(error):  # the system's loader tells it by text alone
        return "xllamacpp needs the system's OpenMP library, libgomp.so.1: apt-get install libgomp1"
    return f"xllamacpp does not load on this machine: {error}"


def load_runner() -> ModuleType:
    """Load the runner.

    Raises:
        ImportError: it is missing or does not load; the message says what to install.
    """
    return _RUNNER.load()


def runner_fault() -> str | None:
    """Load the runner and return what keeps it from working here; None when it does."""
    try:
        load_runner()
    except ImportError as error:
        return str(error)
    return None


def availability(name: str, settings: Settings) -> str | None:
    """Return None for an embedded model that may be called, else the reason in words for a person.

    Weights that are not here yet but may be fetched count as there. Looks at files alone: the runner is not
    loaded for it.
    """
    if not is_installed("xllamacpp"):
        return _NOT_INSTALLED
    if _RUNNER.fault:
        return _RUNNER.fault
    if own := settings.ymera_local_models.get(name):
        return None if own.is_file() else f"{own} is not there (YMERA_LOCAL_MODELS)"
    if settings.ymera_downloads:
        return None
    return _not_held(name, settings)


def _not_held(name: str, settings: Settings) -> str | None:
    from .weights import locate  # its manifest is read where weights must be here already

    try:
        if locate(name, settings):
            return None
    except WeightsError as error:
        return str(error)
    return f"no weights here, and YMERA_DOWNLOADS=false: ymera models pull {name}, or set YMERA_LOCAL_DIR"


_RUNNER = _Runner()
