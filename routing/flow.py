"""Where a run goes next, decided from its state alone.

Every function is pure: same state, same step. A phase tries at most `limits["attempts"]` models, each once and
then as often again as its faults allow (data/faults.toml), for at most `limits["phase_seconds"]`: so every run ends.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal, NamedTuple

from .attempts import Again, Attempt, Detour, Gate, RunView, Verdict, Way
from .forks import own
from .records import Candidate, PhasePlan

Step = Literal["next", "accepted", "retry", "fallback", "failed", "budget", "rejected", "another model"] | Way
Status = Literal["running", "succeeded", "failed", "no_model", "budget"]


def phase_plan(run: RunView, phase: str) -> PhasePlan | None:
    """Return the plan of a phase, or None where the run does without it."""
    return next((plan for plan in run["plan"]["phases"] if plan["phase"] == phase), None)


def made_in(run: RunView, phase: str) -> list[Attempt]:
    """Return every attempt made in a phase, in the order in which they were made."""
    return sorted((a for a in run.get("attempts", []) if a["phase"] == phase), key=lambda a: a["number"])


def attempts_of(run: RunView, phase: str) -> list[Attempt]:
    """Return the attempts of a phase that count: all of them, or those since it is made again."""
    if not run.get("detours") and not run.get("reopened"):
        return made_in(run, phase)
    opened = [detour["opens"].get(phase, 0) for detour in run.get("detours", [])]
    return made_in(run, phase)[max([run.get("reopened", {}).get(phase, 0), *opened]) :]


def answer_of(run: RunView, phase: str) -> Attempt | None:
    """Return the attempt that answered a phase: an earlier one where a detour has led to no other."""
    found = next((a for a in attempts_of(run, phase) if a["ok"]), None)
    if found is None and run.get("detours") and next_turn(run, phase) is None:
        before = made_in(run, phase)[run.get("reopened", {}).get(phase, 0) :]
        return next((a for a in reversed(before) if a["ok"]), None)
    return found


def detour_behind(run: RunView, phase: str) -> Detour | None:
    """Return the detour on which a run goes behind a phase, or None where it keeps to its order."""
    last = run["detours"][-1] if run.get("detours") else None
    if last is None or last["phase"] != phase or len(made_in(run, last["to"])) != last["made"]:
        return None
    return last


def ranking(plan: PhasePlan) -> list[Candidate]:
    """Return the candidates of a phase, best first."""
    first = plan["primary_model"]
    return [first, *plan["fallback_models"]] if first else []


class Turn(NamedTuple):
    """Whose turn it is in a phase: how it tries again (None: for the first time), and from when (epoch seconds)."""

    candidate: Candidate
    again: Again | None = None
    not_before: float = 0.0


def next_turn(run: RunView, phase: str, avoided: Collection[str] = ()) -> Turn | None:
    """Return whose turn it is in a phase, or None where nobody's is.

    A model whose last fault allows it is tried again; otherwise no model is tried twice in a phase. After a fault
    that says `elsewhere` other providers' models come first. A provider whose failure concerns all its models (a
    refused key, say) is passed over for the rest of the run; a fault that says `stop` ends the phase, and so does
    its time.

    Args:
        avoided: `provider:model` of models that had better be left alone: they come after all others, but the
            last one left is never skipped.
    """
    plan, made = phase_plan(run, phase), attempts_of(run, phase)
    if plan is None or answered(made) or stopped(made) or seconds_left(run, phase) <= 0:
        return None
    if made and (again := _retry(made[-1], ranking(plan))):
        return again
    shaky = {a["provider"] for a in made if a["fault"] and a["fault"]["then"] == "elsewhere"}
    left = untried(run, phase)
    left.sort(key=lambda c: (key_of(c) in avoided, c["provider"] in shaky))  # stable: else the best first
    return Turn(left[0]) if left else None


def untried(run: RunView, phase: str) -> list[Candidate]:
    """Return the models that a phase may still try for the first time, best first."""
    plan, made, most = phase_plan(run, phase), attempts_of(run, phase), run["plan"]["limits"]["attempts"]
    tried = {key_of(a) for a in made if not is_lost(a)}
    if plan is None or len(tried) >= most:
        return []
    dropped = dropped_providers(run)
    # One more may be named: the model to which a rejected answer is escalated, which then comes first.
    return [c for c in ranking(plan)[:most] if c["provider"] not in dropped and key_of(c) not in tried]


def key_of(named: Candidate | Attempt) -> str:
    """Return `provider:model`."""
    return f"{named['provider']}:{named['model']}"


def answered(made: Iterable[Attempt]) -> bool:
    """Say whether one of the attempts answered."""
    return any(a["ok"] for a in made)


def stopped(made: Iterable[Attempt]) -> bool:
    """Say whether one of the attempts failed in a way that ends its phase."""
    return any(a["fault"] is not None and a["fault"]["then"] == "stop" for a in made)


def _retry(last: Attempt, candidates: Iterable[Candidate]) -> Turn | None:
    retry = last["fault"].get("retry") if last["fault"] else None
    same = next((c for c in candidates if key_of(c) == key_of(last)), None)
    if retry is None or same is None:
        return None
    return Turn(same, retry["again"], last["started_at"] + last["seconds"] + retry["wait"])


def is_lost(attempt: Attempt) -> bool:
    """Say whether an attempt was lost with its process and is made again: it is no try of its model."""
    fault = attempt["fault"]
    return fault is not None and fault["kind"] == "interrupted" and "retry" in fault


def dropped_providers(run: RunView) -> set[str]:
    """Return the providers that a fault of this run has ruled out."""
    return {a["provider"] for a in run.get("attempts", []) if _drops_provider(a)}


def _drops_provider(attempt: Attempt) -> bool:
    """Say whether an attempt has ruled its provider out: by its fault, unless the same model is tried again first."""
    fault = attempt["fault"]
    return fault is not None and fault["then"] == "drop_provider" and "retry" not in fault


def seconds_left(run: RunView, phase: str) -> float:
    """Return how long a phase may still take, with all of its attempts."""
    return run["plan"]["limits"]["phase_seconds"] - busy_seconds(attempts_of(run, phase))


def attempt_seconds(run: RunView, phase: str) -> float:
    """Return how long the next attempt in a phase may take: within what the phase, and the whole run, have left."""
    limit, left = run["plan"]["limits"]["seconds"], seconds_left(run, phase)
    return left if limit is None else min(left, limit - busy_seconds(own(run.get("attempts", []))))


def over_budget(run: RunView) -> str | None:
    """Return the sentence that says which limit is reached, or None."""
    limits, usage = run["plan"]["limits"], run.get("usage")
    if usage is None:
        return None
    tokens = usage["input_tokens"] + usage["output_tokens"]
    # A limit of 0 USD allows what is free.
    if limits["usd"] is not None and nano(usage["cost_usd"]) >= nano(limits["usd"]) and usage["cost_usd"] > 0:
        return f"{usage['cost_usd']:.6f} USD spent, the limit is {limits['usd']:g} USD"
    if limits["tokens"] is not None and tokens >= limits["tokens"]:
        return f"{tokens} tokens used, the limit is {limits['tokens']} tokens"
    if (
        limits["seconds"] is not None
        and (seconds := busy_seconds(own(run.get("attempts", [])))) >= limits["seconds"]
    ):
        return f"{seconds:.1f} s used, the limit is {limits['seconds']:g} s"
    return None


def nano(usd: float) -> int:
    """Return USD in whole billionths, in which the order of a sum makes no difference."""
    return round(usd * 1e9)


def stopped_by_budget(run: RunView) -> str | None:
    """Return why the run may spend no more: a limit is reached, or too near for any model of a phase."""
    if (reached := over_budget(run)) or not any(_was_too_dear(a) for a in run.get("attempts", [])):
        return reached
    return next((why for plan in run["plan"]["phases"] if (why := _unaffordable(run, plan))), None)


def _was_too_dear(attempt: Attempt) -> bool:
    return attempt["fault"] is not None and attempt["fault"]["kind"] == "over_budget"


def _unaffordable(run: RunView, plan: PhasePlan) -> str | None:
    made = attempts_of(run, plan["phase"])
    dear = [a["fault"]["message"] for a in made if a["fault"] and _was_too_dear(a)]
    if not dear or answer_of(run, plan["phase"]) or next_turn(run, plan["phase"]):
        return None
    return dear[-1]


def busy_seconds(attempts: Iterable[Attempt]) -> float:
    """Return the time in which at least one attempt was under way, or waited; a pause of the run does not count."""
    total, end = 0.0, float("-inf")
    spans = [(a["started_at"] - a.get("waited", 0.0), a["started_at"] + a["seconds"]) for a in attempts]
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(end, start))
        end = max(end, stop)
    return total


def last_verdict(run: RunView, *, before: str) -> Verdict | None:
    """Return the verdict given last, in the order of the plan's phases, before a phase of it."""
    verdicts, names = run.get("verdicts", {}), [p["phase"] for p in run["plan"]["phases"]]
    given = [verdicts[name] for name in names[: names.index(before)] if name in verdicts]
    return given[-1] if given else None


def outcome(run: RunView, phase: str) -> Step:
    """Return the step after an attempt in `phase` (or after passing it by).

    `next`: answered, given up though not critical, or not part of the run. `retry`: the same model's turn again.
    `fallback`: the next model's turn. `failed`: critical, and no candidate left. `budget`: a limit is reached before
    the run's end, or too near for any of the phase's models. A detour goes by its way.
    """
    plan = phase_plan(run, phase)
    if plan is None:
        return "next"
    if over_budget(run):
        return "budget"
    if detour := detour_behind(run, phase):
        return detour["way"]
    if answer_of(run, phase) or passed_by(run, phase):
        return "next"
    if turn := next_turn(run, phase):
        return "retry" if turn.again else "fallback"
    if _unaffordable(run, plan):
        return "budget"
    return "failed" if plan["critical"] else "next"


def behind_gate(run: RunView, gate: Gate) -> Step:
    """Return the step behind a gate: what the last answer given there says, or `next` where nobody was asked."""
    given = [a["decision"] for a in run.get("approvals", []) if a["gate"] == gate]
    if given and given[-1] == "reject":
        return "rejected"
    return "another model" if given and given[-1] == "model" else "next"


def rejection(run: RunView) -> str | None:
    """Return the sentence that says that a person stopped the run, or None."""
    why = next((a["said"] for a in run.get("approvals", []) if a["decision"] == "reject"), None)
    return why if why is None else "The plan was rejected" + (f": {why}" if why.strip() else ".")


def joined(run: RunView, phases: tuple[str, ...]) -> Step:
    """Return the step after phases that ran side by side: the worst of theirs, else the way past what comes next."""
    steps = [outcome(run, phase) for phase in phases]
    return next((step for step in ("failed", "budget", "mend first") if step in steps), "next")


def status(run: RunView) -> Status:
    """Return how the run stands, from what was done so far."""
    plan = run["plan"]
    if any(p["primary_model"] is None and p["critical"] for p in plan["phases"]):
        return "no_model"
    critical = [p["phase"] for p in plan["phases"] if p["critical"]]
    if rejection(run):
        return "failed"
    if any(_given_up(run, phase) for phase in critical):
        return "budget" if stopped_by_budget(run) else "failed"
    unfinished = [p["phase"] for p in plan["phases"] if not _finished(run, p["phase"])]
    if not unfinished:
        return "succeeded"
    return "budget" if stopped_by_budget(run) else "running"


def _given_up(run: RunView, phase: str) -> bool:
    return not answer_of(run, phase) and next_turn(run, phase) is None


def _finished(run: RunView, phase: str) -> bool:
    plan = phase_plan(run, phase)
    if plan is None or answer_of(run, phase) or passed_by(run, phase):
        return True
    return next_turn(run, phase) is None and not _unaffordable(run, plan)


def passed_by(run: RunView, phase: str) -> bool:
    """Say whether the phase was left out: a detour led past it, or the result was accepted before it."""
    plan = phase_plan(run, phase)
    if plan is None or attempts_of(run, phase):
        return False
    if detour := _last_detour(run, phase):
        if phase in detour["leaps"]:
            return True
        if detour["to"] == phase and len(made_in(run, phase)) == detour["made"]:
            return False
    verdict = last_verdict(run, before=phase) if plan["skipped_when_accepted"] else None
    return verdict is not None and verdict["decision"] == "accept"


def _last_detour(run: RunView, phase: str) -> Detour | None:
    """Return the last detour that concerns a phase."""
    concerned = (d for d in reversed(run.get("detours", [])) if phase in (d["to"], *d["opens"], *d["leaps"]))
    return next(concerned, None)


def skip_reason(run: RunView, phase: str) -> str | None:
    """Return why a planned phase has no answer although the run went on past it, or None where it has one."""
    if answer_of(run, phase):
        return None
    if passed_by(run, phase):
        detour = _last_detour(run, phase)
        leapt = detour is not None and phase in detour["leaps"]
        return (
            f"skipped: {detour['because']}" if detour and leapt else "skipped: the review accepted the result"
        )
    made = attempts_of(run, phase)
    if made:
        return f"skipped: {len(made)} attempt(s) failed, the last one with: {_cause(made[-1])}"
    plan = phase_plan(run, phase)
    if plan and plan["primary_model"] is None:
        return f"skipped: {plan['reason']}"
    return "not reached" if next_turn(run, phase) else f"skipped: {_dropped(run)}"


def failure(run: RunView) -> str:
    """Return why the run failed: every attempt of the phase that stopped it, with its cause.

    Where no phase at all has an answer, the text begins with "All phases failed".
    """
    if rejected := rejection(run):
        return rejected
    phase = _stopped_at(run)
    made = attempts_of(run, phase)
    head = "All phases failed" if not any(a["ok"] for a in run.get("attempts", [])) else "The run stopped"
    plan = phase_plan(run, phase)
    if plan and plan["primary_model"] is None:
        causes = "; ".join(f"{r['model']}: {r['reason']}" for r in plan["rejected"])
        return (
            f"{head}: no usable model for {phase} ({causes})"
            if causes
            else f"{head}: no usable model for {phase}"
        )
    if not made:
        return f"{head}: {phase} has no candidate left. {_dropped(run)}"
    return f"{head}: {phase} has no candidate left. " + "; ".join(
        f"{a['provider']}:{a['model']}: {_cause(a)}" for a in made
    )


def _stopped_at(run: RunView) -> str:
    """Return the phase that stopped the run: one that has no model at all, else the first that has nobody left."""
    critical = [p for p in run["plan"]["phases"] if p["critical"] and not answer_of(run, p["phase"])]
    critical.sort(key=lambda p: (p["primary_model"] is not None, next_turn(run, p["phase"]) is not None))
    return critical[0]["phase"] if critical else "generation"


def _dropped(run: RunView) -> str:
    """Say which providers were ruled out, and why."""
    failed = [a for a in run.get("attempts", []) if _drops_provider(a)]
    return "; ".join(dict.fromkeys(f"{a['provider']} was ruled out by {_cause(a)}" for a in failed))


def _cause(attempt: Attempt) -> str:
    fault = attempt["fault"]
    return f"{fault['kind']}: {fault['message']}" if fault else "unknown"
