"""The runs that are made against a till, and whether their books agree with its own."""

from __future__ import annotations

import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from itertools import zip_longest
from typing import Any

from genai_prices import Usage as Counted
from genai_prices import calc_price
from typing_extensions import TypedDict

from tests.servers.replies import Tokens
from ymera import MultiModelExecutor, MultiModelResult, RunContext
from ymera.nodes.usage import MAYBE_BILLED
from ymera.routing.attempts import Attempt, Usage
from ymera.routing.catalogue import builtin_catalogue

from .till import BROKEN, CLIENTS, PHASES, PLAIN, Receipt

AGENTS = ("coding_agent", "database_agent", "analysis_agent", "documentation_agent", "web_scraping_agent")
MODELS = builtin_catalogue().models
GIVEN_UP = frozenset({"timed_out", "stalled", "cancelled"})
"""Faults at which a client leaves while its reply may be on its way."""
SLACK_S = 5.0
"""Seconds that a run may take beside its phases: choosing, checkpoints, and a busy machine."""

MISSING = object()
"""Stands for what has no counterpart."""

Key = tuple[str, str, str, str]
"""Run, phase, provider, model: requests of one key come one after the other."""


class Made(TypedDict):
    """What the books need of an attempt."""

    key: Key
    kind: str
    partial: bool
    usage: Usage


class Entry(TypedDict):
    """A run that is over, as plain JSON."""

    tag: str
    success: bool
    seconds: float
    wrong: list[str]
    made: list[Made]


@dataclass(kw_only=True)
class Books:
    """What both sides counted.

    Args:
        wrong: sentences on what does not agree.
        exact: attempts whose usage is what was reported; estimated and unpriced ones are those it was not reported to.
        late: attempts that were given up while their reply was on its way: what it reported came too late.
    """

    wrong: list[str] = field(default_factory=list)
    runs: int = 0
    succeeded: int = 0
    attempts: int = 0
    requests: int = 0
    exact: Counter[str] = field(default_factory=Counter)
    estimated: int = 0
    unpriced: int = 0
    late: int = 0
    tokens: int = 0
    late_tokens: int = 0
    kinds: Counter[str] = field(default_factory=Counter)


# --- runs -------------------------------------------------------------------------------------------------


async def make_run(executor: MultiModelExecutor, seed: int, number: int, *, silence_s: float) -> Entry:
    """Make one run of wishes drawn by its number, and look at it by itself.

    Args:
        silence_s: seconds until an answer must have begun, and between two pieces of it.
    """
    chance = random.Random(f"{seed} {number}")
    tag, context = f"m{number}", _wishes(chance, silence_s)
    clock = time.perf_counter()
    result = await executor.execute_with_multi_model(
        chance.choice(AGENTS),
        f"Write module {tag} of the import service, with sessions, roles and pages",
        {"language": "python"},
        chance.choice([None, None, list(PHASES)]),
        context=context,
        use_cache=False,
    )
    return entry_of(tag, context, result, time.perf_counter() - clock)


def _wishes(chance: random.Random, silence_s: float) -> RunContext:
    def seldom(*values: float) -> float | None:
        return chance.choice(values) if chance.random() < 0.1 else None

    wishes: dict[str, Any] = {
        "providers": sorted(chance.sample(CLIENTS, chance.choice((1, 2, 3, 8, 8)))),
        "attempts": chance.choice((1, 2, 4, 4)),
        "phase_timeout": 8 * silence_s,
        "first_token_timeout": silence_s,
        "silence_timeout": silence_s,
        "hedge": chance.random() < 0.2,
        "route_around_refusals": chance.random() < 0.5,
        "budget_usd": seldom(0.0005, 0.005, 0.05),
        "budget_tokens": seldom(500, 5_000, 50_000),
        "budget_seconds": seldom(silence_s / 2, 3 * silence_s),
    }
    return RunContext.model_validate(wishes)


def entry_of(tag: str, context: RunContext, result: MultiModelResult, seconds: float) -> Entry:
    """Return what is kept of a run."""
    attempts = [attempt for phase in result.phase_results for attempt in phase.attempts]
    return Entry(
        tag=tag,
        success=result.success,
        seconds=seconds,
        wrong=[f"{tag}: {what}" for what in _wrong_with(tag, context, result, attempts, seconds)],
        made=[_made(tag, attempt) for attempt in sorted(attempts, key=lambda one: one["number"])],
    )


def _made(tag: str, attempt: Attempt) -> Made:
    model = MODELS[f"{attempt['provider']}:{attempt['model']}"]
    return Made(
        key=(tag, attempt["phase"], model.provider, model.model_id),
        kind=attempt["fault"]["kind"] if attempt["fault"] else "answered",
        partial="partial" in attempt,
        usage=attempt["usage"],
    )


def _wrong_with(
    tag: str, context: RunContext, result: MultiModelResult, attempts: list[Attempt], seconds: float
) -> list[str]:
    """Return what is wrong with a run by itself: its end, its time, its text, its sums."""
    text, error = str(result.final_result or ""), result.error or ""
    failed = error.startswith(("All phases failed: ", "The run stopped: ")) and ": " in error[20:]
    limit = (context.phase_timeout or 0.0) * len(result.plan["layout"] if result.plan else ())
    tokens = sum(a["usage"]["input_tokens"] + a["usage"]["output_tokens"] for a in attempts)
    held = {
        "neither a success nor a clear failure": result.success or failed or bool(result.stopped_by_budget),
        "a success without a result": bool(text) or not result.success,
        f"it took {seconds:.1f} s, {limit:.1f} s were allowed": seconds <= limit + SLACK_S,
        "a provider that was not allowed": {a["provider"] for a in attempts} <= set(context.providers),
        "text of a broken answer": BROKEN not in text,
        "text of another run": set(re.findall(r"m\d+", text)) == {tag} or text in ("", PLAIN),
        "its tokens do not add up": tokens == result.total_tokens_used,
        "a key stands in the error": "canary" not in error,
    }
    return [what for what, holds in held.items() if not holds]


# --- their books ------------------------------------------------------------------------------------------


def compare(entries: Iterable[Entry], receipts: Iterable[Receipt]) -> Books:
    """Lay the attempts of all runs beside what the till reported to their requests."""
    books = Books()
    requests: dict[Key, list[Tokens | None]] = defaultdict(list)
    sent: dict[Key, list[Made]] = defaultdict(list)
    for receipt in receipts:
        requests[receipt.key].append(receipt.tokens)
    for entry in entries:
        books.runs += 1
        books.succeeded += entry["success"]
        books.wrong += entry["wrong"]
        for made in entry["made"]:
            books.kinds[made["kind"]] += 1
            if made["kind"] != "over_budget":
                sent[made["key"]].append(made)
    books.attempts = sum(len(made) for made in sent.values())
    books.requests = sum(len(tokens) for tokens in requests.values())
    for key in {**sent, **requests}:
        pairs: Iterable[tuple[Any, Any]] = zip_longest(
            sent.get(key, []), requests.get(key, []), fillvalue=MISSING
        )
        for attempt, told in pairs:
            if fault := _compare_one(books, key, attempt, told):
                books.wrong.append(f"{' '.join(key)}: {fault}: {attempt} was told {told}")
    return books


def _compare_one(books: Books, key: Key, made: Any, told: Any) -> str | None:
    """Count an attempt and what its request was told; return what is wrong with them."""
    if made is MISSING:
        return "a request that is no attempt"
    usage, kind = made["usage"], made["kind"]
    took = (usage["input_tokens"], usage["output_tokens"])
    if told is MISSING:  # called off before it was sent
        return None if kind in GIVEN_UP and took == (0, 0) else "an attempt without a request"
    if told == took and not usage["estimated"]:
        books.exact[key[2]] += 1
        books.tokens += sum(took)
        cost = cost_of(key, took)
        right = usage["unpriced"] if cost is None else abs(usage["cost_usd"] - cost) < 1e-9
        return None if right else f"it should have cost {cost}"
    if told is not None:
        books.late += 1
        books.late_tokens += sum(told)
        marked = usage["estimated"] or usage["unpriced"]
        return None if marked and kind in GIVEN_UP else "what was reported did not arrive"
    if usage["estimated"]:
        books.estimated += 1
        return None if made["partial"] or kind == "answered" else "an estimate of nothing"
    if usage["unpriced"]:
        books.unpriced += 1
        return None if kind in MAYBE_BILLED and took == (0, 0) else "it was not billed"
    unmarked = took == (0, 0) and not made["partial"] and kind not in MAYBE_BILLED
    return None if unmarked else "it is not marked"


@cache
def _is_listed(provider: str, model: str) -> bool:
    try:
        calc_price(Counted(input_tokens=1), model, provider_id=provider)
    except LookupError:
        return False
    return True


def cost_of(key: Key, tokens: Tokens) -> float | None:
    """Return USD by the list prices, where it has none by the catalogue's; None where nobody knows."""
    into, out = tokens
    provider, model = key[2:]
    if _is_listed(provider, model):
        counted = Counted(input_tokens=into, output_tokens=out)
        return float(calc_price(counted, model, provider_id=provider).total_price)
    price = next(m.price for m in MODELS.values() if (m.provider, m.model_id) == (provider, model))
    return (into * price.input + out * price.output) / 1e6 if price else None
