"""Which domain a task is taken to be of: one that is open to its agent, told clearly, and of enough tasks; or none."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.domains import LEAST_TASKS, RARE, SURE, PastTask, is_readable, lessons, settled, taken_for
from ymera.routing.matcher import TaskRequest, Wishes, make_strategy
from ymera.routing.records import InDomain
from ymera.routing.world import World

CATALOGUE = builtin_catalogue()
NAMES = ["law", "sums", "coding_agent", RARE]


def tasks(agent: str, domain: str, count: int = LEAST_TASKS) -> list[PastTask]:
    return [PastTask(agent, domain, f"{agent} {domain} {number}") for number in range(count)]


SOME = [
    *tasks("coding_agent", "law"),
    *tasks("coding_agent", "coding_agent"),
    *tasks("coding_agent", "art", LEAST_TASKS - 1),
    *tasks("helper", "sums"),
]


@pytest.mark.parametrize(
    ("agent", "parameters", "among"),
    [
        pytest.param("coding_agent", {}, {"law", "coding_agent"}, id="an agent's own domains"),
        pytest.param("coding", {}, {"law", "coding_agent"}, id="by its short name"),
        pytest.param("database_agent", {}, set(), id="an agent without past tasks"),
        pytest.param("helper", {}, {"law", "coding_agent", "sums"}, id="all, for an agent without a profile"),
        pytest.param("coding_agent", {"domain": "art"}, set(), id="none where the caller names one"),
    ],
)
def test_which_domains_are_open_to_a_task(agent: str, parameters: dict[str, str], among: set[str]) -> None:
    found = lessons(SOME)
    assert found is not None
    request = TaskRequest(agent_name=agent, description="x", parameters=parameters)
    assert found.open_to(request, CATALOGUE) == among


@pytest.mark.parametrize(
    ("past", "names"),
    [
        pytest.param(SOME, {"law", "sums", "coding_agent"}, id="those of enough tasks"),
        pytest.param(tasks("a", "law"), None, id="one domain alone"),
        pytest.param(
            tasks("a", "law") + tasks("a", "sums", 1) * 20, None, id="the same task many times is one"
        ),
        pytest.param([], None, id="nothing"),
    ],
)
def test_what_past_tasks_teach(past: list[PastTask], names: set[str] | None) -> None:
    found = lessons(past)
    assert (set(found.names) if found else None) == names


def test_tasks_of_rare_domains_are_learned_together() -> None:
    found = lessons(SOME)
    assert found is not None
    assert found.domains.count(RARE) == LEAST_TASKS - 1


@pytest.mark.parametrize(
    ("shares", "name", "probability"),
    [
        pytest.param({"law": 0.8, "sums": 0.2}, "law", 0.8, id="clear"),
        pytest.param({"law": 0.6, "sums": 0.4}, None, None, id="not clear"),
        pytest.param(
            {"law": 0.8, "art": 0.1, "music": 0.1}, "law", 1.0, id="what is not open does not count"
        ),
        pytest.param({"law": 0.1, "art": 0.9}, "law", 1.0, id="not even where it is the likeliest"),
        pytest.param({"law": 0.3, "coding_agent": 0.7}, None, None, id="like the agent's other tasks"),
        pytest.param({"law": 0.3, RARE: 0.7}, None, None, id="like tasks of rare domains"),
        pytest.param({}, None, None, id="nothing is known"),
    ],
)
def test_what_a_text_is_taken_to_be_of(
    shares: dict[str, float], name: str | None, probability: float | None
) -> None:
    found = taken_for(shares, {"law", "sums"}, "coding_agent")
    assert (found["name"] if found else None) == name
    if found:
        assert found["probability"] == pytest.approx(probability, abs=1e-3)


@given(
    st.dictionaries(st.sampled_from([*NAMES, "art"]), st.floats(0, 1)), st.sets(st.sampled_from(NAMES[:3]))
)
def test_only_an_open_domain_is_ever_taken_and_only_a_clear_one(
    shares: dict[str, float], among: set[str]
) -> None:
    found = taken_for(shares, among, "coding_agent")
    if found:
        assert found["name"] in among - {"coding_agent", RARE}
        assert is_readable(among, "coding_agent")
        assert SURE <= found["probability"] + 5e-4 <= 1 + 1e-3
        rivals = [share for name, share in shares.items() if name in {*among, "coding_agent", RARE}]
        assert shares[found["name"]] == max(rivals)


@pytest.mark.parametrize(
    ("domain", "parameters", "kept"),
    [
        pytest.param(InDomain(name="law", probability=0.9), {}, "law", id="read"),
        pytest.param(InDomain(name="law", probability=0.9), {"domain": "art"}, "art", id="read, but named"),
        pytest.param(InDomain(name="law"), {}, "coding_agent", id="known, not read"),
        pytest.param(None, {}, "coding_agent", id="nothing"),
    ],
)
def test_a_plan_says_a_domain_that_was_read_and_keeps_it(
    domain: InDomain | None, parameters: dict[str, str], kept: str
) -> None:
    world = World(catalogue=CATALOGUE, unavailable=lambda model: None, today=date(2026, 11, 25))
    request = TaskRequest(
        agent_name="coding_agent", description="Write it", parameters=parameters, domain=domain
    )
    plan = make_strategy(request, Wishes(), world)
    assert settled(plan, parameters)["name"] == kept
    assert ("read in the task's text (0.90 sure)" in plan["reason"]) == ("domain" in plan) == (kept == "law")
