"""Repeat one trial: `python -m tests.kills SEED NUMBER [postgresql://…]`, as a suite that failed names it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from .books import Tally
from .killing import opened_arena
from .schedule import trial
from .trying import make


async def repeat(seed: int, number: int, url: str = "") -> Tally:
    """Make one trial."""
    tally = Tally()
    with TemporaryDirectory() as folder:
        async with opened_arena(Path(folder), url=url) as arena:
            await make(arena, tally, trial(seed, number))
    return tally


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(repeat(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))}\n")
