"""FailoverBench's sixteen faults, in our words, and how what happened is judged (its methodology v0.1).

The caller's view and the provider's log are looked at together, never what goes on inside a system:

- pass: the caller got the whole answer (in S13: a clean error), and every check is clean;
- partial: the same, but an advisory check is not;
- safe: no answer, but a clean error in time, and every required check is clean;
- fail: a hang, a part of the answer handed on as if it were all, or a required check that is not clean.

https://github.com/failoverbench/failoverbench
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, NamedTuple

from .wall import ANSWER, WORDS, Sent, Timing

Verdict = Literal["pass", "partial", "safe", "fail"]


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a caller was told.

    Args:
        at: seconds since the scenario's first call.
        text: the answer; None: an error, or nothing at all.
        error: the error, where there was one.
        hung: neither came within the scenario's time.
        model: the model that answered, as the caller is told.
        output_tokens: what the caller is told was used.
        streamed: what was streamed to the caller without being taken back.
    """

    at: float = 0.0
    seconds: float
    text: str | None = None
    error: str = ""
    hung: bool = False
    model: str = ""
    output_tokens: int | None = None
    streamed: str = ""

    @property
    def whole(self) -> bool:
        """Whether the text is the whole answer."""
        return self.text is not None and self.text.split() == ANSWER.split()

    @property
    def leftover(self) -> bool:
        """Whether text of a broken answer was streamed and never taken back."""
        return self.text is not None and self.streamed.split() != self.text.split()


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of a scenario: what the caller was told, and what the provider saw.

    Args:
        alive: a call made afterwards, with a healthy provider, was answered.
    """

    told: Sequence[Told]
    primary: Sequence[Sent]
    fallback: Sequence[Sent]
    alive: bool = True
    timing: Timing = field(default_factory=Timing)

    @property
    def outage_ends(self) -> float:
        """When the primary of S15 is back, on the provider's clock."""
        return (self.primary[0].at if self.primary else 0.0) + self.timing.outage_s

    @property
    def in_outage(self) -> list[Told]:
        """The calls made while the primary of S15 was down."""
        return [told for told in self.told if told.at < self.timing.outage_s]


Check = Callable[[Trial], str | None]
"""Returns what is wrong, or None."""


def at_most(most: int) -> Check:
    """The primary gets no more requests than this."""
    return lambda trial: f"{len(trial.primary)} requests" if len(trial.primary) > most else None


def at_least(least: int) -> Check:
    """The primary gets as many requests as this."""
    return lambda trial: f"{len(trial.primary)} requests only" if len(trial.primary) < least else None


def at_most_within(most: int, seconds: float) -> Check:
    """The primary gets no more requests than this in so many seconds."""

    def check(trial: Trial) -> str | None:
        soon = [sent for sent in trial.primary if sent.at - trial.primary[0].at < seconds]
        return f"{len(soon)} requests in {seconds:g} s" if len(soon) > most else None

    return check


def waits(seconds: float) -> Check:
    """The primary gets its second request so many seconds after the first."""

    def check(trial: Trial) -> str | None:
        gaps = [after.at - before.at for before, after in pairwise(trial.primary)]
        return (
            None
            if gaps and gaps[0] >= seconds
            else f"waited {gaps[0]:.1f} s"
            if gaps
            else "no second request"
        )

    return check


def within(seconds: float) -> Check:
    """The call ends in time."""
    return lambda trial: f"took {trial.told[-1].seconds:.1f} s" if trial.told[-1].seconds > seconds else None


def alive_afterwards(trial: Trial) -> str | None:
    """The system answers a call with a healthy provider afterwards."""
    return None if trial.alive else "a healthy call failed afterwards"


def not_resent(trial: Trial) -> str | None:
    """The primary never gets a request that is as long as the one before it, and two at most."""
    if len(trial.primary) > 2 or any(
        after.words >= before.words for before, after in pairwise(trial.primary)
    ):
        return f"resent: {' '.join(f'{sent.words} words' for sent in trial.primary)}"
    return None


def reason_told(trial: Trial) -> str | None:
    """The error says what the provider said."""
    said = trial.told[-1]
    return (
        "the provider's reason is lost" if said.text is None and "safety system" not in said.error else None
    )


def usage_told(trial: Trial) -> str | None:
    """The caller is told the answer's tokens, and no others."""
    used = trial.told[-1].output_tokens
    return None if used == WORDS else f"says that {used} tokens were used, not {WORDS}"


def fallback_named(trial: Trial) -> str | None:
    """The caller is told that the fallback answered, where it did."""
    said = trial.told[-1].model
    return f"names {said!r}" if trial.fallback and trial.fallback[-1].model not in said else None


def prefill_not_blamed(trial: Trial) -> str | None:
    """The error, if there is one, is not the fallback's about a request that the system itself made up."""
    rejected = any(sent.did.startswith("4") for sent in trial.fallback)
    return "ends with the fallback's refusal" if rejected and trial.told[-1].text is None else None


def served_in_outage(trial: Trial) -> str | None:
    """Every call made during the outage is answered."""
    served = [told for told in trial.in_outage if told.text is not None]
    return None if len(served) == len(trial.in_outage) else f"{len(served)} of {len(trial.in_outage)} served"


def back_within(seconds: float) -> Check:
    """The primary answers again so many seconds after it is back."""

    def check(trial: Trial) -> str | None:
        answered = [sent.at for sent in trial.primary if sent.did == "answer"]
        if not answered:
            return "never back on the primary"
        late = min(answered) - trial.outage_ends
        return f"back on the primary after {late:.0f} s" if late > seconds else None

    return check


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One fault of the primary and what is asked of a system that meets it.

    Args:
        longest_s: a call that takes longer hangs.
        rescue: what the caller should get.
        calls, every_s: how many calls are made, and seconds from one to the next.
        is_alive_asked: a healthy call is made afterwards.
    """

    id: str
    fault: str
    longest_s: float
    required: tuple[Check, ...] = ()
    advisory: tuple[Check, ...] = ()
    rescue: Literal["answer", "error"] = "answer"
    calls: int = 1
    every_s: float = 0.0
    is_alive_asked: bool = False

    @property
    def most_seconds(self) -> float:
        """How long the scenario may take."""
        return self.longest_s + self.calls * self.every_s


SCENARIOS = (
    Scenario(
        id="S01",
        fault="429 with Retry-After, once",
        longest_s=20,
        required=(at_most_within(2, 1.5),),
        advisory=(at_least(2), waits(1.8)),
    ),
    Scenario(id="S02", fault="429 for ever", longest_s=40, required=(at_most_within(4, 3), at_most(6))),
    Scenario(id="S03", fault="500 once", longest_s=20, advisory=(at_least(2),)),
    Scenario(id="S04", fault="503 for ever", longest_s=40, required=(at_most(6),)),
    Scenario(id="S05", fault="reset before the headers, once", longest_s=20),
    Scenario(id="S06", fault="never answers", longest_s=130, required=(within(100),), advisory=(at_most(1),)),
    Scenario(id="S07", fault="first token after 20 s", longest_s=60, advisory=(within(15),)),
    Scenario(id="S08", fault="stream cut after 40 of 60 words", longest_s=40),
    Scenario(
        id="S09",
        fault="stream silent after 20 words",
        longest_s=70,
        required=(within(45), alive_afterwards),
        is_alive_asked=True,
    ),
    Scenario(
        id="S10",
        fault="one event is no JSON",
        longest_s=30,
        required=(alive_afterwards,),
        is_alive_asked=True,
    ),
    Scenario(id="S11", fault="no [DONE]", longest_s=30, required=(within(8),), advisory=(usage_told,)),
    Scenario(id="S12", fault="400: context too long", longest_s=20, required=(not_resent,)),
    Scenario(
        id="S13",
        fault="400: content policy",
        longest_s=20,
        required=(at_most(1),),
        advisory=(reason_told,),
        rescue="error",
    ),
    Scenario(
        id="S14",
        fault="stream cut, fallback takes no prefill",
        longest_s=40,
        required=(prefill_not_blamed,),
    ),
    Scenario(
        id="S15",
        fault="down for 60 s, 20 calls",
        longest_s=30,
        required=(served_in_outage, back_within(30)),
        calls=20,
        every_s=4.0,
    ),
    Scenario(
        id="S16",
        fault="503 for ever: the account",
        longest_s=40,
        required=(fallback_named, at_most(6)),
        advisory=(usage_told,),
    ),
)


class Judgement(NamedTuple):
    """A verdict and what led to it."""

    verdict: Verdict
    why: str


def judge(scenario: Scenario, trial: Trial) -> Judgement:
    """Judge what came of a scenario."""
    if any(told.hung for told in trial.told):
        return Judgement("fail", "hangs")
    partly = [told for told in trial.told if told.text is not None and not told.whole]
    if partly and scenario.rescue == "answer":
        return Judgement("fail", f"hands on {len((partly[0].text or '').split())} words as the whole answer")
    if wrong := _complaints(scenario.required, trial):
        return Judgement("fail", wrong)
    answered = all(told.text is not None for told in trial.told)
    if answered != (scenario.rescue == "answer"):
        if answered:
            return Judgement("partial", "goes round the refusal")
        return Judgement("safe", next(told.error for told in trial.told if told.text is None))
    wrong = _complaints(scenario.advisory, trial)
    return Judgement("partial" if wrong else "pass", wrong)


def _complaints(checks: Sequence[Check], trial: Trial) -> str:
    return "; ".join(wrong for check in checks if (wrong := check(trial)))
