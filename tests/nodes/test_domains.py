"""The domain of a task that names none: learned from texts whose callers named it, and only where words tell it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from pydantic import SecretStr

from tests.told import BILLS, PARSERS, told
from ymera.nodes import domains
from ymera.nodes.domains import Domains, Learned
from ymera.nodes.matching import AgentModelMatcher
from ymera.nodes.outcomes import Outcomes
from ymera.nodes.services import make_services
from ymera.nodes.settings import Settings
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.domains import PastTask
from ymera.routing.matcher import TaskRequest
from ymera.routing.records import InDomain

CATALOGUE = builtin_catalogue()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        self.now += domains.LOOK_SECONDS
        return self.now


def learning(settings: Settings, **fields: Any) -> Settings:
    return settings.model_copy(update={"ymera_outcome_texts": True, **fields})


def outcomes_of(settings: Settings) -> Outcomes:
    return make_services(settings, AgentModelMatcher(settings, CATALOGUE)).outcomes


async def taught(settings: Settings, rows: Iterable[dict[str, Any]]) -> Domains:
    """Return the domains of a process that has learned what there is in these rows."""
    await outcomes_of(settings).take_in(rows)
    found = Domains(settings, clock=Clock())
    await found.ready()
    return found


async def domain_of(
    found: Domains, text: str, agent: str = "coding_agent", **parameters: Any
) -> InDomain | None:
    request = TaskRequest(agent_name=agent, description=text, parameters=parameters)
    return (await found.read(request, CATALOGUE)).domain


BILL = BILLS[0].format(number=77)


async def test_a_domain_that_callers_named_is_read_in_a_text_like_theirs(settings: Settings) -> None:
    found = await taught(learning(settings), told())
    bill, parser = [await domain_of(found, texts[0].format(number=77)) for texts in (BILLS, PARSERS)]
    assert bill is not None
    assert parser is not None
    assert (bill["name"], parser["name"]) == ("billing", "parsers")
    assert bill["probability"] > 0.7


@pytest.mark.parametrize(
    ("agent", "parameters", "read"),
    [
        pytest.param("coding_agent", {}, "billing", id="of the agent of those tasks"),
        pytest.param("coding", {}, "billing", id="of it, by its short name"),
        pytest.param("coding_agent", {"domain": "shops"}, None, id="whose caller names another"),
        pytest.param("coding_agent", {"domain": ""}, "billing", id="whose caller names none"),
        pytest.param("database_agent", {}, None, id="of another agent with a profile"),
        pytest.param("an_agent_without_profile", {}, "billing", id="of an agent without a profile"),
    ],
)
async def test_whose_task_is_read(
    agent: str, parameters: dict[str, Any], read: str | None, settings: Settings
) -> None:
    found = await domain_of(await taught(learning(settings), told()), BILL, agent, **parameters)
    assert (found and found["name"]) == read


async def test_an_agent_without_a_profile_gets_the_domain_of_the_agent_whose_tasks_are_alike(
    settings: Settings,
) -> None:
    rows = told(
        billing={"agent": "database_agent", "domain": "database_agent"}, parsers={"domain": "coding_agent"}
    )
    found = await taught(learning(settings), rows)
    alike = await domain_of(found, BILL, "helper")
    assert alike is not None
    assert alike["name"] == "database_agent"
    assert await domain_of(found, BILL, "coding_agent") is None, "its own name says as much"


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([], id="no task"),
        pytest.param(told(count=5), id="too few tasks of each domain"),
        pytest.param(told(billing={"domain": "parsers"}), id="one domain"),
        pytest.param(told(parsers={"task": ""}, billing={"task": ""}), id="no texts"),
        pytest.param(told(parsers={"task": "?!"}, billing={"task": "…"}), id="no words"),
        pytest.param(
            [{**row, "domain": ("billing", "parsers")[n // 4 % 2]} for n, row in enumerate(told(count=40))],
            id="words that tell nothing",
        ),
    ],
)
async def test_from_what_tells_no_domains_apart_nothing_is_learned(
    rows: list[dict[str, Any]], settings: Settings
) -> None:
    assert await domain_of(await taught(learning(settings), rows), BILL) is None


@pytest.mark.parametrize("fields", [{"ymera_outcome_texts": False}, {"ymera_outcome_days": 0}], ids=str)
async def test_without_the_wish_to_keep_texts_none_is_read(
    fields: dict[str, Any], settings: Settings
) -> None:
    await outcomes_of(settings).take_in(told())
    found = Domains(learning(settings, **fields), clock=Clock())
    await found.ready()
    assert await domain_of(found, BILL) is None


async def test_without_the_extra_nothing_is_read_and_the_log_says_what_to_install(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "ymera.nodes.classifier", raising=False)
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)  # as where it is not installed
    with caplog.at_level(logging.INFO):
        found = await taught(learning(settings), told())
    assert await domain_of(found, BILL) is None
    (message,) = [record.getMessage() for record in caplog.records if record.name == "ymera.domains"]
    assert "pip install 'ymera[learn]'" in message
    found.look()
    await found.ready()
    assert len([record for record in caplog.records if record.name == "ymera.domains"]) == 1


async def test_texts_are_learned_from_where_they_are_encrypted_and_not_with_another_key(
    settings: Settings,
) -> None:
    keys = [SecretStr(f"an-aes-key-of-32-bytes-number-{n:02}") for n in range(2)]
    mine, other = (learning(settings, langgraph_aes_key=key) for key in keys)
    assert await domain_of(await taught(mine, told()), BILL) is not None
    assert await domain_of(await taught(other, []), BILL) is None


async def test_a_tenant_learns_from_no_text_of_another(settings: Settings) -> None:
    await outcomes_of(learning(settings, ymera_tenant="acme")).take_in(told())
    assert await domain_of(await taught(learning(settings), []), BILL) is None


async def test_what_was_read_teaches_nothing(settings: Settings) -> None:
    rows = told()
    read = [{**row, "domain_read": 0.9} if row["domain"] == "billing" else row for row in rows]
    assert await domain_of(await taught(learning(settings), read), BILL) is None


async def test_it_is_learned_anew_once_a_share_of_the_calls_is_new(settings: Settings) -> None:
    own = learning(settings)
    found = await taught(own, told(count=20))
    story = "Tell a story of a lighthouse keeper who counts the ships of number {number}"
    few = told(
        count=30, billing={"domain": "stories", "task": story}, parsers={"domain": "stories", "task": story}
    )
    await outcomes_of(own).take_in(few[40:47])
    await found.ready()
    before = await domain_of(found, story.format(number=99))
    assert before is None or before["name"] != "stories"
    await outcomes_of(own).take_in(few[40:])
    await found.ready()
    after = await domain_of(found, story.format(number=99))
    assert after is not None
    assert after["name"] == "stories"


async def test_no_match_waits_for_what_is_being_learned(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = learning(settings)
    await outcomes_of(own).take_in(told())
    found, may_go_on = Domains(own, clock=Clock()), Event()
    learned = domains.learned

    def waits(tasks: list[PastTask]) -> Learned | None:
        may_go_on.wait(30)
        return learned(tasks)

    monkeypatch.setattr(domains, "learned", waits)
    found.look()
    assert await domain_of(found, BILL) is None
    may_go_on.set()
    await found.ready()
    assert await domain_of(found, BILL) is not None


async def test_a_store_that_cannot_be_used_keeps_no_match_from_being_made(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    own = learning(settings)
    file: Path = own.ymera_data_dir / "journal.sqlite"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("this is no database " * 100, "utf-8")
    found = Domains(own, clock=time.time)
    with caplog.at_level(logging.INFO):
        await found.ready()
    assert await domain_of(found, BILL) is None
    assert "cannot be used" in caplog.text


async def test_texts_in_postgresql_are_learned_from_the_same(settings: Settings, postgres_url: str) -> None:
    found = await taught(learning(settings, ymera_database_url=SecretStr(postgres_url)), told())
    bill = await domain_of(found, BILL)
    assert bill is not None
    assert bill["name"] == "billing"


MATCH = """
import asyncio, sys
from ymera.nodes.matching import AgentModelMatcher

async def match():
    matcher = AgentModelMatcher()
    await matcher.ready()
    await matcher.match_agent_to_models("coding_agent", "Write a sort")

asyncio.run(match())
print([name for name in ("sklearn", "numpy", "scipy") if name in sys.modules])
"""


@pytest.mark.parametrize("texts", ["true", "false"], ids=["none are kept yet", "none are to be kept"])
def test_where_there_is_nothing_to_learn_from_nothing_is_loaded_for_it(texts: str, tmp_path: Path) -> None:
    variables = {"YMERA_DATA_DIR": str(tmp_path), "YMERA_OUTCOME_TEXTS": texts, "YMERA_DOWNLOADS": "false"}
    done = subprocess.run(
        [sys.executable, "-c", MATCH],
        env=os.environ | variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
