"""What the signals to stop do: the first one is heeded, the second one ends the process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def first_signal(act: Callable[[], object]) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM act, in the signal's handler; the second one ends the process at once.

    Outside the main thread, where Python hands no signals to, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def heed(number: int, _: FrameType | None) -> None:
        for each in heeded:
            signal.signal(each, signal.SIG_DFL)
        act()

    # A program started in the background by a shell has SIGINT ignored: that stays.
    heeded = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, heed) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is heed:  # where it is not, the next one still ends the process
                signal.signal(number, handler)
