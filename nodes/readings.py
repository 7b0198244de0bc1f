"""Readings of tasks by a decision model of LangChain's: each task is read once, and by ours where the model fails."""

from __future__ import annotations

import logging
from dataclasses import replace
from json import dumps
from typing import TYPE_CHECKING

from ..routing.matcher import TaskRequest
from ..routing.records import Reading

if TYPE_CHECKING:
    from langchain_core.decisions import BaseDecisionModel

REMEMBERED = 256
"""Readings that are kept: a run is planned more than once, and its task is paid for once."""

_logger = logging.getLogger("ymera.readings")


class Readings:
    """What a decision model reads in tasks. Its own tokens are billed by its provider, and stand in no run's costs.

    Args:
        reader: None: tasks are read here.
    """

    def __init__(self, reader: BaseDecisionModel | None) -> None:
        self._reader = reader
        self._kept: dict[tuple[str, str], Reading] = {}

    async def read(self, request: TaskRequest) -> tuple[TaskRequest, str | None]:
        """Return the request with its reading, and a warning where the model could not be asked."""
        if self._reader is None or request.reading is not None or not request.description.strip():
            return request, None
        key = request.description, dumps(dict(request.parameters), sort_keys=True, default=str)
        if key not in self._kept:
            from .reader import read_by

            try:
                reading = await read_by(self._reader, request.description, request.parameters)
            except Exception as error:  # noqa: BLE001 - whatever a client raises: the task is read here instead
                # What a client says of itself may quote the task, of which no word reaches a log or a plan.
                why = f"The task was read here: its reader {self._reader.model} failed ({type(error).__name__})."
                _logger.warning("%s", why)
                return request, why
            if len(self._kept) >= REMEMBERED:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = reading
        return replace(request, reading=self._kept[key]), None
