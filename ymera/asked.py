"""What a caller asks for, as a run to be made: checked, planned, and with the key under which its result is stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from .nodes.matching import AgentModelMatcher
from .nodes.state import RunContext, RunInput, State
from .results import FORMAT, MultiModelResult
from .routing.catalogue import Catalogue
from .routing.errors import NoUsableModelError
from .routing.flow import key_of, ranking
from .routing.layout import Layout
from .routing.limits import check_parameters
from .routing.matcher import TaskRequest, Wishes
from .routing.records import ModelProfile, Rejected, Strategy
from .routing.tenants import stored_thread


@dataclass(frozen=True, kw_only=True)
class AskedRun:
    """A run about to start or to go on.

    Args:
        named: the caller named the thread: a run may stand there already.
    """

    request: TaskRequest
    context: RunContext
    wishes: Wishes
    plan: Strategy
    thread_id: str
    named: bool
    reads_cache: bool
    writes_cache: bool

    @property
    def layout(self) -> Layout:
        """The groups of its phases."""
        return tuple(tuple(group) for group in self.plan["layout"])

    @property
    def input(self) -> RunInput:
        """What its graph begins with."""
        return RunInput(
            task=self.request.description,
            agent=self.request.agent_name,
            parameters=dict(self.request.parameters),
            phases=_phases(self.plan),
        )

    def is_that_of(self, state: State) -> bool:
        """Say whether the run of a thread does the same: wherever it was begun, it then goes on."""
        return (
            state.get("task_description") == self.request.description
            and state.get("task_parameters") == self.request.parameters
            and state["plan"]["agent_name"] == self.plan["agent_name"]
            and _phases(state["plan"]) == _phases(self.plan)
        )

    def keeps(self, result: MultiModelResult) -> bool:
        """Say whether its result is stored: that of another arm than the key names is not."""
        made = (result.plan or self.plan).get("trial")
        return result.success and self.writes_cache and made == self.plan.get("trial")

    async def cache_key(self, matcher: AgentModelMatcher) -> str:
        """Return the key of its result: what was asked, how, and which models would answer by the catalogue.

        What was measured moves plans from run to run. The same task still has the same result.
        """
        agent = matcher.agent_profiles.get(self.plan["agent_name"])
        wishes = matcher.trials.followed(self.wishes, self.plan.get("trial"))
        usual = await matcher.unmoved(self.request, wishes)
        choices = [(p["phase"], [key_of(c) for c in ranking(p)]) for p in usual["phases"]]
        asked = [
            FORMAT,
            self.input,
            self.context.model_dump(mode="json"),
            asdict(agent) if agent else None,
            choices,
        ]
        text = json.dumps(asked, sort_keys=True, ensure_ascii=False, default=str)
        return hashlib.sha256(stored_thread(matcher.settings.ymera_tenant, text).encode()).hexdigest()


def request_of(
    agent_name: str, description: str, parameters: Mapping[str, Any] | None, phases: Sequence[str] | None
) -> TaskRequest:
    """Return a request.

    Raises:
        InputError: the parameters are no JSON.
    """
    given = parameters or {}
    check_parameters(given)
    return TaskRequest(agent_name=agent_name, description=description, parameters=dict(given), phases=phases)


def check_models(plan: Strategy, catalogue: Catalogue) -> None:
    """Raise NoUsableModelError where no model may be called for a critical phase of a plan."""
    today = datetime.now(UTC).date()
    for phase in plan["phases"]:
        if phase["critical"] and phase["primary_model"] is None:
            # What retired cannot be mended by a key.
            open_to = [r for r in phase["rejected"] if not _model(r, catalogue).is_retired(today)]
            reasons = dict.fromkeys(f"{r['provider']}: {r['reason']}" for r in open_to)
            raise NoUsableModelError(
                f"No usable model for {phase['phase']}. Set a provider's key, or install the embedded models: "
                "pip install 'ymera[local]'. Looked at:\n  " + "\n  ".join(reasons)
            )


def _phases(plan: Strategy) -> list[str]:
    return [planned["phase"] for planned in plan["phases"]]


def _model(rejected: Rejected, catalogue: Catalogue) -> ModelProfile:
    return catalogue.models[f"{rejected['provider']}:{rejected['model']}"]
