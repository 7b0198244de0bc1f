"""The result file of a batch: one JSON document a line, appended whole, and what it tells when it is opened again."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .batch_tasks import BatchTask, key_of
from .nodes.file_lock import locked
from .results import MultiModelResult
from .routing.errors import InputError

UNSUCCESSFUL = "unsuccessful"
"""The kind of a failure that no fault of a model stands behind: a result that is empty, say."""
BUDGET = "budget"
NO_MODEL = "no_model"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A task that has to be run, and how often it had been before."""

    task: BatchTask
    trial: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a task.

    Args:
        failure: the kind of what went wrong; None: it succeeded.
        ran: a run ended; where none had begun, the next start of the batch tries again.
        trial: how often the task had been run before.
    """

    failure: str | None
    ran: bool
    trial: int


@dataclass(kw_only=True)
class Totals:
    """What results add up to: tasks, USD, tokens."""

    succeeded: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    usd: float = 0.0
    tokens: int = 0
    cost_known: bool = True
    cost_estimated: bool = False

    @property
    def failed(self) -> int:
        """How many tasks have no result to rely on."""
        return self.failures.total()

    def count(self, failure: str | None) -> None:
        """Take in what became of a task."""
        if failure is None:
            self.succeeded += 1
        else:
            self.failures[failure] += 1

    def pay(self, said: dict[str, Any]) -> None:
        """Take in what a line of the result file says was spent."""
        self.usd += said["total_cost"]
        self.tokens += said["total_tokens_used"]
        self.cost_known &= said["cost_known"]
        self.cost_estimated |= said["cost_estimated"]


class ResultFile:
    """A result file that is open for appending.

    Args:
        earlier: the last outcome of every task that it held when it was opened, by the task's key.
        paid: what its lines add up to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.earlier: dict[str, Outcome] = {}
        self.paid = Totals()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            self._end = self._read()
            os.ftruncate(self._file, self._end)
        except BaseException:
            self.close()
            raise

    def append(self, job: Job, result: MultiModelResult, failure: str | None) -> None:
        """Append a task's result: the whole line, or nothing of it.

        Raises:
            OSError: it cannot be written.
        """
        said = _document(job, result, failure)
        line = json.dumps(said, ensure_ascii=False).encode(errors="replace") + b"\n"
        try:
            _write(self._file, line)
        except OSError:
            os.ftruncate(self._file, self._end)
            raise
        self._end += len(line)
        self.paid.pay(said)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _read(self) -> int:
        """Take in every whole line, and return where the last one ends: a kill may have left half of another."""
        end = 0
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    break
                self._take(number, line)
                end += len(line)
        return end

    def _take(self, number: int, line: bytes) -> None:
        try:
            said = json.loads(line)
            self.earlier[key_of(said["id"], said["digest"])] = _outcome(said)
            self.paid.pay(said)
        except (ValueError, TypeError, KeyError, RecursionError):
            raise InputError(
                f"{self.path}:{number} is no line of a result file of `ymera batch`. "
                "Name another file with --output, or take the line out."
            ) from None


@contextmanager
def open_results(path: Path) -> Iterator[ResultFile]:
    """Open a result file, made where there is none; no other process may have it open.

    Raises:
        InputError: it cannot be used, is none, or another batch is at work on it.
    """

    def taken() -> None:
        raise InputError(f"Another `ymera batch` writes to {path}. Wait for it, or name another --output.")

    try:
        with locked(path.with_name(f"{path.name}.lock"), taken):
            results = ResultFile(path)
            try:
                yield results
            finally:
                results.close()
    except OSError as error:
        raise InputError(
            f"The result file cannot be written: {error}. Name another with --output; what was finished is kept."
        ) from error


def _write(file: int, line: bytes) -> None:
    view = memoryview(line)
    while view:
        view = view[os.write(file, view) :]


def _document(job: Job, result: MultiModelResult, failure: str | None) -> dict[str, Any]:
    """Return what a line says of a result: all of it but the plan, which would be most of the line."""
    said = asdict(result)
    del said["plan"]
    named = {"id": job.task.id, "line": job.task.line, "digest": job.task.digest, "trial": job.trial}
    return named | {"failure": failure} | said


def _outcome(said: dict[str, Any]) -> Outcome:
    return Outcome(failure=said["failure"], ran=bool(said["thread_id"]), trial=said["trial"])


def failure_of(result: MultiModelResult) -> str | None:
    """Return the kind of what went wrong, None where nothing did.

    It is that of the last fault, `budget`, `no_model`, or `unsuccessful` where no fault stands behind it.
    """
    if result.success:
        return None
    if result.stopped_by_budget:
        return BUDGET
    failed = [phase for phase in result.phase_results if not phase.success]
    faults = [a["fault"]["kind"] for phase in failed for a in phase.attempts if a["fault"]]
    planned = result.plan["phases"] if result.plan else []
    if not faults and any(plan["critical"] and plan["primary_model"] is None for plan in planned):
        return NO_MODEL
    return faults[-1] if faults else UNSUCCESSFUL


def not_run(error: str) -> MultiModelResult:
    """Return the result of a task for which no run had begun."""
    return MultiModelResult(
        strategy_type="",
        total_phases=0,
        successful_phases=0,
        phase_results=[],
        final_result=None,
        total_execution_time=0.0,
        total_tokens_used=0,
        total_cost=0.0,
        models_used=[],
        success=False,
        error=error,
    )
