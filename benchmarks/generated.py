"""Stores filled with rows by chance, as large as they are ever to be."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

from ymera.nodes.calls import open_calls
from ymera.nodes.database import database_at
from ymera.nodes.ledger import BUSY_SECONDS, SCHEMA, ResultCache
from ymera.nodes.settings import Settings
from ymera.routing.catalogue import builtin_catalogue

MANY_YEARS_S = 1e9
RESULT_BYTES = 1_000

_CALL = """
INSERT INTO calls (thread, run, attempt, checkpoint, tenant, agent, phase, provider, model, started_at, outcome,
    seconds, input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost_usd, unpriced, estimated, domain,
    complexity, speed, creativity, task, first_token_seconds, quality, settled_at)
VALUES ('', ?, ?, '', '', ?, ?, ?, ?, ?, 'answered', ?, 500, ?, 0, 0, 0.001, 0, 0, ?, 'normal', 'normal', 'normal', '',
    0.5, ?, ?)
"""
_RESULTS = """
WITH RECURSIVE numbers (number) AS (VALUES (1) UNION ALL SELECT number + 1 FROM numbers WHERE number < ?)
INSERT INTO results SELECT 'key-' || number, ?, hex(randomblob(?)) FROM numbers
"""


def fill_calls(settings: Settings, rows: int) -> None:
    """Fill the journal with so many calls that were answered and judged: of all agents, phases and models."""
    chance, catalogue, now = Random(1), builtin_catalogue(), time.time()
    agents, phases, models = list(catalogue.agents), list(catalogue.phases), list(catalogue.models.values())
    database = open_calls(settings)
    with database.transaction() as kept:
        for number in range(rows):
            model, agent, at = chance.choice(models), chance.choice(agents), now - rows + number
            said = (agent, chance.choice(phases), model.provider, model.name, at)
            counts = (5 * chance.random(), chance.randrange(1_000), agent, chance.randrange(2), at)
            kept.execute(_CALL, (f"run-{number}", f"planning-{number}", *said, *counts))
    database.close()


def fill_results(folder: Path, rows: int, *, asked: int) -> tuple[ResultCache, list[str]]:
    """Fill a store of results, which has room for more, and return it with the keys of some that lie far apart."""
    place = folder / "results.sqlite"
    database = database_at(place, "results", SCHEMA, patience=BUSY_SECONDS)
    with database.transaction() as kept:
        kept.execute(_RESULTS, (rows, time.time(), RESULT_BYTES // 2))
    database.close()
    cache = ResultCache(place, ttl=MANY_YEARS_S, size=2 * rows)
    return cache, [f"key-{1 + number * rows // asked}" for number in range(asked)]
