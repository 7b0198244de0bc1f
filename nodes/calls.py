"""The tables of calls, of runs whose domain was read in their task's text, and of runs in trials: a row for each."""

from __future__ import annotations

from .database import Database, open_database
from .settings import Settings

SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    thread TEXT NOT NULL,
    run TEXT NOT NULL,
    attempt TEXT NOT NULL,
    checkpoint TEXT NOT NULL,
    tenant TEXT NOT NULL,
    agent TEXT NOT NULL,
    phase TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    started_at DOUBLE PRECISION NOT NULL,
    outcome TEXT NOT NULL,
    seconds DOUBLE PRECISION NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cost_usd DOUBLE PRECISION NOT NULL,
    unpriced INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    domain TEXT NOT NULL,
    complexity TEXT NOT NULL,
    speed TEXT NOT NULL,
    creativity TEXT NOT NULL,
    task TEXT NOT NULL,
    first_token_seconds DOUBLE PRECISION,
    decision TEXT NOT NULL DEFAULT '',
    passed INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    score DOUBLE PRECISION,
    comment TEXT NOT NULL DEFAULT '',
    quality DOUBLE PRECISION,
    settled_at DOUBLE PRECISION,
    PRIMARY KEY (thread, run, attempt, checkpoint)
);
CREATE INDEX IF NOT EXISTS calls_by_run ON calls (run);
CREATE INDEX IF NOT EXISTS calls_settled ON calls (tenant, settled_at) WHERE quality IS NOT NULL;
CREATE INDEX IF NOT EXISTS calls_summed ON calls (tenant, provider, model, domain, phase, settled_at, quality)
    WHERE quality IS NOT NULL;
CREATE INDEX IF NOT EXISTS calls_answered ON calls (tenant, started_at) WHERE outcome = 'answered';
CREATE INDEX IF NOT EXISTS calls_told ON calls (tenant, started_at) WHERE task <> '';
CREATE TABLE IF NOT EXISTS domains_read (
    tenant TEXT NOT NULL,
    run TEXT NOT NULL,
    probability DOUBLE PRECISION NOT NULL,
    read_at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (tenant, run)
);
CREATE TABLE IF NOT EXISTS trial_runs (
    tenant TEXT NOT NULL,
    trial TEXT NOT NULL,
    run TEXT NOT NULL,
    arm TEXT NOT NULL,
    unit TEXT NOT NULL,
    begun_at DOUBLE PRECISION NOT NULL,
    ended TEXT NOT NULL DEFAULT '',
    ended_at DOUBLE PRECISION,
    PRIMARY KEY (tenant, trial, run)
)
"""
"""`calls_summed` has the older outcomes in the order in which they are summed: with it 100,000 of them take a sixth of
the time, and each row some 60 bytes more."""
BUSY_SECONDS = 10.0
"""How long a writer waits for another process."""


def open_calls(settings: Settings) -> Database:
    """Return the database in which the tables stand."""
    return open_database(settings, "journal", SCHEMA, patience=BUSY_SECONDS)
