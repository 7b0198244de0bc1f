"""When a run leaves the order of its phases, and why: what was judged, and what is to be gained for what it takes.

A way (`ways.py`) is worth it where the quality to be gained is more than what it takes weighs, as `ranking.py` weighs
models against each other (`Dial`). The ways back are taken `limits["rounds"]` times at most, and none whose predicted
cost does not fit into what is left of the run's budget. The same state, the same detour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log10
from typing import NamedTuple

from .attempts import Detour, RunView, Way
from .catalogue import Catalogue
from .flow import answer_of, busy_seconds, dropped_providers, key_of, made_in, next_turn, phase_plan, ranking
from .forks import own
from .layout import Layout
from .outcomes import judged_by
from .prediction import predict
from .ranking import A_TENFOLD, LEAST_SECONDS, LEAST_USD
from .records import Candidate, Dial, PhasePlan, Prediction, Strategy
from .ways import BACK, between, mends, place_of, ways

JUDGES_ERR = 0.2
"""How often a verdict is taken to be wrong; docs/learning.md has escalation measured with 0 to 30 %."""
LEAST_GAIN = 0.02
"""Quality (0..1) below which nothing is made again: no estimate is finer."""
UNKNOWN_QUALITY = 0.5
"""Of an answer of which nothing is known: a person's, say."""


class Decided(NamedTuple):
    """A detour, and the plan of the phase that it leads to where another model takes that first."""

    detour: Detour
    plan: PhasePlan | None = None


class Toll(NamedTuple):
    """What a detour is predicted to take, in USD, seconds and tokens; what nobody knows is left out."""

    usd: float = 0.0
    seconds: float = 0.0
    tokens: int = 0

    def and_also(self, other: Toll, times: float = 1.0) -> Toll:
        """Return both together, the other one so many times."""
        return Toll(
            self.usd + times * other.usd,
            self.seconds + times * other.seconds,
            self.tokens + round(times * other.tokens),
        )


class Option(NamedTuple):
    """A detour that could be taken: by which way, where to, what is gained (0..1), what it takes, and why.

    Args:
        candidate: the model that takes `to` first.
    """

    way: Way
    to: str
    gain: float
    toll: Toll
    because: str
    candidate: Candidate | None = None


@dataclass(frozen=True, kw_only=True)
class Behind:
    """Where a run stands: behind a phase that it has answered.

    Args:
        failed: the checks that the answer has failed, in words.
    """

    run: RunView
    phase: str
    catalogue: Catalogue
    failed: Sequence[str] = ()

    @cached_property
    def layout(self) -> Layout:
        """The groups of the graph that runs."""
        return tuple(tuple(group) for group in self.run["plan"]["layout"])

    @cached_property
    def ways(self) -> Mapping[Way, str]:
        """The ways that this run may take from here."""
        place = place_of(self.layout, self.phase)
        drawn = {} if place is None else ways(self.layout, self.catalogue.phases, place)
        return {way: to for way, to in drawn.items() if not to or phase_plan(self.run, to)}

    @property
    def coming(self) -> list[str]:
        """The phases of the run that come next in its order."""
        names = [
            plan["phase"] for plan in self.run["plan"]["phases"] if plan["phase"] in self.catalogue.phases
        ]
        return names[names.index(self.phase) + 1 :]

    def judges(self, phase: str) -> bool:
        """Say whether a phase judges."""
        return self.catalogue.phases[phase].judges


def detour(behind: Behind) -> Decided | None:
    """Return the detour that a run takes behind a phase, or None where it keeps to its order."""
    if not behind.ways or answer_of(behind.run, behind.phase) is None:
        return None
    open_ones = [option for option in _options(behind) if _is_open(option, behind.run)]
    best = max(open_ones, key=lambda option: option.gain - weight(option.toll, behind.run), default=None)
    return None if best is None else Decided(_detour(best, behind), _led(best, behind.run))


def may_leave(plan: Strategy) -> bool:
    """Say whether a run of a plan may ever leave its order: it has rounds, or an aim beside quality."""
    dial = plan.get("dial") or Dial(thrift=0.0, haste=0.0)
    return plan["limits"].get("rounds", 0) > 0 or dial["thrift"] + dial["haste"] > 0


def rounds_left(run: RunView) -> int:
    """Return how often a run may still go back."""
    taken = sum(detour["way"] in BACK for detour in run.get("detours", []))
    return run["plan"]["limits"].get("rounds", 0) - taken


def weight(toll: Toll, run: RunView) -> float:
    """Return what a toll weighs against quality: by how many tenfolds the run becomes dearer, and longer.

    The run is what it has taken or, where that is more, what it was predicted to take as a whole.
    """
    plan, taken = run["plan"], busy_seconds(own(run["attempts"]))
    dial, said = plan.get("dial") or Dial(thrift=0.0, haste=0.0), plan["predicted"]
    whole_usd = max(run["usage"]["cost_usd"], said["cost_usd"] or 0.0, LEAST_USD)
    whole_seconds = max(taken, said["seconds"], LEAST_SECONDS)
    usd, seconds = log10(1 + toll.usd / whole_usd), log10(1 + toll.seconds / whole_seconds)
    return A_TENFOLD * (dial["thrift"] * usd + dial["haste"] * seconds)


def _is_open(option: Option, run: RunView) -> bool:
    if option.way not in BACK:
        return True
    worth = option.gain - weight(option.toll, run)
    return rounds_left(run) > 0 and worth >= LEAST_GAIN and _is_affordable(option.toll, run)


def _is_affordable(toll: Toll, run: RunView) -> bool:
    """Say whether what is left of the run's budget is expected to carry a detour."""
    limits, usage = run["plan"]["limits"], run["usage"]
    tokens = usage["input_tokens"] + usage["output_tokens"]
    left = (
        (limits["usd"], usage["cost_usd"] + toll.usd),
        (limits["tokens"], tokens + toll.tokens),
        (limits["seconds"], busy_seconds(own(run["attempts"])) + toll.seconds),
    )
    return all(limit is None or taken <= limit for limit, taken in left)


# --- what may be done -----------------------------------------------------------------------------------------


def _options(behind: Behind) -> Iterator[Option]:
    if behind.judges(behind.phase):
        verdict = behind.run["verdicts"].get(behind.phase)
        if verdict and verdict["decision"] == "accept":
            yield from _enough(behind)
        elif verdict:
            yield from _of_rejection(behind)
    elif behind.failed:
        yield from _of_failed_checks(behind)
    else:
        yield from _to_be_judged_again(behind)


def _of_rejection(behind: Behind) -> Iterator[Option]:
    """Yield what may follow where a judge sends a result back."""
    ahead = max(rejected(_quality_judged(behind)), _quality_ahead(behind))
    why = f"{behind.phase} sent it back"
    if to := behind.ways.get("escalate"):
        yield from _escalations(behind, to, ahead, why)
    if (to := behind.ways.get("again")) and _may_be_made_again(behind.run, to):
        quality = _quality_planned(behind.run, to)
        toll = _toll(behind.run, to).and_also(_toll(behind.run, behind.phase))
        yield Option("again", to, quality - ahead, toll, f"{why}: {_prospect(ahead, quality, toll)}")


def _of_failed_checks(behind: Behind) -> Iterator[Option]:
    """Yield what may follow where an answer fails a check."""
    why = f"{behind.phase} failed its checks ({'; '.join(behind.failed)})"
    if behind.ways.get("escalate") == behind.phase:
        yield from _escalations(behind, behind.phase, _quality_ahead(behind), why)
    to = behind.ways.get("mend first")
    # A round must be left in which what was mended is judged: where no later phase does, it takes the way back.
    if to and rounds_left(behind.run) > 0 and next_turn(behind.run, to):
        leapt = " and ".join(_leapt(behind, to))
        yield Option("mend first", to, 0.0, Toll(), f"{why}: {leapt} could only send it back")


def _to_be_judged_again(behind: Behind) -> Iterator[Option]:
    """Yield the way back to the judge of what was mended last; it is mended once more where it is found wanting."""
    to = behind.ways.get("again")
    if not to or not _may_be_made_again(behind.run, to):
        return
    toll = _toll(behind.run, to)
    if not made_in(behind.run, to):  # it was passed over to mend first
        yield Option("again", to, 1.0, toll, f"{to} has not judged it yet")
        return
    quality = _quality_planned(behind.run, behind.phase)
    gain = _gain_of_judging(quality, quality)
    toll = toll.and_also(_toll(behind.run, behind.phase), 1 - quality)
    because = f"what was mended is judged again: {_prospect(quality, quality + gain, toll)}"
    yield Option("again", to, gain, toll, because)


def _enough(behind: Behind) -> Iterator[Option]:
    """Yield the way past further judgements of an accepted result, where they are not worth what they take."""
    judges = [phase for phase in behind.coming if behind.judges(phase)]
    if "enough" not in behind.ways or not judges:
        return
    toll = Toll()
    for judge in judges:
        toll = toll.and_also(_toll(behind.run, judge))
    quality = accepted(_quality_judged(behind))
    gain = _gain_of_judging(quality, quality) if rounds_left(behind.run) > 0 else 0.0
    if weight(toll, behind.run) > gain:
        what = f"judging the same result once more would gain {gain:.2f} for {toll.usd:.6f} USD"
        yield Option("enough", "", 0.0, toll, f"{behind.phase} accepted it: {what}")


def _escalations(behind: Behind, to: str, ahead: float, why: str) -> Iterator[Option]:
    """Yield the models that have not answered yet and are expected to do better than what lies ahead without them."""
    plan, answered = phase_plan(behind.run, to), [a for a in made_in(behind.run, to) if a["ok"]]
    if plan is None or not answered:
        return
    done, out = {key_of(a) for a in answered}, dropped_providers(behind.run)
    for candidate in ranking(plan):
        if key_of(candidate) in done or candidate["provider"] in out:
            continue
        toll = _toll_of(candidate, plan, behind)
        if to != behind.phase:
            toll = toll.and_also(_toll(behind.run, behind.phase))
        quality = quality_of(candidate)
        because = f"{why}: {key_of(candidate)} is to do better, {_prospect(ahead, quality, toll)}"
        yield Option("escalate", to, quality - ahead, toll, because, candidate)


# --- what is expected -----------------------------------------------------------------------------------------


def quality_of(candidate: Candidate) -> float:
    """Return the quality that is expected of a candidate; plans of older releases know the score alone."""
    return candidate.get("quality", candidate["score"])


def rejected(quality: float) -> float:
    """Return the probability that an answer is good although a judge sent it back, by that judge's error (Bayes)."""
    good, bad = quality * JUDGES_ERR, (1 - quality) * (1 - JUDGES_ERR)
    return good / (good + bad)


def accepted(quality: float) -> float:
    """Return the probability that an answer is good which a judge has accepted."""
    good, bad = quality * (1 - JUDGES_ERR), (1 - quality) * JUDGES_ERR
    return good / (good + bad)


def _gain_of_judging(quality: float, mended: float) -> float:
    """Return what a judgement adds: what is found wanting, less what is not found, made as good as mending makes it."""
    return (1 - quality) * (1 - JUDGES_ERR) * mended


def _quality_judged(behind: Behind) -> float:
    """Return what was expected of the answer that a phase judges."""
    producing = {name for name, phase in behind.catalogue.phases.items() if phase.produces}
    judged = judged_by(behind.run, behind.phase, producing)
    if judged is None:
        return UNKNOWN_QUALITY
    plan = phase_plan(behind.run, judged["phase"])
    found = [c for c in ranking(plan) if key_of(c) == key_of(judged)] if plan else []
    return quality_of(found[0]) if found else UNKNOWN_QUALITY


def _quality_planned(run: RunView, phase: str) -> float:
    plan = phase_plan(run, phase)
    first = plan["primary_model"] if plan else None
    return quality_of(first) if first else 0.0


def _quality_ahead(behind: Behind) -> float:
    """Return what mending is expected to make of an answer that is found wanting, where that comes next."""
    menders = [phase for phase in behind.coming if mends(behind.catalogue.phases, phase)]
    return max((_quality_planned(behind.run, phase) for phase in menders), default=0.0)


def _toll(run: RunView, phase: str) -> Toll:
    plan = phase_plan(run, phase)
    return _toll_of_prediction(plan["predicted"] if plan else None)


def _toll_of(candidate: Candidate, plan: PhasePlan, behind: Behind) -> Toll:
    model, said = behind.catalogue.models.get(key_of(candidate)), plan["predicted"]
    if model is None or said is None:
        return Toll()
    return _toll_of_prediction(predict(behind.catalogue.phases[plan["phase"]], model, said["input_tokens"]))


def _toll_of_prediction(said: Prediction | None) -> Toll:
    if said is None:
        return Toll()
    return Toll(said["cost_usd"] or 0.0, said["seconds"], said["input_tokens"] + said["output_tokens"])


def _may_be_made_again(run: RunView, phase: str) -> bool:
    """Say whether a model is left that a phase could be made with once it is open again."""
    plan, out = phase_plan(run, phase), dropped_providers(run)
    return plan is not None and any(candidate["provider"] not in out for candidate in ranking(plan))


def _prospect(now: float, then: float, toll: Toll) -> str:
    return f"{now:.2f} → {then:.2f} for {toll.usd:.6f} USD"


# --- what is written down -------------------------------------------------------------------------------------


def _detour(option: Option, behind: Behind) -> Detour:
    run = behind.run
    opens: list[str] = []
    leaps: list[str] = []
    if option.way in BACK:
        order = sorted((option.to, behind.phase), key=lambda phase: place_of(behind.layout, phase) or 0)
        opens = list(dict.fromkeys([option.to, *between(behind.layout, *order), behind.phase]))
    elif option.way == "mend first":
        leaps = _leapt(behind, option.to)
    else:
        leaps = [phase for phase in behind.coming if behind.judges(phase)]
    return Detour(
        way=option.way,
        phase=behind.phase,
        to=option.to,
        made=len(made_in(run, option.to)),
        opens={phase: len(made_in(run, phase)) for phase in opens},
        leaps=leaps,
        because=option.because,
    )


def _leapt(behind: Behind, to: str) -> list[str]:
    there = {plan["phase"] for plan in behind.run["plan"]["phases"]}
    return [phase for phase in between(behind.layout, behind.phase, to) if phase in there]


def _led(option: Option, run: RunView) -> PhasePlan | None:
    """Return the plan of the phase that an escalation leads to: without the models that have answered it."""
    plan, chosen = phase_plan(run, option.to), option.candidate
    if plan is None or chosen is None:
        return None
    done = {key_of(attempt) for attempt in made_in(run, option.to) if attempt["ok"]} | {key_of(chosen)}
    first = Candidate({**chosen, "reason": f"{option.because}; {chosen['reason']}"})
    return PhasePlan(
        {
            **plan,
            "primary_model": first,
            "fallback_models": [other for other in ranking(plan) if key_of(other) not in done],
            "score": first["score"],
            "reason": first["reason"],
        }
    )
