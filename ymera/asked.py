"""What a caller asks for, as a run to be made: checked, planned, and with the key under which its result is stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .nodes.matching import AgentModelMatcher
from .nodes.state import RunContext, RunInput, State
from .results import FORMAT, MultiModelResult
from .routing.catalogue import Catalogue
from .routing.errors import NoUsableModelError
from .routing.flow import key_of, ranking
from .routing.limits import check_parameters
from .routing.matcher import TaskRequest, Wishes
from .routing.records import ModelProfile, Rejected, Strategy
from .routing.tenants import stored_thread


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a caller asks for, checked.

    Args:
        usual: its plan as the catalogue alone has it. What was measured moves plans from run to run; the same task
            still has the same result.
        named: the caller named the thread: a run may stand there already.
    """

    request: TaskRequest
    context: RunContext
    wishes: Wishes
    usual: Strategy
    thread_id: str
    named: bool
    reads_cache: bool
    writes_cache: bool

    @property
    def input(self) -> RunInput:
        """What its graph begins with."""
        return RunInput(
            task=self.request.description,
            agent=self.request.agent_name,
            parameters=dict(self.request.parameters),
            phases=phases_of(self.usual),
        )

    def keeps(self, result: MultiModelResult) -> bool:
        """Say whether its result is stored: that of another arm than the key names is not."""
        made = (result.plan or self.usual).get("trial")
        return result.success and self.writes_cache and made == self.usual.get("trial")

    def cache_key(self, matcher: AgentModelMatcher) -> str:
        """Return the key of its result: what was asked, how, and which models would answer by the catalogue."""
        agent = matcher.agent_profiles.get(self.usual["agent_name"])
        choices = [(p["phase"], [key_of(c) for c in ranking(p)]) for p in self.usual["phases"]]
        asked = [
            FORMAT,
            self.input,
            self.context.model_dump(mode="json"),
            repr(agent),  # all that is in it, in the order of its fields
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


def is_run_of(state: State, asked: Asked, plan: Strategy) -> bool:
    """Say whether the run of a thread does what is asked: wherever it was begun, it then goes on."""
    return (
        state.get("task_description") == asked.request.description
        and state.get("task_parameters") == asked.request.parameters
        and state["plan"]["agent_name"] == plan["agent_name"]
        and phases_of(state["plan"]) == phases_of(plan)
    )


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


def phases_of(plan: Strategy) -> list[str]:
    """Return the names of a plan's phases, in their order."""
    return [planned["phase"] for planned in plan["phases"]]


def _model(rejected: Rejected, catalogue: Catalogue) -> ModelProfile:
    return catalogue.models[f"{rejected['provider']}:{rejected['model']}"]
