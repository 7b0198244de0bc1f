"""What a phase will take: tokens, seconds, USD, estimated before the run.

Where nothing was seen yet, an answer is taken to use `TYPICAL_SHARE` of the bound that its phase allows, and a model's
pace follows from its speed score; what was seen of a model in a phase moves both (routing/paces.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, exp2

from .history import Estimate
from .layout import Layout
from .paces import Pace, added, expected, spread_of
from .records import AgentTaskProfile, Between, ModelProfile, PhaseProfile, Prediction, ProviderProfile

TYPICAL_SHARE = 0.3
"""Part of the allowed output that an answer typically uses: 4 phases of the embedded coding run (facts of
November 2026: 77 of 400, 243 of 3000, 64 of 400, 245 of 3000 tokens) stay below it; cloud models write more."""

FRAME_TOKENS = 120
"""The rule on data and the fences around what a phase is shown, on the high side."""

SAFETY = 1.25
"""Estimated tokens are taken this much larger, so that an estimate on the low side still fits a window."""


def count_tokens(text: str) -> int:
    """Estimate tokens: one for four ASCII letters, one for three bytes of UTF-8 of others (a Chinese letter)."""
    if text.isascii():
        return ceil(len(text) / 4)
    plain = len(text.encode("ascii", "ignore"))
    others = len(text.encode("utf-8", "surrogatepass")) - plain
    return ceil((3 * plain + 4 * others) / 12)


FENCE_SIGNS = "<＜﹤"
"""Signs with which a fence could be closed: where one might, it is shown with another sign behind it."""


def task_tokens(description: str, parameters: str) -> int:
    """Estimate the tokens of a task as it is shown.

    Args:
        parameters: as JSON.
    """
    signs = sum([text.count(sign) for text in (description, parameters) for sign in FENCE_SIGNS])
    return count_tokens(description) + count_tokens(parameters) + ceil(signs / 4)


def tokens_per_second(model: ModelProfile) -> float:
    """Estimate the pace: 31 tokens/s at speed 4, doubling every 2 points.

    Fits the embedded models (31, 61 and 115 tokens/s measured at 4, 6 and 8) and gives about 250 at 10.
    """
    return 31.0 * exp2((model.scores.get("speed", 5.0) - 4.0) / 2.0)


def answer_tokens(phase: PhaseProfile, model: ModelProfile) -> int:
    """Return the bound of one answer: the phase's, at most what the model writes and half of its window."""
    return min(phase.max_output_tokens, model.max_output_tokens, model.context_tokens // 2)


NOTHING_SEEN = Pace()

THINKING_TOKENS = 8_192
"""Room that a model which reasons gets on top of its visible answer: thoughts count as output, and without room for
them the visible answer is cut off."""


def output_bound(phase: PhaseProfile, model: ModelProfile) -> int:
    """Return the most tokens that one answer can be billed with: the visible ones, and a reasoning model's thoughts."""
    visible = answer_tokens(phase, model)
    return min(visible + THINKING_TOKENS, model.max_output_tokens) if model.reasons else visible


def first_token_seconds(model: ModelProfile, provider: ProviderProfile) -> float:
    """Return the seconds until an answer of the model must have begun."""
    return model.first_token_s or provider.first_token_s


def least_tokens(phase: PhaseProfile, model: ModelProfile) -> int:
    """Return the smallest bound with which an answer still makes sense: a typical one must fit."""
    return round(TYPICAL_SHARE * output_bound(phase, model))


def input_tokens(
    phase: PhaseProfile, agent: AgentTaskProfile, phases: Sequence[PhaseProfile], task_tokens: int
) -> int:
    """Estimate the tokens that a phase is shown: its instructions, the task, and the outputs it reads."""
    instructions = count_tokens(phase.prompt) + count_tokens(agent.guidance.get(phase.name, ""))
    read = sum(TYPICAL_SHARE * other.max_output_tokens for other in phases if other.name in phase.reads)
    return FRAME_TOKENS + instructions + task_tokens + round(read)


def needed_tokens(phase: PhaseProfile, model: ModelProfile, shown: int) -> int:
    """Estimate the window that a phase needs in a model: what it is shown, and room for a whole answer."""
    return with_safety(shown) + answer_tokens(phase, model)


def with_safety(tokens: int) -> int:
    """Return an estimate of tokens taken larger, so that one on the low side still fits."""
    return ceil(SAFETY * tokens)


def predict(
    phase: PhaseProfile,
    model: ModelProfile,
    shown: int,
    pace: Pace = NOTHING_SEEN,
    quality: Estimate | None = None,
) -> Prediction:
    """Estimate one phase on one model.

    Args:
        shown: what `input_tokens` says.
        pace: what was seen of the model in the phase.
        quality: what is expected of it there.
    """
    typical, bound = TYPICAL_SHARE * answer_tokens(phase, model), output_bound(phase, model)
    tokens = expected(typical, pace.tokens)
    seconds = expected(typical / tokens_per_second(model), pace.seconds)
    written = min(round(tokens.middle), bound)
    prediction = Prediction(
        seconds=round(seconds.middle, 2),
        input_tokens=shown,
        output_tokens=written,
        cost_usd=_cost(model, shown, written),
    )
    if quality is None:
        return prediction
    few, many = (min(round(count), bound) for count in tokens.between)
    prediction["quality"] = round(quality.mean, 4)
    prediction["between"] = Between(
        seconds=_rounded(seconds.between, 2),
        output_tokens=[few, many],
        cost_usd=_between_costs(_cost(model, shown, few), _cost(model, shown, many)),
        quality=_rounded(quality.interval, 4),
    )
    return prediction


def shown_too(prediction: Prediction, model: ModelProfile, shown: int) -> Prediction:
    """Return a prediction that was made as if nothing were shown (`predict` with 0), with what is shown."""
    cost = 0.0 if model.price is None else shown * model.price.input / 1e6
    found = prediction.copy()
    found["input_tokens"] = shown
    if found["cost_usd"] is not None:
        found["cost_usd"] = round(found["cost_usd"] + cost, 8)
    if "between" in found:
        between = found["between"] = _copied(found["between"])
        if between["cost_usd"] is not None:
            between["cost_usd"] = [round(bound + cost, 8) for bound in between["cost_usd"]]
    return found


def _copied(between: Between) -> Between:
    """Return bounds of its own to each prediction: whoever is given one may change it."""
    copy = between.copy()
    copy["seconds"] = between["seconds"].copy()
    copy["output_tokens"] = between["output_tokens"].copy()
    copy["quality"] = between["quality"].copy()
    return copy


def _cost(model: ModelProfile, shown: int, written: int) -> float | None:
    price = model.price
    return None if price is None else round((shown * price.input + written * price.output) / 1e6, 8)


def _between_costs(low: float | None, high: float | None) -> list[float] | None:
    return None if low is None or high is None else [low, high]


def _rounded(between: tuple[float, float], digits: int) -> list[float]:
    return [round(bound, digits) for bound in between]


def total(parts: Sequence[Prediction | None], layout: Layout, phases: Sequence[PhaseProfile]) -> Prediction:
    """Add up a run: seconds along the longest path through the layout, everything else over all phases.

    Its quality is the phases' mean: what makes the result counts in full, what judges it half, all else a quarter.
    """
    by_phase = {phase.name: part for phase, part in zip(phases, parts, strict=True) if part}
    along = [part for group in layout if (part := _longest(group, by_phase))]
    prediction = Prediction(
        seconds=round(sum(part["seconds"] for part in along), 2),
        input_tokens=0,
        output_tokens=sum(part["output_tokens"] for part in by_phase.values()),
        cost_usd=None,
    )
    if by_phase and all("quality" in part for part in by_phase.values()):
        shares = {phase.name: _share(phase) for phase in phases if phase.name in by_phase}
        prediction["quality"] = _mean(shares, {name: part["quality"] for name, part in by_phase.items()})
        bounds = [
            _mean(shares, {name: part["between"]["quality"][end] for name, part in by_phase.items()})
            for end in (0, 1)
        ]
        prediction["between"] = _all_between(along, list(by_phase.values()), bounds)
    return costs_too(prediction, parts)


def costs_too(whole: Prediction, parts: Sequence[Prediction | None]) -> Prediction:
    """Return a run's prediction with what its phases are shown and cost: that alone changes with the task's length."""
    there = [part for part in parts if part]
    costs = [part["cost_usd"] for part in there if part["cost_usd"] is not None]
    found = whole.copy()
    found["input_tokens"] = sum([part["input_tokens"] for part in there])
    found["cost_usd"] = round(sum(costs), 8) if len(costs) == len(there) else None
    if "between" in found:
        found["between"] = _copied(found["between"])
        found["between"]["cost_usd"] = _costs_between(there)
    return found


def _share(phase: PhaseProfile) -> float:
    return 1.0 if phase.produces else 0.5 if phase.judges else 0.25


def _mean(shares: Mapping[str, float], values: Mapping[str, float]) -> float:
    return round(sum(share * values[name] for name, share in shares.items()) / sum(shares.values()), 4)


def _longest(group: Sequence[str], by_phase: Mapping[str, Prediction]) -> Prediction | None:
    there = [by_phase[name] for name in group if name in by_phase]
    return max(there, key=lambda part: part["seconds"], default=None)


def _all_between(along: Sequence[Prediction], every: Sequence[Prediction], quality: list[float]) -> Between:
    seconds = added(spread_of(part["seconds"], part["between"]["seconds"]) for part in along)
    tokens = added(spread_of(part["output_tokens"], part["between"]["output_tokens"]) for part in every)
    few, many = tokens.between
    return Between(
        seconds=_rounded(seconds.between, 2),
        output_tokens=[round(few), round(many)],
        cost_usd=None,
        quality=quality,
    )


def _costs_between(parts: Sequence[Prediction]) -> list[float] | None:
    costs = [
        spread_of(part["cost_usd"], bounds)
        for part in parts
        if part["cost_usd"] is not None and (bounds := part["between"]["cost_usd"]) is not None
    ]
    return _rounded(added(costs).between, 8) if len(costs) == len(parts) else None
