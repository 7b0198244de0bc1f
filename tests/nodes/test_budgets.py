"""Budgets of runs and of days: reserved before a call, settled after it, never overspent."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from blockbuster import blockbuster_ctx

from ymera.nodes import budgets as budgets_module
from ymera.nodes.budgets import Ask, Budgets, Grant, Refusal
from ymera.nodes.settings import Settings, SettingsError, load_settings
from ymera.nodes.state import NO_USAGE
from ymera.routing.attempts import Usage
from ymera.routing.budget import DailyUsd
from ymera.routing.errors import InputError
from ymera.routing.records import Limits, Price

from .daily_file import spent_today

PRICE = Price(input=0, output=10.0)  # 0.01 USD for a thousand tokens
UNPRICED = Usage({**NO_USAGE, "unpriced": 1})


def limits(usd: float | None = None, tokens: int | None = None) -> Limits:
    return Limits(usd=usd, tokens=tokens, seconds=None, attempts=4, phase_seconds=300)


NO_LIMITS = limits()


def ask(name: str = "planning-1", *, run: str = "r", wanted: int = 1_000, least: int | None = None) -> Ask:
    return Ask(
        id=f"{run}/{name}",
        run=run,
        provider="openai",
        key_mark="k",
        price=PRICE,
        input_tokens=0,
        output_tokens=wanted,
        least_tokens=wanted if least is None else least,
    )


def wrote(tokens: int) -> Usage:
    return Usage({**NO_USAGE, "output_tokens": tokens, "cost_usd": tokens * PRICE.output / 1e6})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "spending.sqlite"


@pytest.fixture
def budgets(file: Path) -> Budgets:
    """Budgets without daily limits."""
    return Budgets(file, None)


async def granted(budgets: Budgets, what: Ask, limit: Limits, spent: dict[str, Usage] | None = None) -> int:
    """Return the bound that is granted; 0: refused."""
    grant = await budgets.reserve(what, limit, spent or {})
    return grant.output_tokens if isinstance(grant, Grant) else 0


async def test_without_limits_everything_is_granted_and_no_file_is_made(budgets: Budgets, file: Path) -> None:
    for number in range(100):
        assert await granted(budgets, ask(f"planning-{number}"), NO_LIMITS) == 1_000
        await budgets.settle(ask(f"planning-{number}"), wrote(1_000))
    assert not file.parent.exists()
    assert not budgets.has_daily_limit("openai")


@pytest.mark.parametrize("limit", [limits(usd=0.015), limits(tokens=1_500)], ids=["usd", "tokens"])
async def test_lanes_side_by_side_do_not_spend_the_same_money_twice(budgets: Budgets, limit: Limits) -> None:
    research, generation = ask("research-1"), ask("generation-1")
    assert await granted(budgets, research, limit) == 1_000
    assert await granted(budgets, generation, limit) == 0, "what the sibling has reserved counts"
    await budgets.settle(research, wrote(400))
    assert await granted(budgets, generation, limit) == 1_000, "and then what it really took"
    await budgets.settle(generation, wrote(1_000))
    assert await granted(budgets, ask("review-1"), limit) == 0
    assert await granted(budgets, ask("review-1", wanted=100), limit) == 100


async def test_what_the_state_knows_by_then_is_not_counted_twice(budgets: Budgets) -> None:
    limit, spent = limits(usd=0.04), dict[str, Usage]()
    for number in range(4):
        call = ask(f"planning-{number}")
        assert await granted(budgets, call, limit, spent) == 1_000
        await budgets.settle(call, wrote(1_000))
        spent[call.id] = wrote(1_000)
    assert await granted(budgets, ask("planning-5", wanted=1), limit, spent) == 0


async def test_what_the_state_does_not_know_in_full_still_counts(budgets: Budgets) -> None:
    limit = limits(usd=0.015)
    assert await granted(budgets, ask(), limit) == 1_000
    await budgets.settle(ask(), wrote(1_000))
    for _ in range(2):  # a second model beside a late first one, whose end the state has not seen
        assert await granted(budgets, ask("planning-2", wanted=501), limit, {ask().id: NO_USAGE}) == 0


async def test_what_another_process_spent_before_a_resume_counts_as_the_state_says(budgets: Budgets) -> None:
    spent = {"r/planning-1": wrote(2_500)}
    assert await granted(budgets, ask("generation-1"), limits(usd=0.03), spent) == 0
    assert await granted(budgets, ask("generation-1", least=256), limits(usd=0.03), spent) == 256


async def test_a_bound_is_lowered_to_what_is_left(budgets: Budgets) -> None:
    limit = limits(usd=0.016)
    assert await granted(budgets, ask("a-1", least=100), limit) == 1_000
    assert await granted(budgets, ask("b-1", least=100), limit) == 512
    assert await granted(budgets, ask("c-1", least=88), limit) == 88
    assert await granted(budgets, ask("d-1", least=1), limit) == 0, "1600 tokens are reserved to the last"


async def test_a_refusal_says_what_is_left_and_reserves_nothing(budgets: Budgets) -> None:
    refused = await budgets.reserve(ask(wanted=2_000), limits(usd=0.015), {})
    assert refused == Refusal(
        why="even a short answer could cost 0.02 USD, 0.015 of the run's 0.015 USD are left", scope="run"
    )
    assert await granted(budgets, ask(wanted=1_500), limits(usd=0.015)) == 1_500


async def test_an_unknown_price_is_refused_and_a_free_model_always_fits(budgets: Budgets) -> None:
    limit, spent = limits(usd=0.0), {"r/x-1": wrote(100)}
    refused = await budgets.reserve(replace(ask(), price=None), limits(usd=100), {})
    assert isinstance(refused, Refusal)
    assert refused.scope == "model"
    assert await granted(budgets, replace(ask(), price=Price(input=0, output=0)), limit, spent) == 1_000
    assert await granted(budgets, ask(wanted=1), limit, spent) == 0


async def test_what_a_call_cost_is_not_known_so_what_was_reserved_stays(budgets: Budgets) -> None:
    limit = limits(usd=0.015)
    assert await granted(budgets, ask(), limit) == 1_000
    await budgets.settle(ask(), UNPRICED)
    for spent in ({}, {ask().id: UNPRICED}):
        assert await granted(budgets, ask("planning-2", wanted=501), limit, spent) == 0
    assert await granted(budgets, ask("planning-2", wanted=500), limit, {ask().id: UNPRICED}) == 500


async def test_settling_twice_or_what_was_never_reserved_changes_nothing(budgets: Budgets) -> None:
    limit = limits(usd=0.02)
    await budgets.settle(ask("never-1"), wrote(1_000))
    assert await granted(budgets, ask(), limit) == 1_000
    await budgets.settle(ask("never-1"), wrote(1_000))
    await budgets.settle(ask(), wrote(500))
    await budgets.settle(ask(), wrote(1))
    assert await granted(budgets, ask("planning-2", wanted=1_501), limit) == 0
    assert await granted(budgets, ask("planning-2", wanted=1_500), limit) == 1_500


async def test_an_attempt_that_is_made_again_after_a_cancelled_run_was_paid_before(budgets: Budgets) -> None:
    limit = limits(usd=0.02)
    assert await granted(budgets, ask(), limit) == 1_000
    await budgets.settle(ask(), wrote(600))  # and the run is cancelled: its state never hears of it
    assert await granted(budgets, ask(), limit) == 1_000
    await budgets.settle(ask(), wrote(1_000))
    known = {ask().id: wrote(1_000)}
    assert await granted(budgets, ask("planning-2", wanted=401), limit, known) == 0
    assert await granted(budgets, ask("planning-2", wanted=400), limit, known) == 400


async def test_only_runs_that_rested_longest_are_forgotten(
    budgets: Budgets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets_module, "KEPT_RUNS", 2)
    limit, more = limits(usd=0.01), "planning-2"
    assert await granted(budgets, ask(run="under way"), limit) == 1_000
    for run in ("old", "new", "newest"):
        assert await granted(budgets, ask(run=run), limit) == 1_000
        await budgets.settle(ask(run=run), wrote(1_000))
    assert await granted(budgets, ask(more, run="under way"), limit) == 0
    assert await granted(budgets, ask(more, run="newest"), limit) == 0
    assert await granted(budgets, ask(more, run="new"), limit) == 0
    assert await granted(budgets, ask(more, run="old"), limit) == 1_000


async def test_memory_stays_flat_however_many_attempts_and_runs_there_are(budgets: Budgets) -> None:
    limit = limits(usd=1e6)

    async def attempts(count: int) -> None:
        spent: dict[str, Usage] = {}
        for number in range(count):
            call = ask(f"planning-{number}")
            assert await granted(budgets, call, limit, spent)
            await budgets.settle(call, wrote(1_000))
            spent = {call.id: wrote(1_000)}
            await granted(budgets, ask(run=f"run {number}"), NO_LIMITS)

    tracemalloc.start()
    try:
        await attempts(100)
        before, _ = tracemalloc.get_traced_memory()
        await attempts(2_000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000


async def test_sixty_four_lanes_of_one_run_never_overspend(budgets: Budgets) -> None:
    dice, paid, limit = random.Random(1), [], limits(usd=1.0, tokens=90_000)

    async def lane(name: int) -> None:
        for number in range(10):
            call = ask(f"{name}-{number}", wanted=3_000, least=500)
            bound = await granted(budgets, call, limit)
            await asyncio.sleep(0)
            written = dice.randint(0, bound)
            await budgets.settle(call, wrote(written))
            paid.append(written)

    await asyncio.gather(*map(lane, range(64)))
    assert sum(paid) <= 90_000
    left = 90_000 - sum(paid)
    assert await granted(budgets, ask("last-1", wanted=left + 1), limit) == 0
    assert await granted(budgets, ask("last-1", wanted=left), limit) == left, "nothing is left reserved"


def test_threads_with_loops_of_their_own_share_what_a_run_may_spend(budgets: Budgets) -> None:
    bounds: list[int] = []

    async def calls(name: int) -> None:
        for number in range(100):
            bounds.append(await granted(budgets, ask(f"{name}-{number}"), limits(usd=2.0)))

    threads = [Thread(target=lambda name=name: asyncio.run(calls(name))) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(bounds) == [0] * 600 + [1_000] * 200


def daily(file: Path, usd: DailyUsd = 1.0) -> Budgets:
    return Budgets(file, usd, clock=lambda: 1_000_000.0)


async def test_sixty_four_runs_on_one_daily_budget_never_overspend(file: Path) -> None:
    budgets = daily(file)

    async def run(number: int) -> int:
        return await granted(budgets, ask(run=f"run {number}", wanted=2_500), NO_LIMITS)

    assert sorted(await asyncio.gather(*map(run, range(64)))) == [0] * 24 + [2_500] * 40
    assert spent_today(file) == {("openai", "k"): 1_000_000_000}
    for number in range(64):
        await budgets.settle(ask(run=f"run {number}", wanted=2_500), wrote(123))
    assert spent_today(file) == {("openai", "k"): 40 * 1_230_000}


async def test_runs_that_reserve_and_settle_at_random_never_overspend(file: Path) -> None:
    budgets, dice, paid = daily(file), random.Random(2), []

    async def run(name: int) -> None:
        for number in range(8):
            call = ask(f"planning-{number}", run=f"run {name}", wanted=1_500, least=300)
            bound = await granted(budgets, call, limits(usd=0.06))
            written = dice.randint(0, bound)
            await budgets.settle(call, wrote(written))
            paid.append(written)
            assert spent_today(file)["openai", "k"] <= 1_000_000_000

    await asyncio.gather(*map(run, range(64)))
    assert spent_today(file) == {("openai", "k"): sum(paid) * 10_000}
    assert sum(paid) > 99_000, "the budget is used, not only kept"


async def test_a_refusal_by_the_day_keeps_nothing_in_the_run(file: Path) -> None:
    budgets, limit = daily(file, {"openai": 0.02}), limits(usd=0.04)
    refused = await budgets.reserve(ask(wanted=2_500), limit, {})
    assert isinstance(refused, Refusal)
    assert refused.scope == "day"
    assert "0.02 of today's 0.02 USD of this openai key (YMERA_DAILY_USD, UTC)" in refused.why
    assert await granted(budgets, replace(ask("planning-2", wanted=4_000), provider="groq"), limit) == 4_000


async def test_a_run_holds_what_the_day_has_granted_neither_more_nor_less(file: Path) -> None:
    budgets, limit = daily(file, {"openai": 0.02}), limits(usd=0.04)
    assert await granted(budgets, ask(wanted=2_500, least=200), limit) == 1_792
    assert await granted(budgets, replace(ask("planning-2", wanted=2_209), provider="groq"), limit) == 0
    assert await granted(budgets, replace(ask("planning-2", wanted=2_208), provider="groq"), limit) == 2_208


async def test_a_day_holds_what_the_run_has_granted_neither_more_nor_less(file: Path) -> None:
    assert await granted(daily(file), ask(wanted=2_500, least=200), limits(usd=0.02)) == 1_792
    assert spent_today(file) == {("openai", "k"): 17_920_000}


async def test_a_day_that_cannot_be_checked_keeps_nothing_in_the_run(file: Path) -> None:
    file.mkdir(parents=True)
    budgets, limit = daily(file, {"openai": 1.0}), limits(usd=0.01)
    with pytest.raises(InputError, match="The daily budget of openai cannot be checked"):
        await budgets.reserve(ask(), limit, {})
    assert await granted(budgets, replace(ask("planning-2"), provider="groq"), limit) == 1_000


async def test_each_provider_and_key_has_a_budget_of_its_own(file: Path) -> None:
    budgets = daily(file, {"openai": 0.01, "groq": 0.02})
    assert await granted(budgets, ask("a"), NO_LIMITS) == 1_000
    assert await granted(budgets, ask("b"), NO_LIMITS) == 0
    assert await granted(budgets, replace(ask("c"), key_mark="new"), NO_LIMITS) == 1_000, (
        "the key has changed"
    )
    assert await granted(budgets, replace(ask("d", wanted=2_000), provider="groq"), NO_LIMITS) == 2_000
    assert await granted(budgets, replace(ask("e", wanted=9_999), provider="mistral"), NO_LIMITS) == 9_999
    assert budgets.has_daily_limit("openai")
    assert not budgets.has_daily_limit("mistral")
    assert spent_today(file) == {
        ("groq", "k"): 20_000_000,
        ("openai", "k"): 10_000_000,
        ("openai", "new"): 10_000_000,
    }


async def test_what_is_free_or_not_limited_opens_no_file(file: Path) -> None:
    budgets = daily(file, {"openai": 0.0})
    free = replace(ask(), price=Price(input=0, output=0))
    assert await granted(budgets, free, NO_LIMITS) == 1_000
    await budgets.settle(free, NO_USAGE)
    assert await granted(budgets, replace(ask(), provider="groq", price=None), NO_LIMITS) == 1_000
    assert not file.parent.exists()


async def test_an_unknown_price_is_no_reason_to_give_up_the_key(file: Path) -> None:
    refused = await daily(file).reserve(replace(ask(), price=None), NO_LIMITS, {})
    assert isinstance(refused, Refusal)
    assert refused.scope == "model"


async def test_an_unknown_cost_stays_reserved_for_its_day(file: Path) -> None:
    budgets = daily(file)
    await budgets.reserve(ask(), NO_LIMITS, {})
    await budgets.settle(ask(), UNPRICED)
    await budgets.settle(ask(), wrote(1))
    assert spent_today(file) == {("openai", "k"): 10_000_000}


async def test_nothing_blocks_the_event_loop(file: Path) -> None:
    with blockbuster_ctx():
        budgets = daily(file)
        for number in range(3):
            assert await granted(budgets, ask(f"planning-{number}"), limits(usd=1)) == 1_000
            await budgets.settle(ask(f"planning-{number}"), wrote(10))


@pytest.mark.parametrize(
    ("value", "usd"),
    [
        ("5", 5.0),
        ("0.25", 0.25),
        ("0", 0.0),
        ('{"openai": 5, "groq": 0.5}', {"openai": 5.0, "groq": 0.5}),
        ("", None),
        (" ", None),
    ],
)
def test_a_daily_limit_is_a_number_or_numbers_by_provider(
    monkeypatch: pytest.MonkeyPatch, value: str, usd: float | dict[str, float] | None
) -> None:
    monkeypatch.setenv("YMERA_DAILY_USD", value)
    assert load_settings().ymera_daily_usd == usd
    assert Settings(ymera_daily_usd=usd).ymera_daily_usd == usd


def test_without_the_setting_there_is_no_daily_limit(settings: Settings) -> None:
    assert settings.ymera_daily_usd is None


@pytest.mark.parametrize(
    "value",
    [
        "-1", "five", "5 USD", '"5"', "true", "NaN", "Infinity", "1e9", "[5]", "{5}",
        '{"openai": -1}', '{"openai": "5"}', '{"openai": {"k": 5}}', '{"openai": null}',
    ],
)  # fmt: skip
def test_any_other_form_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("YMERA_DAILY_USD", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value) == (
        "YMERA_DAILY_USD: Input should be a number from 0 to 1000000, or such numbers by provider as JSON: "
        f'{{"openai": 5, "groq": 1}} (got {value!r})'
    )


def test_a_provider_that_there_is_not_is_no_limit_that_silently_counts_for_nobody(file: Path) -> None:
    with pytest.raises(SettingsError, match=r"^YMERA_DAILY_USD: no provider 'opnai'. Known: groq, openai.$"):
        Budgets(file, {"opnai": 5}, providers=["openai", "groq"])
    assert Budgets(file, {"openai": 5}, providers=["openai", "groq"]).has_daily_limit("openai")
