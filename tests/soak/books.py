"""The runs that are made against a till, and whether their books agree with its own."""

from __future__ import annotations

import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import zip_longest

from genai_prices import Usage as Counted
from genai_prices import calc_price
from tests.servers.replies import Tokens
from ymera import MultiModelExecutor, MultiModelResult, RunContext
from ymera.nodes.usage import MAYBE_BILLED
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.records import Attempt

from .till import BROKEN, CLIENTS, PHASES, PLAIN, Receipt

Key = tuple[str, str, str, str]
Requests = dict[Key, list[Receipt]]
MODELS = builtin_catalogue().models
GIVEN_UP = frozenset({"timed_out", "stalled", "cancelled"})
"""Faults at which a client leaves while its reply may be on its way."""
SLACK_S = 5.0
"""Seconds that a run may take beside its phases: choosing, checkpoints, and a busy machine."""
_AGENTS = (
    "coding_agent",
    "database_agent",
    "analysis_agent",
    "documentation_agent",
    "web_scraping_agent",
)


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A run that is over; `limit`: seconds that it might take, by its phases' own limits."""

    tag: str
    context: RunContext
    result: MultiModelResult
    seconds: float
    limit: float

    @property
    def attempts(self) -> list[Attempt]:
        return [attempt for phase in self.result.phase_results for attempt in phase.attempts]


@dataclass(kw_only=True)
class Books:
    """What both sides counted.

    Args:
        wrong: sentences on what does not agree.
        late: attempts that were given up while their reply was on its way, so that the usage came too late.
    """

    wrong: list[str] = field(default_factory=list)
    runs: int = 0
    succeeded: int = 0
    attempts: int = 0
    requests: int = 0
    exact: int = 0
    estimated: int = 0
    unpriced: int = 0
    late: int = 0
    tokens: int = 0
    kinds: Counter[str] = field(default_factory=Counter)


async def make_run(executor: MultiModelExecutor, seed: int, number: int, *, silence_s: float) -> Ran:
    """Make one run of wishes drawn by its number.

    Args:
        silence_s: seconds until an answer must have begun, and between two pieces of it.
    """
    chance = random.Random(f"{seed} {number}")
    tag, agent = f"m{number}", chance.choice(_AGENTS)
    phases = chance.choice([None, None, list(PHASES)])
    context = _wishes(chance, silence_s)
    clock = time.perf_counter()
    result = await executor.execute_with_multi_model(
        agent,
        f"Write module {tag} of the import service, with sessions, roles and pages",
        {"language": "python"},
        phases,
        context=context,
        use_cache=False,
    )
    assert context.phase_timeout
    assert result.plan
    limit = context.phase_timeout * len(result.plan["layout"])
    return Ran(
        tag=tag, context=context, result=result, seconds=time.perf_counter() - clock, limit=limit
    )


def _wishes(chance: random.Random, silence_s: float) -> RunContext:
    def seldom(*values: object) -> object:
        return chance.choice(values) if chance.random() < 0.1 else None

    return RunContext.model_validate(
        {
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
    )


def by_request(receipts: Iterable[Receipt]) -> Requests:
    """Return receipts by run, phase, provider and model, in the order in which the requests came."""
    found: Requests = defaultdict(list)
    for receipt in receipts:
        found[receipt[:4]].append(receipt)
    return found


def compare(runs: Sequence[Ran], receipts: Sequence[Receipt]) -> Books:
    """Lay the attempts of all runs beside what the till reported to their requests."""
    books, requests = Books(requests=len(receipts)), by_request(receipts)
    sent: dict[Key, list[Attempt]] = defaultdict(list)
    for ran in runs:
        books.runs += 1
        books.succeeded += ran.result.success
        books.wrong += [f"{ran.tag}: {what}" for what in faults_of(ran)]
        for attempt in sorted(ran.attempts, key=lambda one: one["number"]):
            books.kinds[kind_of(attempt)] += 1
            if kind_of(attempt) != "over_budget":
                sent[_key(ran, attempt)].append(attempt)
    books.attempts = sum(len(made) for made in sent.values())
    for key in {**sent, **requests}:
        for made, receipt in zip_longest(sent.get(key, []), requests.get(key, [])):
            if fault := _compare_one(books, made, receipt):
                books.wrong.append(f"{' '.join(key)}: {fault}: {made} {receipt}")
    return books


def kind_of(attempt: Attempt) -> str:
    """Return the kind of an attempt's fault, or that it answered."""
    return attempt["fault"]["kind"] if attempt["fault"] else "answered"


def _key(ran: Ran, attempt: Attempt) -> Key:
    model = MODELS[f"{attempt['provider']}:{attempt['model']}"]
    return ran.tag, attempt["phase"], attempt["provider"], model.model_id


def _compare_one(books: Books, made: Attempt | None, receipt: Receipt | None) -> str | None:
    """Count an attempt and the request that it sent; return what is wrong with them."""
    if made is None:
        return "a request that is no attempt"
    usage, kind = made["usage"], kind_of(made)
    took = (usage["input_tokens"], usage["output_tokens"])
    if receipt is None:  # a hedge that was called off before it was sent
        return None if kind == "cancelled" and took == (0, 0) else "an attempt without a request"
    if receipt.tokens == took and not usage["estimated"]:
        books.exact += 1
        books.tokens += sum(took)
        cost = cost_of(receipt)
        right = usage["unpriced"] if cost is None else abs(usage["cost_usd"] - cost) < 1e-9
        return None if right else f"it should have cost {cost}"
    if receipt.tokens is not None:
        books.late += 1
        known = not (usage["estimated"] or usage["unpriced"])
        return "what was reported did not arrive" if known or kind not in GIVEN_UP else None
    if usage["estimated"]:
        books.estimated += 1
        return None if made["ok"] or "partial" in made else "an estimate of nothing"
    if usage["unpriced"]:
        books.unpriced += 1
        return None if kind in MAYBE_BILLED and took == (0, 0) else "it was not billed"
    return None if took == (0, 0) and "partial" not in made and kind not in MAYBE_BILLED else "not marked"


@cache
def _is_listed(provider: str, model: str) -> bool:
    try:
        calc_price(Counted(input_tokens=1), model, provider_id=provider)
    except LookupError:
        return False
    return True


def cost_of(receipt: Receipt) -> float | None:
    """Return what a request costs by the list prices, else by the catalogue's; None where nobody knows."""
    into, out = receipt.tokens or (0, 0)
    if _is_listed(receipt.provider, receipt.model):
        counted = Counted(input_tokens=into, output_tokens=out)
        return float(calc_price(counted, receipt.model, provider_id=receipt.provider).total_price)
    [own] = [m for m in MODELS.values() if (m.provider, m.model_id) == (receipt.provider, receipt.model)]
    return (into * own.price.input + out * own.price.output) / 1e6 if own.price else None


def faults_of(ran: Ran) -> list[str]:
    """Return what is wrong with a run by itself: its end, its time, its text, its sums."""
    result, text = ran.result, str(ran.result.final_result or "")
    error = result.error or ""
    failed = error.startswith(("All phases failed: ", "The run stopped: ")) and ": " in error[20:]
    used = {attempt["provider"] for attempt in ran.attempts}
    tokens = sum(a["usage"]["input_tokens"] + a["usage"]["output_tokens"] for a in ran.attempts)
    held = {
        "neither a success nor a clear failure": result.success or failed or bool(result.stopped_by_budget),
        "a success without a result": bool(text) or not result.success,
        f"{ran.seconds:.1f} s of {ran.limit:.1f} s": ran.seconds <= ran.limit + SLACK_S,
        "a provider that was not allowed": used <= set(ran.context.providers),
        "text of a broken or of another run's answer": BROKEN not in text
        and (set(re.findall(r"m\d+", text)) == {ran.tag} or text in ("", PLAIN)),
        "tokens do not add up": tokens == result.total_tokens_used,
        "a key in the error": "canary" not in error,
    }
    return [what for what, holds in held.items() if not holds]
