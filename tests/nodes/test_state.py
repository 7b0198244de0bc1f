"""How what parallel phases write comes together, and what a caller may set for a run."""

from __future__ import annotations

from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.channels import DeltaChannel
from langgraph.types import Overwrite
from pydantic import TypeAdapter, ValidationError

from ymera.nodes.state import (
    NO_USAGE,
    RunContext,
    RunInput,
    RunOutput,
    State,
    add_usage,
    merge_all,
    newest,
    sum_usage,
    view,
)
from ymera.routing.attempts import Usage

COUNTS = st.integers(0, 10**9)
USAGES = st.builds(
    Usage,
    input_tokens=COUNTS,
    output_tokens=COUNTS,
    cached_tokens=COUNTS,
    reasoning_tokens=COUNTS,
    cost_usd=st.integers(0, 2**20).map(lambda n: n / 1024),  # sums of these are exact
    unpriced=COUNTS,
    estimated=COUNTS,
)


@given(USAGES, USAGES, USAGES)
def test_usages_may_be_added_in_any_order_and_grouping(a: Usage, b: Usage, c: Usage) -> None:
    assert add_usage(a, b) == add_usage(b, a)
    assert add_usage(add_usage(a, b), c) == add_usage(a, add_usage(b, c))
    assert add_usage(a, NO_USAGE) == a


@given(st.lists(st.floats(0, 100), min_size=1, max_size=8), st.randoms())
def test_costs_added_in_any_order_differ_by_less_than_a_millionth(costs: list[float], random: Any) -> None:
    def total(values: list[float]) -> float:
        usage = NO_USAGE
        for value in values:
            usage = add_usage(usage, Usage({**NO_USAGE, "cost_usd": value}))
        return usage["cost_usd"]

    mixed = list(costs)
    random.shuffle(mixed)
    assert total(costs) == pytest.approx(total(mixed), abs=1e-6)


@given(USAGES)
def test_a_channel_that_is_still_empty_counts_as_nothing(usage: Usage) -> None:
    empty: Any = {}
    assert sum_usage(None, usage) == sum_usage(usage, None) == sum_usage(empty, usage) == usage
    assert sum_usage(None, None) == NO_USAGE


WRITES = st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(), max_size=3), max_size=6)


@given(st.dictionaries(st.sampled_from("abcd"), st.integers()), WRITES, WRITES)
def test_merging_does_not_depend_on_how_writes_are_batched(
    state: dict[str, int], one: list[dict[str, int]], other: list[dict[str, int]]
) -> None:
    before = dict(state)
    assert merge_all(merge_all(state, one), other) == merge_all(state, one + other)
    assert merge_all(state, []) == state == before


@given(st.dictionaries(st.sampled_from("abcd"), st.integers()), st.permutations("abcd"))
def test_phases_that_write_their_own_keys_may_finish_in_any_order(
    state: dict[str, int], order: list[str]
) -> None:
    writes = [{key: ord(key)} for key in order]
    assert merge_all(state, writes) == merge_all(state, sorted(writes, key=str))


@given(st.text(), st.lists(st.text()), st.lists(st.text()))
def test_the_newest_write_wins_however_writes_are_batched(
    state: str, one: list[str], other: list[str]
) -> None:
    assert newest(newest(state, one), other) == newest(state, one + other)
    assert newest(state, []) == state


@given(st.lists(st.one_of(WRITES.filter(bool), st.just([Overwrite({"x": 1})])), max_size=5))
def test_langgraphs_replay_of_all_writes_gives_what_was_there_step_by_step(steps: list[list[Any]]) -> None:
    live, replayed = (DeltaChannel(merge_all, dict).from_checkpoint(None) for _ in range(2))
    for writes in steps:
        live.update(writes)
    replayed.replay_writes([("task", "phase_outputs", write) for writes in steps for write in writes])
    assert live.get() == replayed.get()


def test_the_view_of_a_state_has_defaults_for_what_was_not_written() -> None:
    plan: Any = {"phases": []}
    assert view(State(plan=plan)) == {
        "plan": plan,
        "attempts": [],
        "verdicts": {},
        "usage": NO_USAGE,
        "approvals": [],
        "reopened": {},
        "detours": [],
    }


@pytest.mark.parametrize("words", [RunInput, State, RunOutput], ids=lambda words: words.__name__)
def test_every_word_of_the_state_has_a_type_that_can_be_resolved_and_described(words: Any) -> None:
    assert get_type_hints(words, include_extras=True)
    assert TypeAdapter(words).json_schema()["properties"]


def test_a_run_that_sets_nothing_follows_the_settings_of_the_process() -> None:
    context = RunContext()
    assert context.attempts == 4
    assert context.temperature == 0
    rest = context.model_dump(exclude={"attempts", "temperature"})
    assert all(value in (None, [], False) for value in rest.values())


@pytest.mark.parametrize(
    "wrong",
    [
        {"strategy": "best"},
        {"attempts": 0},
        {"attempts": 21},
        {"phase_timeout": 0},
        {"phase_timeout": 3601},
        {"budget_usd": -0.01},
        {"budget_usd": float("nan")},
        {"budget_tokens": 0},
        {"budget_seconds": 0},
        {"temperature": 2.1},
        {"temperature": -1},
        {"providers": "groq"},
        {"budget": 1},
        {"plan": {}},
        {"_plan": {}},
    ],
    ids=str,
)
def test_a_wrong_setting_of_a_run_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        RunContext(**wrong)


def test_the_settings_of_a_run_cannot_change_while_it_runs() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(RunContext(), "attempts", 5)  # noqa: B010 - mypy would refuse the plain assignment, as it should
