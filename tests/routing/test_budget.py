"""What a call may cost, what is left, and how long an answer fits: exact, monotone, never too much."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ymera.routing.attempts import Usage
from ymera.routing.budget import (
    NANO,
    NOTHING,
    STEP,
    Amount,
    Ask,
    Grant,
    Refusal,
    daily_limit,
    fitting_bound,
    grant_in_day,
    grant_in_run,
    is_free,
    settled,
    used,
    used_by_run,
    worst_case,
)
from ymera.routing.records import Limits, Price

FREE = Price(input=0, output=0)
CALL = Ask(
    id="r/generation-1",
    run="r",
    provider="openai",
    key_mark="k",
    price=Price(input=2.0, output=10.0),
    input_tokens=1_000,
    output_tokens=4_000,
    least_tokens=1_000,
)


def limits(usd: float | None = None, tokens: int | None = None) -> Limits:
    return Limits(usd=usd, tokens=tokens, seconds=None, attempts=4, phase_seconds=300)


def usage(read: int = 0, written: int = 0, usd: float = 0.0, unpriced: int = 0) -> Usage:
    return Usage(
        input_tokens=read,
        output_tokens=written,
        cached_tokens=0,
        reasoning_tokens=0,
        cost_usd=usd,
        unpriced=unpriced,
        estimated=0,
    )


@pytest.mark.parametrize(
    ("price", "nano"),
    [
        pytest.param(Price(input=2.0, output=10.0), 42_000_000, id="input and output at their prices"),
        pytest.param(Price(input=0.15, output=0.6), 2_550_000, id="no last digit of a float"),
        pytest.param(Price(input=0.0000001, output=0), 1, id="rounded up"),
        pytest.param(FREE, 0, id="free"),
        pytest.param(None, 0, id="not known"),
    ],
)
def test_the_worst_case_is_the_whole_input_and_a_whole_answer(price: Price | None, nano: int) -> None:
    assert worst_case(replace(CALL, price=price), 4_000) == Amount(nano, 5_000)


@pytest.mark.parametrize(
    ("price", "free"),
    [(FREE, True), (Price(input=0, output=1), False), (Price(input=1, output=0), False), (None, False)],
)
def test_only_a_price_that_is_known_to_be_nothing_is_free(price: Price | None, free: bool) -> None:
    assert is_free(price) is free


@pytest.mark.parametrize(
    ("usd", "tokens", "bound"),
    [
        pytest.param(None, None, 4_000, id="no limit"),
        pytest.param(0.042, None, 4_000, id="just enough money"),
        pytest.param(0.041999999, None, 3_840, id="a little less: the next lower step"),
        pytest.param(0.0130, None, 1_024, id="little more than the least"),
        pytest.param(0.0120, None, 1_000, id="the least, though no step"),
        pytest.param(0.011999999, None, None, id="less than the least"),
        pytest.param(0.001, None, None, id="less than the input"),
        pytest.param(-1.0, None, None, id="overspent"),
        pytest.param(None, 5_000, 4_000, id="just enough tokens"),
        pytest.param(None, 4_999, 3_840, id="a token less"),
        pytest.param(None, 1_999, None, id="too few tokens"),
        pytest.param(0.03, 2_500, 1_280, id="the tighter of both: tokens"),
        pytest.param(0.02, 4_999, 1_792, id="the tighter of both: money"),
    ],
)
def test_a_bound_is_lowered_until_it_fits(usd: float | None, tokens: int | None, bound: int | None) -> None:
    assert fitting_bound(CALL, None if usd is None else round(usd * NANO), tokens) == bound


@pytest.mark.parametrize(
    ("price", "left", "bound"),
    [
        pytest.param(FREE, 0, 4_000, id="what is free fits nothing left"),
        pytest.param(FREE, -1, 4_000, id="and even less"),
        pytest.param(None, 10**18, None, id="an unknown price fits no limit"),
        pytest.param(Price(input=2, output=0), 2_000_000, 4_000, id="a free answer is not lowered"),
        pytest.param(Price(input=2, output=0), 1_999_999, None, id="but its input is paid"),
    ],
)
def test_prices_of_nothing_and_unknown_ones(price: Price | None, left: int, bound: int | None) -> None:
    assert fitting_bound(replace(CALL, price=price), left, None) == bound


@pytest.mark.parametrize(
    ("price", "limit", "taken", "scope", "why"),
    [
        pytest.param(
            CALL.price, limits(usd=0.05), Amount(46_000_000, 0), "run",
            "even a short answer could cost 0.012 USD, 0.004 of the run's 0.05 USD are left", id="money",
        ),
        pytest.param(
            CALL.price, limits(usd=0.05), Amount(60_000_000, 0), "run",
            "even a short answer could cost 0.012 USD, 0 of the run's 0.05 USD are left", id="overspent",
        ),
        pytest.param(
            CALL.price, limits(tokens=5_000), Amount(0, 3_500), "run",
            "even a short answer could take 2000 tokens, 1500 of the run's 5000 tokens are left", id="tokens",
        ),
        pytest.param(
            CALL.price, limits(usd=1, tokens=5_000), Amount(0, 6_000), "run",
            "even a short answer could take 2000 tokens, 0 of the run's 5000 tokens are left",
            id="tokens, though money is left",
        ),
        pytest.param(
            None, limits(usd=1), NOTHING, "model",
            "the price of the model is not known, so it cannot be kept within the run's 1 USD", id="unknown price",
        ),
    ],
)  # fmt: skip
def test_a_run_refuses_with_what_is_left_and_what_the_call_could_cost(
    price: Price | None, limit: Limits, taken: Amount, scope: str, why: str
) -> None:
    assert grant_in_run(replace(CALL, price=price), limit, taken) == Refusal(why=why, scope=scope)  # type: ignore[arg-type]  # a table of texts


def test_a_day_refuses_with_what_is_left_and_what_the_call_could_cost() -> None:
    refused = grant_in_day(CALL, 5, 4_999_999_999)
    assert refused == Refusal(
        why="even a short answer could cost 0.012 USD, 0.000000001 of today's 5 USD of this openai key "
        "(YMERA_DAILY_USD, UTC) are left",
        scope="day",
    )
    unknown = grant_in_day(replace(CALL, price=None), 5, 0)
    assert isinstance(unknown, Refusal)
    assert unknown.scope == "model", "other models of the provider may have a price"


def test_a_run_without_a_limit_in_usd_takes_models_of_any_price() -> None:
    assert grant_in_run(replace(CALL, price=None), limits(tokens=5_000), NOTHING) == Grant(
        output_tokens=4_000
    )


@pytest.mark.parametrize(
    ("daily", "limit"), [(None, None), (5.0, 5.0), (0.0, 0.0), ({"openai": 2.0}, 2.0), ({"groq": 2.0}, None)]
)
def test_a_daily_limit_counts_for_all_or_for_those_that_are_named(
    daily: float | dict[str, float] | None, limit: float | None
) -> None:
    assert daily_limit(daily, "openai") == limit


@pytest.mark.parametrize(
    ("real", "kept"),
    [
        pytest.param(usage(10, 20, 0.001), Amount(1_000_000, 30), id="what it cost"),
        pytest.param(usage(10, 20, 9.0), Amount(9 * NANO, 30), id="what it cost, though it is more"),
        pytest.param(usage(), NOTHING, id="nothing, where no call was made"),
        pytest.param(
            usage(10, 20, 0.001, unpriced=1), Amount(42_000_000, 30), id="unknown cost: the reserved one"
        ),
        pytest.param(
            usage(unpriced=1), Amount(42_000_000, 5_000), id="nothing counted: all that was reserved"
        ),
        pytest.param(usage(-9, -9, -1.0), NOTHING, id="less than nothing is nothing"),
    ],
)
def test_a_reservation_gives_way_to_what_the_call_took(real: Usage, kept: Amount) -> None:
    assert settled(worst_case(CALL, 4_000), real) == kept


def test_a_run_has_used_what_its_state_knows_and_what_is_held_beside() -> None:
    spent = {"a": usage(1, 1, 0.002), "b": usage(unpriced=1)}
    held = {"a": Amount(1_000_000, 9), "b": Amount(5_000_000, 5), "c": Amount(7_000_000, 7)}
    assert used_by_run(spent, held) == Amount(14_000_000, 21)


PRICES = st.builds(
    Price,
    input=st.integers(0, 10**8).map(lambda n: n / 10**6),
    output=st.integers(0, 10**8).map(lambda n: n / 10**6),
)
TOKENS = st.integers(0, 200_000)


@st.composite
def asks(draw: st.DrawFn, prices: st.SearchStrategy[Price | None] = PRICES) -> Ask:
    wanted = draw(st.integers(1, 130_000))
    least = draw(st.integers(1, wanted))
    price, read = draw(prices), draw(TOKENS)
    return replace(CALL, price=price, input_tokens=read, output_tokens=wanted, least_tokens=least)


LEFT_NANO = st.none() | st.integers(-(10**9), 30 * 10**9)
LEFT_TOKENS = st.none() | st.integers(-1_000, 400_000)


@given(asks(), LEFT_NANO, LEFT_TOKENS)
def test_a_granted_bound_fits_and_is_refused_only_where_the_least_does_not(
    ask: Ask, nano: int | None, tokens: int | None
) -> None:
    bound = fitting_bound(ask, nano, tokens)
    worst = worst_case(ask, ask.least_tokens if bound is None else bound)
    fits = (is_free(ask.price) or nano is None or worst.nano_usd <= nano) and (
        tokens is None or worst.tokens <= tokens
    )
    assert fits is (bound is not None)
    if bound is not None:
        assert ask.least_tokens <= bound <= ask.output_tokens
        assert bound in (ask.least_tokens, ask.output_tokens) or bound % STEP == 0


@given(asks(), st.integers(-(10**9), 30 * 10**9), st.integers(0, 400_000), st.integers(0, 10**9))
def test_more_left_never_grants_less(ask: Ask, nano: int, tokens: int, more: int) -> None:
    little = fitting_bound(ask, nano, tokens) or 0
    assert (fitting_bound(ask, nano + more, tokens) or 0) >= little
    assert (fitting_bound(ask, nano, tokens + more) or 0) >= little
    assert (fitting_bound(ask, None, tokens) or 0) >= little


@given(asks(), PRICES, st.integers(-(10**9), 30 * 10**9))
def test_a_dearer_price_never_grants_more(ask: Ask, more: Price, nano: int) -> None:
    assert ask.price
    dearer = Price(input=ask.price.input + more.input, output=ask.price.output + more.output)
    assert (fitting_bound(replace(ask, price=dearer), nano, None) or 0) <= (
        fitting_bound(ask, nano, None) or 0
    )


@given(asks(), st.data())
def test_a_call_within_its_bound_never_costs_more_than_was_reserved(ask: Ask, data: st.DataObject) -> None:
    assert ask.price
    read, written = data.draw(st.integers(0, ask.input_tokens)), data.draw(st.integers(0, ask.output_tokens))
    cost = (read * ask.price.input + written * ask.price.output) / 1e6  # as nodes/prices.py has it, a float
    took, reserved = used(usage(read, written, cost)), worst_case(ask, ask.output_tokens)
    assert took.nano_usd <= reserved.nano_usd
    assert took.tokens <= reserved.tokens
    assert took.nano_usd / NANO == pytest.approx(cost, abs=1e-9)


class Runs(RuleBasedStateMachine):
    """Calls of one run and one key, reserved and settled in any order, at any cost up to their worst case."""

    USD, TOKENS = 2.0, 300_000

    def __init__(self) -> None:
        super().__init__()
        self.reserved: dict[str, tuple[Ask, Amount]] = {}
        self.paid: dict[str, Amount] = {}
        self.made = 0

    @property
    def taken(self) -> Amount:
        return used_by_run({}, self.paid | {name: amount for name, (_, amount) in self.reserved.items()})

    @rule(ask=asks())
    def reserve(self, ask: Ask) -> None:
        in_run = grant_in_run(ask, limits(self.USD, self.TOKENS), self.taken)
        in_day = grant_in_day(ask, self.USD, self.taken.nano_usd)
        if isinstance(in_run, Refusal):
            return
        assert isinstance(in_day, Grant)
        assert ask.least_tokens <= in_run.output_tokens <= in_day.output_tokens <= ask.output_tokens
        self.made += 1
        granted = replace(ask, output_tokens=in_run.output_tokens)
        self.reserved[str(self.made)] = (granted, worst_case(granted, granted.output_tokens))

    @precondition(lambda self: self.reserved)
    @rule(data=st.data(), share=st.floats(0, 1), unpriced=st.integers(0, 1))
    def settle(self, data: st.DataObject, share: float, unpriced: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.reserved)))
        ask, amount = self.reserved.pop(name)
        assert ask.price
        read, written = int(share * ask.input_tokens), int(share * ask.output_tokens)
        cost = (read * ask.price.input + written * ask.price.output) / 1e6
        before = self.taken + amount
        self.paid[name] = settled(amount, usage(read, written, cost, unpriced))
        assert self.taken.nano_usd <= before.nano_usd
        assert self.taken.tokens <= before.tokens

    @invariant()
    def nothing_is_overspent(self) -> None:
        assert self.taken.nano_usd <= self.USD * NANO
        assert self.taken.tokens <= self.TOKENS


test_a_run_never_overspends_whatever_the_order_of_reserve_and_settle = Runs.TestCase
