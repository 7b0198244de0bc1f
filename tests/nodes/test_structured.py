"""A judging phase asks for JSON of its schema in each provider's own words."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.servers.clients import MODELS, PROVIDERS
from tests.servers.faulty import Answer, FaultyServer
from ymera.nodes.providers import ChatModels
from ymera.nodes.structured import bound_to_schema
from ymera.nodes.verdicts import SCHEMA
from ymera.routing.records import StructuredOutput

VERDICT = Answer(text='{"findings": [], "decision": "accept"}')


async def body(name: str, mode: StructuredOutput, server: FaultyServer, models: ChatModels) -> dict[str, Any]:
    """Return what a provider is sent for a verdict."""
    server.script(name, [VERDICT])
    model = replace(MODELS[name], structured_output=mode)
    chat = await models.open(model, max_output_tokens=99, temperature=0.0)
    bound = bound_to_schema(chat, model, PROVIDERS[name], SCHEMA)
    text = "".join([str(chunk.text) async for chunk in bound.astream("Judge.")])
    assert json.loads(text)["decision"] == "accept"
    (request,) = server.sent_to(name)
    return request.body


@pytest.mark.parametrize("name", ["openai", "azure", "deepseek", "groq", "mistral", "google", "cohere"])
async def test_the_schema_reaches_the_provider_and_the_bound_of_the_answer_stays(
    faulty: FaultyServer, models: ChatModels, name: str
) -> None:
    sent = json.dumps(await body(name, "json_schema", faulty, models))
    assert '"enum": ["accept", "revise"]' in sent
    assert ": 99" in sent


@pytest.mark.parametrize("name", ["openai", "groq", "google", "cohere", "anthropic"])
async def test_a_model_without_such_a_mode_is_asked_by_its_instructions_alone(
    faulty: FaultyServer, models: ChatModels, name: str
) -> None:
    assert '"enum"' not in json.dumps(await body(name, "none", faulty, models))
