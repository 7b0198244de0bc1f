"""Runs of one process, walked as graph and nodes walk them, along the pure decisions alone, on a clock of our own."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import date

from ymera.nodes.state import NO_USAGE, add_usage
from ymera.routing import flow
from ymera.routing.attempts import Again, Attempt, Decision, Detour, Fault, RunView, Usage, Verdict
from ymera.routing.availability import (
    Changes,
    Cooldowns,
    after_call,
    before_call,
    changed,
    circuits,
    why_avoided,
)
from ymera.routing.catalogue import Catalogue, builtin_catalogue
from ymera.routing.detours import Behind, detour
from ymera.routing.errors import NoUsableModelError
from ymera.routing.faults import FaultKind, kind_profile
from ymera.routing.layout import Layout
from ymera.routing.matcher import TaskRequest, Wishes, make_strategy
from ymera.routing.records import Candidate, ModelProfile, Price, ProviderProfile, Strategy
from ymera.routing.retries import Situation, retry_after_fault
from ymera.routing.world import World

TODAY = date(2026, 11, 25)
BEGINNING = 1_000.0
TOKENS = 16
COST = 0.25
"""Tokens and USD of an answer: sums of them are exact in any order."""
HOLDS = 12.0
"""Seconds for which a probe holds."""

PROVIDERS = ("north", "south", "west")
_SKILLS = ("quality", "code", "reasoning", "accuracy", "planning", "speed")


def _model(provider: str, name: str, score: float) -> ModelProfile:
    return ModelProfile(
        name=name,
        provider=provider,
        model_id=name,
        scores=dict.fromkeys(_SKILLS, score),
        context_tokens=100_000,
        max_output_tokens=8_000,
        price=Price(input=1.0, output=2.0),
        never_for=("validation",) if (provider, name) == ("west", "small") else (),
    )


_MODELS = [_model(p, name, score) for p, high in zip(PROVIDERS, (9, 7, 5), strict=True)
           for name, score in (("large", high), ("small", high - 3))]  # fmt: skip
_BUILTIN = builtin_catalogue()
CATALOGUE = Catalogue(
    providers={
        p: ProviderProfile(name=p, title=p.title(), chat_model="none:None", package="none") for p in PROVIDERS
    },
    models={model.key: model for model in _MODELS},
    agents=_BUILTIN.agents,
    default_agent=_BUILTIN.default_agent,
    phases=_BUILTIN.phases,
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a call ends: with a kind of fault, or None for an answer."""

    kind: FaultKind | None = None
    asked: float | None = None
    shrinkable: bool = False
    chance: float = 0.0
    decision: Decision = "accept"
    whole_key: bool = False
    fails_a_check: bool = False


@dataclass(kw_only=True, eq=False)
class Call:
    """A call under way.

    Args:
        left: seconds that it may take at most.
        avoided: models that had better been left alone when its turn came.
    """

    candidate: Candidate
    number: int
    again: Again | None
    tries: int
    others: bool
    left: float
    began: float
    not_before: float
    mark: str
    avoided: frozenset[str]

    @property
    def model(self) -> ModelProfile:
        return CATALOGUE.models[flow.key_of(self.candidate)]

    @property
    def circuits(self) -> tuple[str, str]:
        return circuits(self.model, self.mark)


@dataclass(kw_only=True, eq=False)
class Lane:
    """A phase on its way: the attempts that it wrote, the calls under way, those of a pair that wait for the other.

    Args:
        before: the attempts that it wrote before it turned to a better model.
    """

    phase: str
    before: list[Attempt] = field(default_factory=list)
    detours: list[Detour] = field(default_factory=list)
    made: list[Attempt] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    held: list[Attempt] = field(default_factory=list)
    verdict: Verdict | None = None
    step: flow.Step | None = None


@dataclass(kw_only=True, eq=False)
class Run:
    """A run: what is written of it, and the lanes of the group that is under way. `end`: the edge that it left by."""

    wishes: Wishes
    plan: Strategy
    layout: Layout
    group: int = -1
    lanes: list[Lane] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    detours: list[Detour] = field(default_factory=list)
    end: flow.Step | None = None

    def view(self, lane: Lane | None = None) -> RunView:
        """Return the run as a lane sees it: what was written before its group, and by itself."""
        attempts = [*self.attempts, *([*lane.before, *lane.made] if lane else ())]
        detours = [*self.detours, *(lane.detours if lane else ())]
        own = {lane.phase: lane.verdict} if lane and lane.verdict else {}
        usage = NO_USAGE
        for attempt in attempts:
            usage = add_usage(usage, attempt["usage"])
        verdicts = self.verdicts | own
        return RunView(plan=self.plan, attempts=attempts, verdicts=verdicts, usage=usage, detours=detours)

    def go_on(self, order: random.Random) -> None:
        """Leave a group whose lanes are over along its edge, their attempts written in any order."""
        while not self.end and all(lane.step for lane in self.lanes):
            written = [attempt for lane in self.lanes for attempt in [*lane.before, *lane.made]]
            order.shuffle(written)
            self.attempts += written
            self.detours += [taken for lane in self.lanes for taken in lane.detours]
            self.verdicts |= {lane.phase: lane.verdict for lane in self.lanes if lane.verdict}
            step = self._edge()
            if step in ("escalate", "again", "mend first"):
                to = self.detours[-1]["to"]
                self.group = next(i for i, group in enumerate(self.layout) if to in group)
            elif step != "next" or self.group + 1 == len(self.layout):
                self.end = step
                return
            else:
                self.group += 1
            self.lanes = [Lane(phase=phase) for phase in self.layout[self.group]]

    def _edge(self) -> flow.Step:
        phases = self.layout[self.group] if self.group >= 0 else ()
        if not phases:
            return "failed" if flow.status(self.view()) == "no_model" else "next"
        return flow.outcome(self.view(), phases[0]) if len(phases) == 1 else flow.joined(self.view(), phases)


@dataclass(kw_only=True, eq=False)
class Process:
    """What runs share: a clock, what is known of failing models, and the keys."""

    now: float = BEGINNING
    known: Cooldowns = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PROVIDERS, 0))
    runs: list[Run] = field(default_factory=list)

    def start(self, layout: Layout, wishes: Wishes) -> Run | None:
        """Plan a run; None where no model may take part in it."""
        phases = [phase for group in layout for phase in group]
        request = TaskRequest(agent_name="coding_agent", description="Write a parser", phases=phases)
        world = World(catalogue=CATALOGUE, unavailable=lambda _: None, cooling=self._cooling, today=TODAY)
        try:
            plan = make_strategy(request, replace(wishes, layout=layout), world)
        except NoUsableModelError:
            return None
        run = Run(wishes=wishes, plan=plan, layout=layout)
        run.go_on(random.Random(0))
        self.runs.append(run)
        return run

    def mark(self, provider: str) -> str:
        return str(self.keys[provider])

    def _cooling(self, model: ModelProfile) -> str | None:
        return why_avoided(self.known, circuits(model, self.mark(model.provider)), now=self.now)

    def avoided(self, candidates: Collection[Candidate]) -> set[str]:
        """Return which of the candidates had better be left alone."""
        return {flow.key_of(c) for c in candidates if self._cooling(CATALOGUE.models[flow.key_of(c)])}

    # --- a visit of a phase's node ------------------------------------------------------------------------

    def visit(self, run: Run, lane: Lane) -> Call | None:
        """Begin the call whose turn it is; with nobody's turn, the edge behind the node says where to go."""
        view, turn = run.view(lane), None
        avoided = self.avoided(flow.untried(view, lane.phase))
        if not (flow.passed_by(view, lane.phase) or flow.stopped_by_budget(view)):
            turn = self._whose_turn(view, lane.phase, avoided)
        if turn is None:
            lane.step = flow.outcome(view, lane.phase)
            return None
        return self._begin(run, lane, turn, avoided)

    def _whose_turn(self, view: RunView, phase: str, avoided: set[str]) -> flow.Turn | None:
        turn = flow.next_turn(view, phase, avoided)
        while turn is not None and turn.again is None and flow.key_of(turn.candidate) not in avoided:
            if self._probe(turn.candidate):
                break
            avoided.add(flow.key_of(turn.candidate))
            turn = flow.next_turn(view, phase, avoided)
        return turn

    def _probe(self, candidate: Candidate) -> bool:
        names = circuits(CATALOGUE.models[flow.key_of(candidate)], self.mark(candidate["provider"]))
        changes = before_call(self.known, names, now=self.now, seconds=HOLDS)
        assert all(self.known[name].probe_until <= self.now for name in changes or {}), (
            "one call probes for all"
        )
        self._learn(changes or {})
        return changes is not None

    def _begin(self, run: Run, lane: Lane, turn: flow.Turn, avoided: set[str], *, gone: float = 0.0) -> Call:
        view = run.view(lane)
        made, name = flow.attempts_of(view, lane.phase), flow.key_of(turn.candidate)
        call = Call(
            candidate=turn.candidate,
            number=len(flow.made_in(view, lane.phase)) + len(lane.calls) + 1,
            again=turn.again,
            tries=sum(flow.key_of(a) == name for a in made) + 1,
            others=any(flow.key_of(c) != name for c in flow.untried(view, lane.phase)),
            left=flow.attempt_seconds(view, lane.phase) - gone,
            began=self.now,
            not_before=turn.not_before,
            mark=self.mark(turn.candidate["provider"]),
            avoided=frozenset(avoided),
        )
        lane.calls.append(call)
        return call

    def hedge(self, run: Run, lane: Lane) -> Call | None:
        """Start another model beside the one under way, where there is one that may be called."""
        [first] = lane.calls
        view = run.view(lane)
        others = [c for c in flow.untried(view, lane.phase) if flow.key_of(c) != flow.key_of(first.candidate)]
        avoided = self.avoided(others)
        ready = [c for c in others if flow.key_of(c) not in avoided]
        in_time = self.now - first.began < first.left
        if not in_time or not ready or not self._probe(ready[0]):
            return None
        return self._begin(run, lane, flow.Turn(ready[0]), avoided, gone=self.now - first.began)

    # --- its end ------------------------------------------------------------------------------------------

    def finish(self, run: Run, lane: Lane, call: Call, outcome: Outcome) -> Attempt:
        """End a call now, or when the phase's time was over; write it down once no other runs beside it."""
        lane.calls.remove(call)
        attempt = self._attempt(lane, call, outcome)
        lane.held.append(attempt)
        if attempt["ok"]:
            lane.held += [self._attempt(lane, loser, Outcome(kind="cancelled")) for loser in lane.calls]
            lane.calls.clear()
            if CATALOGUE.phases[lane.phase].judges:
                lane.verdict = Verdict(decision=outcome.decision, findings=[], checks=[])
        if not lane.calls:
            *beside, last = sorted(lane.held, key=lambda one: one["number"])
            lane.made += [*(_not_again(one) for one in beside), last]
            lane.held.clear()
            self._turn(run, lane, outcome)
            step = flow.outcome(run.view(lane), lane.phase)
            turns = step == "escalate" and lane.detours[-1]["to"] == lane.phase
            lane.step = None if turns or step in ("retry", "fallback") else step
        return attempt

    def _turn(self, run: Run, lane: Lane, outcome: Outcome) -> None:
        """Take the detour that follows from an answer, if one does."""
        makes = CATALOGUE.phases[lane.phase].produces
        failed = ["it compiles: no"] if makes and outcome.fails_a_check else []
        behind = Behind(run=run.view(lane), phase=lane.phase, catalogue=CATALOGUE, failed=failed)
        decided = detour(behind) if any(a["ok"] for a in lane.made) else None
        if decided is None:
            return
        lane.detours.append(decided.detour)
        if decided.plan:
            phases = [decided.plan if p["phase"] == decided.plan["phase"] else p for p in run.plan["phases"]]
            run.plan = Strategy({**run.plan, "phases": phases})
        if decided.detour["to"] == lane.phase:
            lane.before, lane.made = [*lane.before, *lane.made], []

    def _attempt(self, lane: Lane, call: Call, outcome: Outcome) -> Attempt:
        self.now = max(self.now, call.not_before)
        waited = max(0.0, call.not_before - call.began)
        seconds = self.now - call.began - waited
        if waited + seconds >= call.left:
            outcome, seconds = Outcome(kind="timed_out"), call.left - waited
        sent = outcome.kind != "over_budget"
        told: FaultKind | None = outcome.kind if sent else "cancelled"
        self._learn(after_call(self.known, call.circuits, kind=told, now=self.now, asked=outcome.asked))
        fault = self._fault(call, outcome, left=call.left - waited - seconds)
        return _record(lane.phase, call, fault, seconds=seconds, waited=waited)

    def _fault(self, call: Call, outcome: Outcome, *, left: float) -> Fault | None:
        kind = outcome.kind
        if kind is None:
            return None
        fault = Fault(kind=kind, message="so it was drawn", then=kind_profile(kind).then)
        if kind == "over_budget":
            return Fault({**fault, "then": "drop_provider"}) if outcome.whole_key else fault
        if self._cooling(call.model) and call.others and outcome.asked is None:
            return fault
        situation = Situation(
            tries=call.tries,
            asked=outcome.asked,
            left=left,
            others=call.others,
            shrinkable=outcome.shrinkable,
            chance=outcome.chance,
        )
        retry = retry_after_fault(kind, situation)
        return Fault({**fault, "retry": retry}) if retry else fault

    def _learn(self, changes: Changes) -> None:
        """Take changes in: a deadline never comes nearer, but by an answer."""
        for name, cooldown in changes.items():
            old = self.known.get(name)
            assert cooldown is None or old is None or cooldown.until >= old.until
        self.known = changed(self.known, changes)


def _not_again(attempt: Attempt) -> Attempt:
    """Return an attempt of a pair: the phase goes on from the later one."""
    fault = attempt["fault"]
    if fault:
        fault = Fault(kind=fault["kind"], message=fault["message"], then=fault["then"])
    return Attempt({**attempt, "fault": fault})


def _record(phase: str, call: Call, fault: Fault | None, *, seconds: float, waited: float) -> Attempt:
    attempt = Attempt(
        id=f"{phase}-{call.number}",
        phase=phase,
        number=call.number,
        model=call.candidate["model"],
        provider=call.candidate["provider"],
        served_model=None,
        ok=fault is None,
        fault=fault,
        started_at=call.began + waited,
        seconds=seconds,
        first_token_seconds=None,
        usage=NO_USAGE if fault else Usage({**NO_USAGE, "input_tokens": TOKENS, "cost_usd": COST}),
        waited=waited,
    )
    return Attempt({**attempt, "again": call.again}) if call.again else attempt
