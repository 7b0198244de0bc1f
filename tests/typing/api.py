"""The public interface as a caller's type checker sees it. Never run: `mypy` reads it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal, assert_type

from ymera import (
    AgentModelMatcher,
    AgentTaskProfile,
    CatalogueError,
    InputError,
    ModelProfile,
    MultiModelExecutor,
    MultiModelResult,
    NoUsableModelError,
    PhaseProfile,
    PhaseResult,
    ProgressEvent,
    ResumeError,
    RunContext,
    Settings,
    Strategy,
    TaskPhase,
    UnknownAgentError,
    WeightsError,
    YmeraError,
    get_agent_model_matcher,
    get_multi_model_executor,
)
from ymera.graphs.workflow import Workflow, build, graph
from ymera.routing.attempts import Attempt, Verdict
from ymera.routing.records import Candidate, PhasePlan, Reading, Rejected
from ymera.routing.scoring import Case, WeightedScorer


async def the_basic_usage_of_the_specification() -> None:
    executor = get_multi_model_executor()
    assert_type(executor, MultiModelExecutor)
    result = await executor.execute_with_multi_model(
        agent_name="coding_agent",
        task_description="Create a FastAPI endpoint for user management",
        task_parameters={"language": "python", "framework": "fastapi"},
    )
    assert_type(result, MultiModelResult)
    assert_type(result.strategy_type, str)
    assert_type(result.successful_phases, int)
    assert_type(result.total_phases, int)
    assert_type(result.success, bool)
    assert_type(result.phase_results, list[PhaseResult])
    assert_type(result.total_execution_time, float)
    assert_type(result.total_cost, float)
    assert_type(result.models_used, list[str])
    assert_type(result.skipped_phases, dict[str, str])
    assert_type(result.plan, Strategy | None)
    assert_type(MultiModelResult.from_json(result.to_json()), MultiModelResult)


async def the_custom_phase_selection_of_the_specification(executor: MultiModelExecutor) -> None:
    await executor.execute_with_multi_model(
        agent_name="coding_agent",
        task_description="Quick code snippet",
        task_parameters={"language": "python"},
        enable_phases=["planning", "generation"],
    )
    await executor.execute_with_multi_model("coding_agent", "x", enable_phases=[TaskPhase.GENERATION])
    await executor.execute_with_multi_model("coding_agent", "x", enable_phases=[1])  # type: ignore[list-item]


def the_phases_of_a_result(phase: PhaseResult) -> None:
    assert_type(phase.phase, str)
    assert_type(phase.success, bool)
    assert_type(phase.tokens_used, int)
    assert_type(phase.error, str | None)
    assert_type(phase.attempts, list[Attempt])
    assert_type(phase.verdict, Verdict | None)


async def the_inspection_of_the_specification() -> None:
    matcher = get_agent_model_matcher()
    assert_type(matcher, AgentModelMatcher)
    strategy = await matcher.match_agent_to_models(
        agent_name="coding_agent",
        task_description="Complex microservices architecture",
        task_parameters={"complexity": "high"},
    )
    assert_type(strategy, Strategy)
    assert_type(strategy["strategy_type"], Literal["multi_model", "single_model"])
    assert_type(strategy["reading"], Reading)
    for phase in strategy["phases"]:
        assert_type(phase, PhasePlan)
        assert_type(phase["primary_model"], Candidate | None)
        assert_type(phase["fallback_models"], list[Candidate])
        assert_type(phase["rejected"], list[Rejected])
        assert_type(phase["reason"], str)


def what_users_add(matcher: AgentModelMatcher) -> None:
    custom_profile = AgentTaskProfile(
        agent_name="custom_agent",
        task_type="custom",
        preferred_models=["gemini-2.5-flash"],
        phases_needed=[TaskPhase.GENERATION],
        can_use_multiple_models=False,
    )
    matcher.agent_profiles["custom_agent"] = custom_profile
    matcher.models["openai:mine"] = ModelProfile(
        name="mine",
        provider="openai",
        model_id="mine",
        scores={"code": 9},
        context_tokens=8_000,
        max_output_tokens=1_000,
    )

    def likes_short_names(model: ModelProfile, case: Case) -> float:
        assert_type(case.phase, PhaseProfile)
        return 1 / len(model.name)

    matcher.scorers.append(WeightedScorer(name="short", weight=0.1, score=likes_short_names))


async def streaming_and_resuming(executor: MultiModelExecutor) -> None:
    context = RunContext(strategy="single_model", providers=["groq"], budget_usd=0.1, temperature=0.2)
    assert_type(context.attempts, int)
    events: AsyncIterator[ProgressEvent] = executor.stream(
        "coding_agent", "x", context=context, thread_id="t"
    )
    async for event in events:
        if event["event"] == "finished":
            assert_type(event["result"], MultiModelResult)
    assert_type(await executor.resume("t", context), MultiModelResult)
    assert_type(executor.execute_sync("coding_agent", "x"), MultiModelResult)


def a_run_with_wrong_settings() -> None:
    RunContext(strategy="best")  # type: ignore[arg-type]
    RunContext(budget=1)  # type: ignore[call-arg]


def settings_and_services() -> None:
    settings = Settings()
    assert_type(settings.max_parallel_phases, int)
    MultiModelExecutor(settings, AgentModelMatcher(settings))


def the_graph() -> None:
    assert_type(graph, Workflow)
    assert_type(build((("planning",), ("generation",))).compile(), Workflow)


def errors(error: YmeraError) -> str:
    match error:
        case UnknownAgentError():
            return error.agent_name
        case CatalogueError():
            return assert_type(error.faults, tuple[str, ...])[0]
        case InputError() | NoUsableModelError() | WeightsError() | ResumeError():
            return str(error)
    return ""
