"""An instance that stood still for as long as its leases last ends itself, before it does anything else.

By then others have its runs. aegra cancels such runs with the next heartbeat, but what waits in the sockets comes
first: a run that stood still would make its next call, and write its checkpoint behind those of the run's true end.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

TICK_S = 0.25
CODE = 75
"""The exit code: try again; systemd starts the instance anew."""
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""One that goes on while the machine sleeps, where there is one."""


class Fence:
    """Looks at the clock from within the event loop.

    Args:
        limit_s: how long the loop may have stood still: a lease was renewed at most one heartbeat before.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s, self._last = limit_s, time.clock_gettime(CLOCK)

    def watch(self) -> None:
        """Look, and look again soon. A plain callback: it comes before any task goes on."""
        now = time.clock_gettime(CLOCK)
        if now - self._last > self._limit_s:
            os._exit(CODE)
        self._last = now
        asyncio.get_running_loop().call_later(TICK_S, self.watch)


@asynccontextmanager
async def _watched(app: FastAPI) -> AsyncIterator[None]:
    lease, heartbeat = (
        float(os.environ[name]) for name in ("LEASE_DURATION_SECONDS", "HEARTBEAT_INTERVAL_SECONDS")
    )
    Fence(lease - heartbeat).watch()
    yield


app = FastAPI(title="YMERA", lifespan=_watched)
