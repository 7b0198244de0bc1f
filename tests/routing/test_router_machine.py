"""A state machine over the pure router: several runs on one clock, everything that can fail failing at random.

Every invariant is worked out here from the attempts alone, by rules that stand in the issue and not in flow.py.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar, get_args

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ymera.routing import flow
from ymera.routing.attempts import Attempt, Decision, RunView
from ymera.routing.faults import TABLE, FaultKind
from ymera.routing.layout import Layout
from ymera.routing.matcher import Wishes
from ymera.routing.records import Candidate
from ymera.routing.ways import BACK

from .router_walk import CATALOGUE, PROVIDERS, Call, Lane, Outcome, Process, Run

PHASES = tuple(CATALOGUE.phases)
KINDS = st.sampled_from([kind for kind in get_args(FaultKind) if kind != "cancelled"])
MOST_RUNS = 6
MOST_VISITS = 2_000
"""More than all visits that the runs of a machine can still need."""


Value = TypeVar("Value")


def seldom(values: st.SearchStrategy[Value]) -> st.SearchStrategy[Value | None]:
    """Draw a value in one of six cases."""
    return st.integers(0, 5).flatmap(lambda n: values if n == 5 else st.none())


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Phases with the generation among them, some of them side by side."""
    chosen = draw(st.one_of(st.just(set(PHASES)), st.sets(st.sampled_from(PHASES)))) | {"generation"}
    groups: list[list[str]] = []
    for phase in PHASES:
        if phase in chosen:
            beside = bool(groups) and len(groups[-1]) < 3 and draw(st.booleans())
            groups = [*groups[:-1], [*groups[-1], phase]] if beside else [*groups, [phase]]
    return tuple(tuple(group) for group in groups)


WISHES = st.builds(
    Wishes,
    strategy=st.sampled_from(["multi_model", "single_model"]),
    model=st.sampled_from([None, None, None, "large"]),
    providers=st.sets(st.sampled_from(PROVIDERS)).map(lambda names: tuple(sorted(names))),
    attempts=st.integers(1, 5),
    usd=st.sampled_from([None, None, 0.5, 1.0]),
    tokens=st.sampled_from([None, None, 16, 48]),
    seconds=st.sampled_from([None, None, 10.0, 100.0]),
    phase_seconds=st.sampled_from([5.0, 30.0, 300.0]),
    rounds=st.sampled_from([0, 1, 3]),
    thrift=st.sampled_from([0.0, 0.2, 1.0]),
)
OUTCOMES = st.builds(
    Outcome,
    kind=st.one_of(st.none(), st.none(), KINDS),
    asked=st.sampled_from([None, None, 0.0, 2.0, 45.0]),
    shrinkable=st.booleans(),
    chance=st.floats(0, 1),
    decision=st.sampled_from(get_args(Decision)),
    whole_key=st.booleans(),
    fails_a_check=st.booleans(),
)


@dataclass(frozen=True, kw_only=True)
class Move:
    """What happens next.

    Args:
        pick: which lane goes on: where nothing is under way a call begins, else one ends.
        seconds: how much time goes by before.
        outcome: how the call ends, if one does.
        hedge: another model is started beside the call under way, if there is one.
        new_key: the provider whose key changes.
        run: a run that begins.
    """

    pick: int
    seconds: float
    outcome: Outcome
    hedge: bool
    new_key: str | None
    run: tuple[Layout, Wishes] | None


RUNS = st.tuples(layouts(), WISHES)
MOVES = st.builds(
    Move,
    pick=st.integers(0, 11),
    seconds=seldom(st.sampled_from([0.25, 1.0, 4.0, 15.0, 60.0, 1_000.0])).map(lambda some: some or 0.0),
    outcome=OUTCOMES,
    hedge=seldom(st.just(True)).map(bool),
    new_key=seldom(st.sampled_from(PROVIDERS)),
    run=seldom(RUNS),
)


class Router(RuleBasedStateMachine):
    """One rule alone: a machine leaves some of its rules out by chance, and here none may be missing."""

    def __init__(self) -> None:
        super().__init__()
        self.process = Process()

    # --- what happens -------------------------------------------------------------------------------------

    @initialize(runs=st.lists(RUNS, min_size=1, max_size=3))
    def begin(self, runs: list[tuple[Layout, Wishes]]) -> None:
        for layout, wishes in runs:
            self._start(layout, wishes)

    @rule(moves=st.lists(MOVES, min_size=1, max_size=10), order=st.randoms(use_true_random=False))
    def go_on(self, moves: list[Move], order: random.Random) -> None:
        for move in moves:
            self.process.now += move.seconds
            if move.new_key:
                self.process.keys[move.new_key] += 1
            if move.run and len(self.process.runs) < MOST_RUNS:
                self._start(*move.run)
            if lanes := self.open():
                run, lane = lanes[move.pick % len(lanes)]
                if move.hedge:
                    self._hedge(run, lane)
                call = lane.calls[move.pick % len(lane.calls)] if lane.calls else None
                self._go_on(run, lane, call, move.outcome, order)

    # --- what must hold -----------------------------------------------------------------------------------

    @invariant()
    def the_order_in_which_attempts_are_written_decides_nothing(self) -> None:
        for run in self.process.runs:
            forth, back = run.view(), run.view()
            back["attempts"] = back["attempts"][::-1]
            assert _decisions(forth) == _decisions(back)

    @invariant()
    def a_critical_phase_without_an_answer_is_no_success(self) -> None:
        for run in self.process.runs:
            view = run.view()
            critical = [p["phase"] for p in run.plan["phases"] if p["critical"]]
            if not all(flow.answer_of(view, phase) for phase in critical):
                assert flow.status(view) != "succeeded"

    def teardown(self) -> None:
        """Every run ends, whatever comes: here everything fails from now on."""
        visits, order = 0, random.Random(0)
        while lanes := self.open():
            run, lane = lanes[0]
            visits += 1
            assert visits < MOST_VISITS
            failed = Outcome(kind=("server_error", "schema_not_met", "empty")[visits % 3])
            self._go_on(run, lane, lane.calls[0] if lane.calls else None, failed, order)
        assert all(run.end for run in self.process.runs)

    # --- how it is done -----------------------------------------------------------------------------------

    def open(self) -> list[tuple[Run, Lane]]:
        """Return the lanes that are not over, with their runs."""
        lanes = [(run, lane) for run in self.process.runs if not run.end for lane in run.lanes]
        return [(run, lane) for run, lane in lanes if lane.step is None]

    def _start(self, layout: Layout, wishes: Wishes) -> None:
        run = self.process.start(layout, wishes)
        if run and run.end:
            check_end(run)

    def _hedge(self, run: Run, lane: Lane) -> None:
        alone = len(lane.calls) == 1 and not lane.held and lane.calls[0].again is None
        if alone and (call := self.process.hedge(run, lane)) is not None:
            check_call(run, lane, call)

    def _go_on(self, run: Run, lane: Lane, call: Call | None, outcome: Outcome, order: random.Random) -> None:
        if call is not None:
            self.process.finish(run, lane, call, outcome)
            check_phase(run, lane)
        elif (begun := self.process.visit(run, lane)) is not None:
            check_call(run, lane, begun)
        else:
            assert lane.step not in ("retry", "fallback"), "the phase would be visited for ever"
            check_left(run, lane)
        run.go_on(order)
        if run.end:
            check_end(run)


# --- the rules, worked out from the attempts ------------------------------------------------------------------


def _tried(made: list[Attempt]) -> set[str]:
    return {flow.key_of(attempt) for attempt in made}


def _ruled_out(attempts: list[Attempt]) -> set[str]:
    faults = [(a["provider"], a["fault"]) for a in attempts if a["fault"]]
    return {name for name, fault in faults if fault["then"] == "drop_provider" and "retry" not in fault}


def _untried(run: Run, lane: Lane) -> list[Candidate]:
    """Return the candidates whose first turn may come, by the plan, the run's limit and the providers ruled out."""
    plan = next(plan for plan in run.plan["phases"] if plan["phase"] == lane.phase)
    candidates = [plan["primary_model"], *plan["fallback_models"]] if plan["primary_model"] else []
    out, tried = _ruled_out([*run.attempts, *lane.made]), _tried(lane.made)
    candidates = candidates[: run.wishes.attempts]  # one more may be named, to escalate to
    left = [c for c in candidates if c and c["provider"] not in out and flow.key_of(c) not in tried]
    return left if len(tried) < run.wishes.attempts else []


def check_call(run: Run, lane: Lane, call: Call) -> None:
    """A call is made only by whom the user allows, in its turn, and in time."""
    name = flow.key_of(call.candidate)
    assert not run.wishes.providers or call.candidate["provider"] in run.wishes.providers
    assert run.wishes.model in (None, call.candidate["model"])
    assert lane.phase not in call.model.never_for
    assert call.left > 0
    assert not any(a["ok"] or (a["fault"] and a["fault"]["then"] == "stop") for a in lane.made)
    if call.again:
        last = lane.made[-1]
        assert last["fault"]
        assert flow.key_of(last) == name
        assert last["fault"]["retry"]["again"] == call.again
        assert call.not_before - call.began < call.left
        return
    left = [flow.key_of(c) for c in _untried(run, lane)]
    assert name in left
    assert name not in call.avoided or call.avoided.issuperset(left), "another one was not cooling down"
    shaky = {a["provider"] for a in lane.made if a["fault"] and a["fault"]["then"] == "elsewhere"}
    under_way = {flow.key_of(other.candidate) for other in lane.calls}
    for other in left[: left.index(name)]:
        aside = other in call.avoided | under_way or other.partition(":")[0] in shaky
        assert aside, "it was passed over"


def check_left(run: Run, lane: Lane) -> None:
    """A phase is left without an answer only where nobody may try: the last candidate is never skipped."""
    view = run.view(lane)
    over = flow.passed_by(view, lane.phase) or flow.stopped_by_budget(view)
    assert over or flow.answer_of(view, lane.phase) or _nobody_left(run, _whole(run, lane))


def _whole(run: Run, lane: Lane) -> Lane:
    """Return a lane with what counts of earlier visits: a phase beside one that is made again keeps what it has."""
    made = sorted((a for a in run.attempts if a["phase"] == lane.phase), key=lambda a: a["number"])
    opened = max((d["opens"].get(lane.phase, 0) for d in [*run.detours, *lane.detours]), default=0)
    return Lane(phase=lane.phase, made=[*made, *lane.before, *lane.made][opened:])


def _nobody_left(run: Run, lane: Lane) -> bool:
    stopped = any(a["fault"] and a["fault"]["then"] == "stop" for a in lane.made)
    late = flow.busy_seconds(lane.made) >= run.wishes.phase_seconds
    return stopped or late or not _untried(run, lane)


def check_phase(run: Run, lane: Lane) -> None:
    """No model is tried more often than its faults allow, and all of them within the phase's time."""
    made = lane.made
    assert [a["number"] for a in made] == list(
        range(made[0]["number"], made[0]["number"] + len(made)) if made else ()
    )
    assert len(_tried(made)) <= run.wishes.attempts
    for name in _tried(made):
        own = [a for a in made if flow.key_of(a) == name]
        for tries, (before, after) in enumerate(pairwise(own), 1):
            assert before["fault"]
            retry = TABLE.kinds[before["fault"]["kind"]].retry  # type: ignore[index]
            assert retry
            assert tries <= retry.times
            assert after["again"] == retry.again
            assert after["started_at"] >= before["started_at"] + before["seconds"]
    for before, after in pairwise(made):
        promised = before["fault"] is not None and "retry" in before["fault"]
        assert promised == ("again" in after), "what a fault promises is done"
    assert flow.busy_seconds(made) <= run.wishes.phase_seconds + 1e-6


def _decisions(view: RunView) -> list[object]:
    """Return all that is decided; of what is said only how it begins: causes stand in the order of the attempts."""
    phases = [plan["phase"] for plan in view["plan"]["phases"]]
    steps = [(flow.outcome(view, phase), flow.next_turn(view, phase)) for phase in phases]
    said = [flow.failure(view), *[flow.skip_reason(view, phase) or "" for phase in phases]]
    common = (flow.status(view), flow.dropped_providers(view), flow.joined(view, tuple(phases)))
    return [*common, *steps, *[text.partition(":")[0] for text in said]]


def check_end(run: Run) -> None:
    """The edge by which a run ends, its status, and what is said of its phases agree."""
    view = run.view()
    status, failure = flow.status(view), flow.failure(view)
    answered = [p["phase"] for p in run.plan["phases"] if flow.answer_of(view, p["phase"])]
    critical = [p for p in run.plan["phases"] if p["critical"]]
    unanswered = [p for p in critical if p["phase"] not in answered]
    if status == "no_model":
        assert run.end == "failed"
        assert any(f"no usable model for {p['phase']}" in failure for p in unanswered)
        return
    back = [d for d in view["detours"] if d["way"] in BACK]
    assert len(back) <= run.wishes.rounds
    if run.end in ("next", "enough"):
        assert status == "succeeded"
        assert not unanswered
    if run.end == "failed":
        assert status in ("failed", "budget")
        assert unanswered
    if run.end == "budget":
        assert flow.stopped_by_budget(view)
        assert status == ("succeeded" if _is_whole(run) else "budget")
    if status == "failed":
        tried = [a for a in run.attempts if a["phase"] == unanswered[0]["phase"]]
        assert failure.startswith("All phases failed" if not answered else "The run stopped")
        assert all(f"{flow.key_of(a)}: {a['fault']['kind']}" in failure for a in tried if a["fault"])
    for plan in run.plan["phases"]:
        reason = flow.skip_reason(view, plan["phase"])
        assert (reason is None) == (plan["phase"] in answered)
        assert reason is None or reason == "not reached" or len(reason) > len("skipped: ")
        assert reason != "not reached" or run.end != "next"


def _is_whole(run: Run) -> bool:
    """Say whether nothing is left to be done: each phase was answered, passed by, or given up for no want of money."""
    for phase in (plan["phase"] for plan in run.plan["phases"]):
        made = flow.attempts_of(run.view(), phase)
        if any(a["ok"] for a in made) or (not made and _left_out(run, phase)) or _stays(run, phase, made):
            continue
        dear = any(a["fault"] and a["fault"]["kind"] == "over_budget" for a in made)
        if CATALOGUE.phases[phase].critical or dear or not _nobody_left(run, Lane(phase=phase, made=made)):
            return False
    return True


def _stays(run: Run, phase: str, made: list[Attempt]) -> bool:
    """Say whether a phase that was to be made again keeps its earlier answer, since nobody is left for another."""
    answered = any(a["ok"] for a in run.attempts if a["phase"] == phase)
    return answered and _nobody_left(run, Lane(phase=phase, made=made))


def _left_out(run: Run, phase: str) -> bool:
    """Say whether a phase is needless: a detour leads past it, or the result was accepted before it."""
    of_it = [d for d in run.detours if phase in (d["to"], *d["opens"], *d["leaps"])]
    if of_it and phase in of_it[-1]["leaps"]:
        return True
    since = [a for a in run.attempts if a["phase"] == phase]
    led_to = bool(of_it) and of_it[-1]["to"] == phase and len(since) == of_it[-1]["made"]
    return not led_to and _accepted_before(run, phase)


def _accepted_before(run: Run, phase: str) -> bool:
    """Say whether a phase is needless: the verdict before it, in the order of the phases, accepts."""
    given = [run.verdicts[name] for name in PHASES[: PHASES.index(phase)] if name in run.verdicts]
    return phase == "refinement" and bool(given) and given[-1]["decision"] == "accept"


Router.TestCase.settings = settings(max_examples=100, stateful_step_count=12, deadline=None)
TestRouter = Router.TestCase
