"""What `ymera doctor --probe` asks: one small request to each provider that can be used, and how it was answered.

All are opened first (imports, weights of embedded models), then asked side by side, and priced at last: what is slow
on this machine keeps out of the seconds that are told of a provider.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, cast

from langchain_core.messages import AIMessage
from langsmith import tracing_context

from .doctor import Finding
from .exits import Interrupted
from .nodes.availability import why_unavailable
from .nodes.call import says_something
from .nodes.faults import fault_of, finish_fault, keys_of, make_fault, retry_after, signs_of
from .nodes.health import Health, mark_of
from .nodes.job import Answer
from .nodes.providers import ChatModels
from .nodes.usage import served_model, usage_of
from .report import FREE_PROVIDERS, Spent, cost_text
from .routing.attempts import Fault, Usage
from .routing.faults import FaultKind, kind_profile
from .routing.prediction import count_tokens
from .routing.records import ModelProfile, ProviderProfile
from .terminal import say

if TYPE_CHECKING:
    from langchain_core.messages import AIMessageChunk

    from .nodes.matching import AgentModelMatcher
    from .nodes.providers import ChatModel
    from .nodes.settings import Settings
    from .routing.catalogue import Catalogue

AREA = "probe"
REQUEST = "Reply with the single word OK."
ANSWER_TOKENS = 16
THOUGHTS_TOKENS = 1_024
"""Room for the thoughts of a model that reasons. Some providers refuse a bound that the thoughts alone fill."""
WITHOUT_REPLY: frozenset[FaultKind] = frozenset({"unreachable", "timed_out", "not_installed", "bug"})
"""Faults that do not show by themselves that the provider replied."""
OF_THE_KEY: frozenset[FaultKind] = frozenset({"authentication", "not_allowed", "quota_spent"})
"""Faults that another key could mend."""
OWN_MENDS: Mapping[FaultKind, str] = {
    "timed_out": "Raise --probe-timeout, or see whether {provider} is down.",
    "refused": "Try again; where it stays so, choose another model of {provider}.",
    "empty": "Try again; where it stays so, choose another model of {provider}.",
}
"""What can be done about faults whose own advice is on a task or on a phase."""


@dataclass(frozen=True, kw_only=True)
class Probed(Finding):
    """How a provider answered. `ok` says that a model can be used; `name` is the provider's.

    Args:
        model: the model that was asked, as the catalogue calls it.
        reachable: something came back, be it a refusal.
        first_token_seconds: from the request to the first piece of the answer.
        seconds: from the request to the end of the answer, or to the fault; None where no request could be made.
        served_model: the model that answered, where the provider tells.
        cost_usd: None where it is not known.
        estimated: the tokens are counted by us, because the provider did not report them.
        variable: the variable that holds the key, where it is the key that the provider does not take.
    """

    model: str
    reachable: bool
    first_token_seconds: float | None
    seconds: float | None
    served_model: str | None
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    estimated: bool
    fault_kind: str | None
    fault_message: str | None
    variable: str | None


@dataclass(frozen=True, kw_only=True)
class Target:
    """Whom to ask: a provider, by one of its models."""

    provider: ProviderProfile
    model: ModelProfile


def probe_providers(matcher: AgentModelMatcher, seconds: float) -> list[Finding]:
    """Send one small request to each provider that can be used, and return how each answered, and the sum.

    The requests are real, and billed. Nothing is fetched for them: embedded models are asked where they are here.

    Args:
        matcher: its catalogue and settings say what can be used.
        seconds: how long each may take to answer.

    Raises:
        Interrupted: by Ctrl-C.
    """
    settings = matcher.settings.model_copy(update={"ymera_downloads": False})
    asked = targets(matcher.catalogue, settings, datetime.now(UTC).date())
    if not asked:
        detail = "nobody to ask: no key is set, and neither a server nor weights are here"
        return [Finding(area=AREA, name="providers", ok=None, detail=detail)]
    say(f"Asking {', '.join(target.provider.name for target in asked)}: {seconds:g} s at most …")
    try:
        probed = asyncio.run(_probe_all(asked, matcher, settings, seconds))
    except KeyboardInterrupt:
        raise Interrupted("Interrupted. Requests that were under way may be billed.") from None
    return [*probed, _sum(probed)]


def targets(catalogue: Catalogue, settings: Settings, today: date) -> list[Target]:
    """Return each provider that can be used as things are on this machine, with its cheapest model."""
    found = []
    for provider in catalogue.providers.values():
        usable = (
            model
            for model in catalogue.models.values()
            if model.provider == provider.name
            and not model.is_retired(today)
            and why_unavailable(model, provider, settings) is None
        )
        if model := cheapest(usable, today):
            found.append(Target(provider=provider, model=model))
    return found


def cheapest(models: Iterable[ModelProfile], today: date) -> ModelProfile | None:
    """Return the model to ask: one that stays, of those the cheapest, of those the fastest; None of none."""

    def rank(model: ModelProfile) -> tuple[bool, bool, float, float]:
        price = model.price.input + model.price.output if model.price else 0.0
        return model.is_leaving(today), model.price is None, price, -model.scores.get("speed", 0.0)

    return min(models, key=rank, default=None)


async def _probe_all(
    asked: Sequence[Target], matcher: AgentModelMatcher, settings: Settings, seconds: float
) -> list[Probed]:
    models = ChatModels(settings, matcher.catalogue.providers)
    probes = [_Probe(target, settings) for target in asked]
    await matcher.health.look()
    with tracing_context(enabled=False):  # it is no part of a run, and a refusal may repeat the key
        try:
            await asyncio.gather(*(one.open(models) for one in probes))
            await asyncio.gather(*(one.ask(seconds) for one in probes))
            return [await one.outcome(matcher.health) for one in probes]
        finally:
            await models.close()


class _Probe:
    """One provider's probe. It raises nothing: what goes wrong stays in it as a fault."""

    def __init__(self, target: Target, settings: Settings) -> None:
        self._target = target
        self._settings = settings
        self._chat: ChatModel | None = None
        self._answer = Answer()
        self._seconds: float | None = None
        self._refused = False

    async def open(self, models: ChatModels) -> None:
        """Make the client ready."""
        model = self._target.model
        tokens = ANSWER_TOKENS + (THOUGHTS_TOKENS if model.reasons else 0)
        try:
            self._chat = await models.open(model, max_output_tokens=tokens, temperature=0.0)
        except Exception as error:  # noqa: BLE001 - whatever keeps a client from opening is the outcome
            self._fail(error)

    async def ask(self, seconds: float) -> None:
        """Ask a model that could be opened, and take the time."""
        if self._chat is None:
            return
        self._answer.begin()
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                await self._listen(self._chat)
            self._answer.take_in()
            self._judge()
        except Exception as error:  # noqa: BLE001 - whatever a client raises is the outcome of the probe
            self._answer.take_in()
            if limit.expired():
                self._be_late()
            else:
                self._fail(error)
        self._seconds = self._answer.seconds

    async def _listen(self, chat: ChatModel) -> None:
        async for chunk in chat.astream(REQUEST):
            self._answer.chunks.append(cast("AIMessageChunk", chunk))
            if says_something(chunk) and self._answer.first_token_seconds is None:
                self._answer.first_token_seconds = self._answer.seconds

    def _judge(self) -> None:
        """Find fault with the answer, unless it is only that it is longer than it was allowed to be."""
        fault = finish_fault(self._answer.message or AIMessage(""))
        if fault is None or fault["kind"] != "length_reached":
            self._answer.fault = fault

    def _be_late(self) -> None:
        how = "it did not begin" if self._answer.first_token_seconds is None else "it was not complete"
        self._answer.fault = make_fault("timed_out", f"{kind_profile('timed_out').title}: {how}")

    def _fail(self, error: Exception) -> None:
        self._answer.fault = fault_of(error, self._target.provider, self._settings)
        self._answer.asked = retry_after(error)
        self._refused = _has_status(error)

    async def outcome(self, health: Health) -> Probed:
        """Return how the provider answered, with what it cost. Runs are told too: who answers is no longer avoided."""
        answer, model, provider = self._answer, self._target.model, self._target.provider
        kind = cast("FaultKind", answer.fault["kind"]) if answer.fault else None
        tokens = count_tokens(REQUEST)
        usage = await usage_of(model, answer.message, answer.started_at, prompt_tokens=tokens, kind=kind)
        mark = mark_of(keys_of(provider, self._settings))
        await health.report(model, kind, asked=answer.asked, key_mark=mark)
        message, mend = _what_and_mend(answer.fault, provider) if answer.fault else (None, "")
        return Probed(
            area=AREA,
            name=provider.name,
            ok=kind is None,
            detail="; ".join([f"{model.name}: {message or self._pace()}", *self._details(usage)]),
            mend=mend,
            model=model.name,
            reachable=self._is_reachable(kind),
            first_token_seconds=_rounded(answer.first_token_seconds),
            seconds=_rounded(self._seconds),
            served_model=served_model(answer.message),
            input_tokens=usage["input_tokens"],
            output_tokens=usage["output_tokens"],
            cost_usd=None if usage["unpriced"] else usage["cost_usd"],
            estimated=usage["estimated"] > 0,
            fault_kind=kind,
            fault_message=message,
            variable=provider.variables[0] if kind in OF_THE_KEY and provider.variables else None,
        )

    def _is_reachable(self, kind: FaultKind | None) -> bool:
        if self._seconds is None:
            return False
        return bool(self._answer.chunks) or self._refused or kind not in WITHOUT_REPLY

    def _pace(self) -> str:
        first = self._answer.first_token_seconds
        begun = "" if first is None else f"first token after {first:.2f} s, "
        return f"{begun}whole answer after {self._seconds or 0:.2f} s"

    def _details(self, usage: Usage) -> list[str]:
        """Return what is to be told besides the pace or the fault."""
        details = []
        if self._answer.fault and self._seconds is not None:
            details.append(f"after {self._seconds:.2f} s")
        if tokens := usage["input_tokens"] + usage["output_tokens"]:
            about = "about " if usage["estimated"] else ""
            details.append(f"{about}{tokens} tokens, {cost_text(self._spent(usage))}")
        elif usage["unpriced"]:
            details.append("it may be billed, its cost is unknown")
        served = served_model(self._answer.message)
        if served not in (None, self._target.model.model_id):
            details.append(f"served by {served}")
        return details

    def _spent(self, usage: Usage) -> Spent:
        return Spent(
            usd=usage["cost_usd"],
            unpriced=usage["unpriced"],
            estimated=usage["estimated"],
            at_home=self._target.provider.name in FREE_PROVIDERS,
        )


def _what_and_mend(fault: Fault, provider: ProviderProfile) -> tuple[str, str]:
    """Return what a fault says, and apart from it what a person can do."""
    kind = cast("FaultKind", fault["kind"])
    places = {
        "variable": provider.variables[0] if provider.variables else "the key",
        "provider": provider.title,
    }
    mend = kind_profile(kind).mend.format_map(places)
    message = fault["message"].removesuffix(mend).rstrip(" .")
    return message, OWN_MENDS[kind].format_map(places) if kind in OWN_MENDS else mend


def _has_status(error: BaseException | None) -> bool:
    """Say whether an error, or one that caused it, came with an HTTP status: somebody has replied."""
    return error is not None and (signs_of(error).status is not None or _has_status(error.__cause__))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def _sum(probed: Sequence[Probed]) -> Finding:
    answered = sum(one.ok is True for one in probed)
    spent = Spent(
        usd=sum(one.cost_usd or 0.0 for one in probed),
        unpriced=sum(one.cost_usd is None for one in probed),
        estimated=sum(one.estimated for one in probed),
        at_home=all(one.name in FREE_PROVIDERS for one in probed),
    )
    tokens = sum(one.input_tokens + one.output_tokens for one in probed)
    detail = f"{answered} of {len(probed)} answered; {tokens} tokens, {cost_text(spent)}"
    return Finding(area=AREA, name="all", ok=None, detail=detail)
