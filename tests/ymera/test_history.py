"""Time travel: what happened on a thread, a fork that goes another way, and what then differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dirty_equals import IsPartialDict
from httpx import RemoteProtocolError
from inline_snapshot import snapshot
from typer.testing import CliRunner, Result

from tests.scripted import ACCEPT, REVISE, Line, Script, scripted_services
from tests.security.hostile import HOSTILE, Hostile
from tests.security.unfinished import NEWEST, tamper
from tests.servers.faulty import Answer, Fault, FaultyServer
from ymera import InputError, MultiModelExecutor, MultiModelResult, ResumeError, RunContext, Settings
from ymera.cli import app
from ymera.routing.errors import ThreadBusyError
from ymera.routing.flow import key_of
from ymera.thread_run import sole
from ymera.time_travel import Change, Comparison, compare, fork, history

TASK = "Create a FastAPI endpoint for user management"
DOWN = ConnectionError("no route to host")
ODD = ("msgpack: constructor of named ones", "msgpack: pydantic 1", "pickle called msgpack", "an object")
"""Hostile values whose errors are the least alike."""
REFUSED = RemoteProtocolError("peer closed connection without sending complete message body")


@pytest.fixture
def script() -> Script:
    return Script(otherwise=Line(text="an answer"), judge=Line(text=REVISE))


@pytest.fixture
def executor(script: Script, settings: Settings) -> MultiModelExecutor:
    return MultiModelExecutor(services=scripted_services(script, settings))


async def done(executor: MultiModelExecutor, agent: str = "coding_agent", **given: Any) -> MultiModelResult:
    return await executor.execute_with_multi_model(agent, TASK, thread_id="t", **given)


async def forked(
    executor: MultiModelExecutor, phase: str, change: Change | None = None
) -> tuple[MultiModelResult, Comparison]:
    new = await fork("t", phase, executor.services, change)
    result = await executor.resume(new)
    return result, await compare("t", new, executor.services)


def own(result: MultiModelResult) -> list[str]:
    return [a["id"] for p in result.phase_results for a in p.attempts if not a.get("inherited")]


async def test_history_tells_every_step_with_its_checkpoint(
    executor: MultiModelExecutor, script: Script
) -> None:
    script.lines["openai/gpt-oss-120b"].append(Line(error=DOWN))
    await done(executor)
    steps = await history("t", executor.services)
    told = [(step.what, step.attempt, step.detail.partition(":")[0]) for step in steps]
    assert told[0][0] == "plan"
    assert ("attempt", "planning-1", "unreachable") in told
    assert told[-3:] == [
        ("attempt", "generation-1", "answered"),
        ("attempt", "review-1", "answered"),
        ("attempt", "refinement-1", "answered"),
    ]
    review = steps[-2]
    assert review.verdict == IsPartialDict(decision="revise")
    assert (review.tokens, review.cost is not None and review.cost > 0) == (17, True)
    assert len({step.checkpoint for step in steps}) == len(steps)


async def test_history_tells_what_a_person_answered_and_why_a_run_stopped(
    executor: MultiModelExecutor,
) -> None:
    await done(executor, context=RunContext(approve=["plan"]))
    await executor.resume("t", answer={"decision": "reject", "why": "no"})
    steps = await history("t", executor.services)
    assert [(step.what, step.name, step.detail) for step in steps[2:]] == snapshot(
        [("answer", "plan", "reject: no"), ("stop", "", "The plan was rejected: no")]
    )


@pytest.mark.parametrize(
    ("phase", "made"),
    [
        ("planning", ["planning-1", "generation-1", "review-1", "refinement-1"]),
        ("generation", ["generation-1", "review-1", "refinement-1"]),
        ("review", ["review-1", "refinement-1"]),
        ("refinement", ["refinement-1"]),
    ],
)
async def test_a_fork_makes_its_phase_and_what_follows_and_inherits_the_rest(
    executor: MultiModelExecutor, script: Script, phase: str, made: list[str]
) -> None:
    first = await done(executor)
    calls = len(script.calls)
    result, _ = await forked(executor, phase)
    assert (result.success, own(result), len(script.calls) - calls) == (True, made, len(made))
    assert result.forked_from is not None
    assert result.total_cost + result.forked_from["usage"]["cost_usd"] == pytest.approx(first.total_cost)
    assert result.total_tokens_used == sum(phase.tokens_used for phase in result.phase_results)


async def test_the_thread_that_is_forked_stays_as_it_was(
    executor: MultiModelExecutor, script: Script
) -> None:
    await done(executor)
    before = (await history("t", executor.services), await executor.resume("t"))
    script.otherwise = Line(text="something else")
    await forked(executor, "generation", Change(model="deepseek-flash"))
    after = (await history("t", executor.services), await executor.resume("t"))
    assert before[0] == after[0]
    assert before[1].final_result == after[1].final_result == "an answer"


async def test_a_forks_model_makes_the_phase_and_the_plans_are_its_fallbacks(
    executor: MultiModelExecutor, script: Script
) -> None:
    script.lines["deepseek-flash"].append(Line(text="a better answer"))
    await done(executor)
    result, both = await forked(executor, "refinement", Change(model="deepseek-flash"))
    assert result.final_result == "a better answer"
    assert both.models["refinement"][1] == "deepseek:deepseek-flash"
    assert both.models["generation"][0] == both.models["generation"][1]
    assert both.diff == f"--- t\n+++ {result.thread_id}\n@@ -1 +1 @@\n-an answer\n+a better answer"
    script.lines["deepseek-flash"].clear()
    script.lines["deepseek-flash"].append(Line(error=DOWN))
    result, both = await forked(executor, "refinement", Change(model="deepseek-flash"))
    assert (result.success, both.models["refinement"][0]) == (True, both.models["refinement"][1])


async def test_a_text_takes_the_place_of_a_phases_output(
    executor: MultiModelExecutor, script: Script
) -> None:
    await done(executor)
    calls = len(script.calls)
    result, both = await forked(executor, "generation", Change(output="written by hand"))
    asked = "\n".join(str(message.content) for message in script.calls[calls][1])
    assert "written by hand" in asked
    assert own(result) == ["generation-1", "review-1", "refinement-1"]
    assert both.models["generation"][1] == "person:by hand"
    assert "by hand" not in result.models_used


async def test_a_verdict_that_is_written_by_hand_decides_how_the_fork_goes_on(
    executor: MultiModelExecutor, script: Script
) -> None:
    await done(executor)
    calls = len(script.calls)
    result, both = await forked(executor, "review", Change(output=ACCEPT))
    assert (result.success, len(script.calls), both.verdicts["review"]) == (True, calls, ("revise", "accept"))
    with pytest.raises(InputError, match="The text is no verdict, which review gives"):
        await fork("t", "review", executor.services, Change(output="looks fine"))


@pytest.mark.parametrize("said", [ACCEPT, REVISE], ids=["accepted", "to be revised"])
@pytest.mark.parametrize("phase", ["research", "generation"])
async def test_a_fork_does_not_make_again_what_ran_beside_its_phase(
    executor: MultiModelExecutor, script: Script, phase: str, said: str
) -> None:
    script.judge = Line(text=said)
    await done(executor, "documentation_agent")
    result, _ = await forked(executor, phase)
    beside = {"research": "generation", "generation": "research"}[phase]
    assert (result.success, f"{beside}-1" in own(result), f"{phase}-1" in own(result)) == (True, False, True)


async def test_a_fork_of_a_fork_inherits_from_both(executor: MultiModelExecutor) -> None:
    first = await done(executor)
    new = await fork("t", "generation", executor.services, into="second")
    await executor.resume(new)
    last = await executor.resume(await fork("second", "refinement", executor.services))
    assert own(last) == ["refinement-1"]
    assert last.forked_from is not None
    paid = last.total_cost + last.forked_from["usage"]["cost_usd"]
    assert paid == pytest.approx(first.total_cost)


async def test_a_failed_run_is_forked_where_it_failed(executor: MultiModelExecutor, script: Script) -> None:
    script.otherwise = Line(error=DOWN)
    failed = await done(executor)
    assert not failed.success
    script.otherwise = Line(text="an answer")
    result, both = await forked(executor, "planning")
    assert result.success
    assert both.models["planning"][0] == ""


async def test_a_fork_waits_again_at_the_gates_behind_its_phase(executor: MultiModelExecutor) -> None:
    await done(executor, context=RunContext(approve=["plan", "review"]))
    await executor.resume("t", answer="approve")
    await executor.resume("t", answer="accept")
    new = await fork("t", "generation", executor.services)
    waiting = await executor.resume(new)
    assert waiting.waiting is not None
    assert waiting.waiting["gate"] == "review"
    assert (await executor.resume(new, answer="accept")).success


async def test_a_verdict_that_another_took_the_place_of_is_none_of_a_forks_steps(
    executor: MultiModelExecutor,
) -> None:
    await done(executor, context=RunContext(approve=["review"]))
    await executor.resume("t", answer={"decision": "model", "model": "deepseek-flash"})
    await executor.resume("t", answer={"decision": "revise", "note": "greet all"})
    new = await fork("t", "refinement", executor.services)
    told = {step.attempt: step.verdict for step in await history(new, executor.services) if step.attempt}
    assert told["review-1"] is None
    assert told["review-2"] == IsPartialDict(decision="revise")


async def test_a_forked_run_spends_a_budget_of_its_own(executor: MultiModelExecutor) -> None:
    first = await done(executor, context=RunContext(budget_tokens=10_000))
    result, _ = await forked(executor, "planning")
    assert result.total_tokens_used == first.total_tokens_used


@pytest.mark.parametrize(
    ("thread", "phase", "error", "said"),
    [
        pytest.param("none", "planning", ResumeError, "No run on thread 'none'", id="no such thread"),
        pytest.param(
            "t", "nonsense", InputError, "has no phase 'nonsense'. Its phases: planning", id="no phase"
        ),
        pytest.param(
            "t", "review", ResumeError, "never came to review. It came to: planning.", id="never reached"
        ),
    ],
)
async def test_what_cannot_be_forked_is_told_in_one_error(
    executor: MultiModelExecutor, thread: str, phase: str, error: type[Exception], said: str
) -> None:
    await done(executor, context=RunContext(approve=["plan"]))
    await executor.resume("t", answer="reject")
    with pytest.raises(error, match=said):
        await fork(thread, phase, executor.services)


async def test_a_fork_writes_over_no_other_thread(executor: MultiModelExecutor) -> None:
    await done(executor)
    with pytest.raises(ResumeError, match="There is a thread 't' already"):
        await fork("t", "review", executor.services, into="t")


async def test_a_model_that_cannot_be_called_is_told_before_the_fork_is_made(
    executor: MultiModelExecutor,
) -> None:
    await done(executor)
    with pytest.raises(InputError, match="Unknown model 'nonsense'"):
        await fork("t", "review", executor.services, Change(model="nonsense"), into="new")
    with pytest.raises(ResumeError):
        await executor.resume("new")


async def test_a_provider_that_was_ruled_out_is_asked_again_where_a_fork_names_its_model(
    executor: MultiModelExecutor, script: Script, settings: Settings, tmp_path: Path
) -> None:
    model = "openai/gpt-oss-120b"
    script.lines[model].extend([Line(error=DOWN), Line(error=DOWN), Line(text="back again")])
    first = await done(executor)
    assert first.phase_results[0].attempts[0]["fault"] == IsPartialDict(then="drop_provider")
    # A day later, nobody is cooling down any more.
    later = {"ymera_data_dir": tmp_path / "later", "ymera_checkpoints": settings.checkpoints}
    executor = MultiModelExecutor(services=scripted_services(script, settings.model_copy(update=later)))
    result, _ = await forked(executor, "generation", Change(model=f"groq:{model}"))
    assert key_of(result.phase_results[1].attempts[-1]) == f"groq:{model}"


@pytest.mark.parametrize("hostile", [one for one in HOSTILE if one.id in ODD], ids=lambda one: one.id)
async def test_steps_that_cannot_be_read_are_one_clear_error(
    executor: MultiModelExecutor, settings: Settings, hostile: Hostile
) -> None:
    await done(executor)
    before = f"UPDATE checkpoints SET type = ?, checkpoint = ? WHERE checkpoint_id <> {NEWEST}"
    tamper(Path(settings.checkpoints), before, (hostile.type, hostile.data))
    assert (await executor.resume("t")).success, "what stands now is not what stood before"
    for looking_back in (history("t", executor.services), fork("t", "planning", executor.services)):
        with pytest.raises(InputError, match="The checkpoints of thread 't' cannot be read:"):
            await looking_back


async def test_a_fork_goes_to_no_thread_whose_run_is_under_way(executor: MultiModelExecutor) -> None:
    await done(executor)
    async with sole("new", executor.settings):
        with pytest.raises(ThreadBusyError, match="Another run is under way on thread 'new'"):
            await fork("t", "review", executor.services, into="new")
    assert await fork("t", "review", executor.services, into="new") == "new"


def ymera(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), prog_name="ymera")


PLAN = Answer(text="1. Write the route.")
CODE = Answer(text="print('hello')")
GOOD = Answer(text=ACCEPT)


@pytest.mark.usefixtures("own_logging", "no_models_at_home")
def test_the_commands_tell_fork_and_compare(groq: FaultyServer, tmp_path: Path) -> None:
    groq.script("groq", [Fault("503"), Fault("503"), PLAN, CODE, GOOD, GOOD])
    assert ymera("run", TASK, "--thread", "t").exit_code == 0
    table = ymera("history", "t")
    assert table.exit_code == 0, table.output
    assert "verdict: accept" in table.stdout
    steps = json.loads(ymera("history", "t", "--json").stdout)
    assert all(step["checkpoint"] in table.stdout for step in steps)
    assert [step["attempt"] for step in steps] == [
        "",
        "planning-1",
        "planning-2",
        "planning-3",
        "generation-1",
        "review-1",
    ]
    (tmp_path / "mine.py").write_text("print('mine')", encoding="utf-8")
    fork = ymera("fork", "t", "--at", "generation", "--edit", str(tmp_path / "mine.py"), "--thread", "f")
    assert fork.exit_code == 0, fork.output
    for told in ("person:by hand", "inherited", "verdict of review", "-print('hello')", "+print('mine')"):
        assert told in fork.stdout
    assert len(groq.sent_to("groq")) == 6
    both = json.loads(ymera("compare", "t", "f", "--json").stdout)
    assert both["models"]["generation"][1] == "person:by hand"
    assert "+print('mine')" in both["diff"]
    same = ymera("compare", "t", "t")
    assert "The final results are the same." in same.stdout


@pytest.mark.usefixtures("own_logging", "no_models_at_home")
@pytest.mark.parametrize(
    "command", [["history", "x"], ["compare", "x", "y"], ["fork", "x", "--at", "review"]]
)
def test_an_unknown_thread_is_one_clear_error(groq: FaultyServer, command: list[str]) -> None:
    result = ymera(*command)
    assert result.exit_code == 2
    assert "No run on thread 'x' in" in result.stderr


@pytest.mark.usefixtures("own_logging", "no_models_at_home")
def test_what_cannot_be_forked_is_one_clear_error_on_the_command_line(
    groq: FaultyServer, tmp_path: Path
) -> None:
    groq.script("groq", [PLAN, CODE, GOOD])
    assert ymera("run", TASK, "--thread", "t").exit_code == 0
    (tmp_path / "words.txt").write_text("It is fine.", encoding="utf-8")
    wrong = {
        "has no phase 'nonsense'. Its phases: planning": ["--at", "nonsense"],
        "Unknown model 'nobody'. `ymera models` lists all.": ["--at", "review", "--model", "nobody"],
        "MISTRAL_API_KEY is not set": ["--at", "review", "--model", "mistral-medium-latest"],
        "--edit cannot be read": ["--at", "review", "--edit", "none.txt"],
        "The text is no verdict, which review gives.": ["--at", "review", "--edit", "words.txt"],
        "There is a thread 't' already.": ["--at", "review", "--thread", "t"],
        "never came to refinement": ["--at", "refinement"],
    }
    for said, options in wrong.items():
        told = ymera("fork", "t", *options)
        assert told.exit_code in (2, 3), told.output
        assert said in told.stderr, told.stderr
        assert len(told.stderr.splitlines()) == 1, told.stderr
    assert [thread["thread_id"] for thread in json.loads(ymera("threads", "--json").stdout)] == ["t"]
