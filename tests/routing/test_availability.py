"""Cooldowns: the rules as a table on a clock of its own, and what must hold whatever happens."""

from __future__ import annotations

import json
from dataclasses import replace
from math import inf
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ymera.routing import availability
from ymera.routing.availability import (
    LONGEST_ASKED,
    Cooldown,
    Cooldowns,
    after_call,
    after_failure,
    before_call,
    changed,
    circuits,
    from_json,
    to_json,
    why_avoided,
)
from ymera.routing.faults import CooldownProfile, FaultKind, kind_profile
from ymera.routing.records import ModelProfile

KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
COOLING = [kind for kind in KINDS if kind_profile(kind).cooldown]
SILENT = [kind for kind in KINDS if not kind_profile(kind).cooldown]


def model(name: str, provider: str = "acme") -> ModelProfile:
    return ModelProfile(
        name=name, provider=provider, model_id=name, scores={}, context_tokens=1, max_output_tokens=1
    )


ONE, OTHER, ELSEWHERE = model("one"), model("other"), model("one", "elsewhere")


class World:
    """What is known, on a clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.known: Cooldowns = {}

    def why(self, of: ModelProfile = ONE, key: str = "k") -> str | None:
        return why_avoided(self.known, circuits(of, key), now=self.now)

    def begin(self, of: ModelProfile = ONE, key: str = "k", seconds: float = 30) -> bool:
        changes = before_call(self.known, circuits(of, key), now=self.now, seconds=seconds)
        self.known = changed(self.known, changes or {})
        return changes is not None

    def end(
        self,
        kind: FaultKind | None,
        of: ModelProfile = ONE,
        key: str = "k",
        asked: float | None = None,
    ) -> None:
        changes = after_call(self.known, circuits(of, key), kind=kind, now=self.now, asked=asked)
        self.known = changed(self.known, changes)

    def fail(self, *kinds: FaultKind) -> None:
        for kind in kinds:
            self.end(kind)

    def free_after(self, of: ModelProfile = ONE, key: str = "k") -> float:
        """Return the seconds for which the model is left alone from now."""
        passed = [self.known[name] for name in circuits(of, key) if name in self.known]
        return max([0.0, *(cooldown.until - self.now for cooldown in passed)])


@pytest.fixture
def world() -> World:
    return World()


# --- the rules -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", COOLING)
def test_a_circuit_opens_after_as_many_failures_as_its_kind_says_and_for_as_long(
    world: World, kind: FaultKind
) -> None:
    profile = kind_profile(kind).cooldown
    assert profile is not None
    for _ in range(profile.after - 1):
        world.end(kind)
        assert world.why() is None
    world.end(kind)
    assert world.why()
    assert world.free_after() == profile.seconds
    assert bool(world.why(OTHER)) == (profile.of == "provider")
    assert world.why(ELSEWHERE) is None


@pytest.mark.parametrize("kind", SILENT)
def test_a_failure_that_tells_nothing_changes_nothing(world: World, kind: FaultKind) -> None:
    for _ in range(5):
        world.end(kind, asked=60)
    assert world.known == {}
    world.fail("server_error", "server_error")
    before = world.known
    world.end(kind, asked=600)
    assert world.known == before
    assert after_failure(None, kind, now=world.now) is None


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [
        ([("rate_limited", 30.0)], 30),
        ([("rate_limited", 2.0)], 2),
        ([("rate_limited", None)], 0),
        ([("rate_limited", 0.0)], 0),
        ([("rate_limited", -5.0)], 0),
        ([("rate_limited", 86_400.0)], LONGEST_ASKED),
        ([("rate_limited", 30.0), ("rate_limited", 5.0)], 30),
        ([("rate_limited", 2.0), ("rate_limited", 2.0)], 10),
        ([("server_error", None), ("timed_out", None)], 10),
        ([("server_error", None), ("bug", None)], 60),
        ([("bug", None), ("bug", None), ("server_error", None)], 60),
        ([("quota_spent", 20.0)], 900),
        ([("quota_spent", None), ("unreachable", None)], 900),
        ([("authentication", 5.0)], inf),
        ([("authentication", None), ("unreachable", 5.0)], inf),
        ([("server_error", None), ("unreachable", None)], 0),
    ],
    ids=str,
)
def test_the_longest_of_all_reasons_to_wait_holds(
    world: World, failures: list[tuple[FaultKind, float | None]], seconds: float
) -> None:
    for kind, asked in failures:
        world.end(kind, asked=asked)
    assert world.free_after() == seconds


def test_each_probe_that_fails_doubles_the_cooldown_up_to_its_longest(world: World) -> None:
    world.fail("bug", "bug")
    lengths = []
    for _ in range(6):
        lengths.append(world.free_after())
        world.now += lengths[-1]
        assert world.begin()
        world.end("bug")
    assert lengths == [60, 120, 240, 480, 600, 600]


def test_a_probe_that_fails_after_a_wait_that_was_asked_for_begins_with_the_table(world: World) -> None:
    world.end("rate_limited", asked=2)
    world.now += 2
    assert world.begin()
    world.end("rate_limited", asked=2)
    assert world.free_after() == 10


@pytest.mark.parametrize("asked", [0.0, -5.0])
def test_a_provider_that_asks_for_no_wait_is_not_left_alone(world: World, asked: float) -> None:
    world.end("rate_limited", asked=asked)
    assert [world.begin(), world.begin()] == [True, True]


def test_one_probe_that_fails_is_enough_however_many_failures_its_kind_takes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = kind_profile("rate_limited").model_copy(update={"cooldown": CooldownProfile(after=5)})
    monkeypatch.setattr(availability, "kind_profile", lambda kind: patient)
    world.end("rate_limited", asked=2)
    world.now += 2
    assert world.begin()
    world.end("rate_limited")
    assert world.free_after() == 10


def test_calls_that_fail_while_it_is_open_do_not_double_it(world: World) -> None:
    for _ in range(64):
        world.end("server_error")
    assert world.free_after() == 10
    world.now += 4
    world.end("server_error")
    assert world.free_after() == 10


def test_when_its_time_is_over_exactly_one_call_may_find_out(world: World) -> None:
    world.fail("server_error", "server_error")
    world.now += 9.9
    assert not world.begin()
    world.now += 0.1
    assert [world.begin() for _ in range(5)] == [True, False, False, False, False]
    assert world.why() == "another call is finding out whether it is back"


def test_a_probe_of_which_nothing_is_heard_holds_for_a_bounded_time(world: World) -> None:
    world.fail("server_error", "server_error")
    world.now += 10
    assert world.begin(seconds=30)
    world.now += 29.9
    assert not world.begin()
    world.now += 0.1
    assert world.begin(seconds=inf)
    world.now += LONGEST_ASKED
    assert world.begin()


@pytest.mark.parametrize("kind", ["cancelled", "context_too_long", "refused", "over_budget"])
def test_a_probe_that_told_nothing_is_given_back(world: World, kind: FaultKind) -> None:
    world.fail("server_error", "server_error")
    world.now += 10
    assert world.begin()
    world.end(kind)
    assert [world.begin(), world.begin()] == [True, False]


def test_one_success_closes_the_circuits_of_model_and_provider(world: World) -> None:
    world.fail("server_error", "server_error", "unreachable", "unreachable")
    world.end("bug", OTHER)
    world.now += 20
    assert world.begin()
    world.end(None)
    assert set(world.known) == {circuits(OTHER, "k")[1]}
    world.end("server_error")
    assert world.why() is None


def test_a_probe_counts_for_whatever_it_probes(world: World) -> None:
    """A model's probe that does not even reach the provider has failed, and so has a provider's with an error."""
    world.fail("server_error", "server_error", "unreachable", "unreachable")
    world.now += 10
    assert world.begin()
    world.end("server_error")
    assert {c.until - world.now for c in world.known.values()} == {10}
    world.now += 10
    assert world.begin()
    world.end("unreachable")
    assert {c.until - world.now for c in world.known.values()} == {10}


def test_while_a_provider_is_probed_its_other_models_wait(world: World) -> None:
    world.fail("unreachable", "unreachable")
    world.now += 10
    assert world.begin(ONE)
    assert not world.begin(OTHER)
    assert world.begin(ELSEWHERE)


def test_a_refused_key_stays_refused_until_another_takes_its_place(world: World) -> None:
    world.end("authentication", key="old")
    world.now += 10 * 365 * 86_400
    assert not world.begin(key="old")
    assert world.begin(key="new")
    world.end(None, key="new")
    assert not world.begin(OTHER, key="old")
    world.end(None, key="old")
    assert world.begin(key="old")


def test_what_one_key_may_not_do_another_may(world: World) -> None:
    world.end("not_allowed", key="old")
    world.end("quota_spent", ELSEWHERE, key="old")
    assert not world.begin(key="old")
    assert world.begin(OTHER, key="old")
    assert not world.begin(ELSEWHERE, key="old")
    assert world.begin(ELSEWHERE, key="new")


@pytest.mark.parametrize(
    ("failures", "seconds", "said"),
    [
        (
            [("server_error", None)] * 2,
            2,
            "cooling down for 8 s after 2 failures (the provider had an error)",
        ),
        ([("rate_limited", 1.5)], 1, "cooling down for 1 s after a failure (rate limit reached)"),
        (
            [("unreachable", None)] * 3,
            0,
            "acme is cooling down for 10 s after 3 failures (the provider could not be reached)",
        ),
        (
            [("quota_spent", None)],
            0,
            "acme is cooling down for 15 min after a failure (quota or credit spent)",
        ),
        (
            [("quota_spent", None), ("unreachable", None)],
            0,
            "acme is cooling down for 15 min after 2 failures (quota or credit spent)",
        ),
        (
            [("authentication", None), ("unreachable", None)],
            500,
            "the key was not accepted; it is tried again when the key changes",
        ),
        (
            [("not_allowed", None)],
            500,
            "the key may not use this model; it is tried again when the key changes",
        ),
        ([("server_error", None)] * 2, 10, None),
        ([("server_error", None)], 0, None),
        ([], 0, None),
    ],
)
def test_a_person_is_told_why(
    world: World, failures: list[tuple[FaultKind, float | None]], seconds: float, said: str | None
) -> None:
    for kind, asked in failures:
        world.end(kind, asked=asked)
    world.now += seconds
    assert world.why() == said


# --- what must hold --------------------------------------------------------------------------------------

MODELS = st.sampled_from([ONE, OTHER, ELSEWHERE])
KEYS = st.sampled_from(["k", "l"])
ASKED = st.none() | st.floats(-10, 10_000)


class Calls(RuleBasedStateMachine):
    """Calls of several models that begin and end in any order, by callers who hear of one another or do not."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.probes: dict[str, float] = {}

    @rule(of=MODELS, key=KEYS, seconds=st.floats(0.1, 60))
    def begin(self, of: ModelProfile, key: str, seconds: float) -> None:
        world, names = self.world, circuits(of, key)
        half_open = [n for n in names if n in world.known and world.known[n].is_half_open(world.now)]
        why = world.why(of, key)
        assert world.begin(of, key, seconds) == (why is None)
        if why is None:
            assert not any(self.probes.get(name, 0) > world.now for name in names)
            self.probes |= dict.fromkeys(half_open, world.now + seconds)
            assert all(world.why(of, key) for _ in half_open)

    @rule(of=MODELS, key=KEYS, kind=st.sampled_from(KINDS), asked=ASKED)
    def fail(self, of: ModelProfile, key: str, kind: FaultKind, asked: float | None) -> None:
        before = self.world.known
        self.world.end(kind, of, key, asked)
        for name, old in before.items():
            new = self.world.known[name]
            assert new.until >= old.until
            assert new.failures - old.failures in (0, 1)
            if name not in circuits(of, key):
                assert new == old
        self._forget(of, key)

    @rule(of=MODELS, key=KEYS)
    def succeed(self, of: ModelProfile, key: str) -> None:
        before = self.world.known
        self.world.end(None, of, key)
        assert self.world.known == {n: c for n, c in before.items() if n not in circuits(of, key)}
        assert self.world.begin(of, key)
        self._forget(of, key)

    def _forget(self, of: ModelProfile, key: str) -> None:
        for name in circuits(of, key):
            cooldown = self.world.known.get(name)
            if cooldown is None or cooldown.probe_until <= self.world.now:
                self.probes.pop(name, None)

    @rule(seconds=st.floats(0, 100))
    def wait(self, seconds: float) -> None:
        self.world.now += seconds

    @precondition(lambda self: self.world.known)
    @rule()
    def be_stored(self) -> None:
        world = self.world
        stored = {name: from_json(to_json(cooldown)) for name, cooldown in world.known.items()}
        assert stored == world.known

    @invariant()
    def nothing_but_a_refused_key_is_left_alone_for_long(self) -> None:
        finite = [c.until for c in self.world.known.values() if c.until < inf]
        assert all(until <= self.world.now + LONGEST_ASKED for until in finite)


TestCalls = Calls.TestCase


@given(
    kind=st.sampled_from([kind for kind in COOLING if kind not in ("authentication", "not_allowed")]),
    pauses=st.lists(st.floats(0.001, 40), min_size=1, max_size=60),
)
def test_an_outage_costs_few_calls_and_then_one_a_cooldown(kind: FaultKind, pauses: list[float]) -> None:
    world, called = World(), list[float]()
    profile = kind_profile(kind).cooldown
    assert profile is not None
    for pause in pauses:
        world.now += pause
        if world.begin():
            called.append(world.now)
            world.end(kind)
    probes = called[profile.after :]
    gaps = [later - earlier for earlier, later in zip(called[profile.after - 1 :], probes, strict=False)]
    lengths = [min(profile.seconds * 2**n, profile.longest_s) for n in range(len(gaps))]
    assert all(gap >= length * (1 - 1e-9) for gap, length in zip(gaps, lengths, strict=True))


def test_failoverbench_s15_an_outage_of_a_minute_is_over_within_half_a_minute(world: World) -> None:
    """Twenty requests, four seconds apart; the first choice is down for the first minute."""
    start, called = world.now, list[float]()
    for number in range(20):
        world.now = start + 4 * number
        if world.begin():
            called.append(world.now - start)
            world.end("server_error" if called[-1] < 60 else None)
    assert called == [0, 4, 16, 28, 40, 52, 64, 68, 72, 76]


# --- as it is stored -------------------------------------------------------------------------------------


@given(
    st.builds(
        Cooldown,
        kind=st.sampled_from(KINDS),
        failures=st.integers(0, 10**6),
        seconds=st.floats(0, inf),
        until=st.floats(0, inf),
        probe_until=st.floats(0, inf),
    )
)
def test_a_cooldown_comes_back_from_strict_json_as_it_was(cooldown: Cooldown) -> None:
    text = to_json(cooldown)
    assert from_json(text) == cooldown
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "a_kind_of_tomorrow"},
        {"failures": -1},
        {"until": "soon"},
        {"until": -1},
        {"until": float("nan")},
        {"kind": None},
    ],
    ids=str,
)
def test_what_cannot_be_read_is_no_cooldown(change: dict[str, object]) -> None:
    text = to_json(replace(Cooldown(kind="bug"), until=5.0))
    assert from_json(text) is not None
    assert from_json(json.dumps(json.loads(text) | change)) is None


@given(st.text())
def test_any_text_is_a_cooldown_or_none(text: str) -> None:
    assert from_json(text) is None
