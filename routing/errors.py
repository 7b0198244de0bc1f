"""What can go wrong before, or instead of, an answer.

    YmeraError
    ├── InputError            the caller's input, settings or files (exit code 2)
    │   ├── UnknownAgentError     "No profile for agent …"
    │   └── CatalogueError        a data file: all its faults at once, `file: key: what is wrong`
    ├── NoUsableModelError    no model is left that may be called (exit code 3)
    ├── WeightsError          an embedded model's weights are missing, cut short or not what they should be
    ├── ResumeError           a thread cannot be resumed, and why
    │   ├── NoRunError            it holds no run
    │   └── ThreadBusyError       another run is under way on it
    └── RunInterrupted        a run was stopped before its end; it can be resumed (exit code 75)

`InputError` is a ValueError and `NoUsableModelError` a RuntimeError besides: LangGraph's servers pass on the
messages of such errors and hide all others ("An internal error occurred").

A model's failure is not an exception here: it becomes a `Fault` in the attempt's record.
"""

from __future__ import annotations

from collections.abc import Iterable


class YmeraError(Exception):
    """Base of every error that YMERA raises on purpose."""


class InputError(YmeraError, ValueError):
    """Input, settings or files of the caller are wrong; the message says what and how to mend it."""


class UnknownAgentError(InputError):
    """The agent has no profile."""

    def __init__(self, agent_name: str, known: Iterable[str]) -> None:
        names = ", ".join(sorted(known))
        super().__init__(
            f"No profile for agent {agent_name!r}. Known agents: {names}. Add a profile or use one of these."
        )
        self.agent_name = agent_name


class CatalogueError(InputError):
    """A data file is wrong. `faults` holds every fault of it as `file: key: what is wrong`."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class NoUsableModelError(YmeraError, RuntimeError):
    """No model may be called: no key is set and no embedded or local model is there."""


class WeightsError(YmeraError):
    """Weights of an embedded model cannot be had or are not the bytes they should be."""


class ResumeError(YmeraError):
    """A thread cannot be resumed."""


class NoRunError(ResumeError):
    """The thread holds no run that had begun."""


class ThreadBusyError(ResumeError):
    """Another run is under way on the thread, in this process or in another one."""


class RunInterrupted(YmeraError):  # noqa: N818 - nothing went wrong
    """The run was stopped before its end (`drain`), and what was done is kept.

    `thread_id` names its thread; `resumable` is false where nothing had been done yet that could be gone on with.
    """

    def __init__(self, thread_id: str, *, resumable: bool) -> None:
        how = (
            f"resume({thread_id!r}) goes on with it." if resumable else "Nothing was done yet: run it again."
        )
        super().__init__(f"The run was interrupted. {how}")
        self.thread_id, self.resumable = thread_id, resumable
