"""How each client is told to answer with JSON of a schema: in the provider's own way, where it has one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..routing.records import ModelProfile, ProviderProfile


def schema_arguments(
    model: ModelProfile, provider: ProviderProfile, schema: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what to bind to a chat model so that its answer fits a schema.

    Empty where the model's row says that it has no such mode: then the instructions alone ask for JSON.
    """
    if model.structured_output != "json_schema":
        return {}
    client = provider.chat_model.partition(":")[2]
    # Not `strict`: some servers then refuse parts of JSON Schema, and the verdict's reader is tolerant anyway.
    openai = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": dict(schema)}}
    if client in {"ChatOpenAI", "AzureChatOpenAI"}:
        # Not as `response_format`: the client would parse by itself, and lose the usage of an answer cut short.
        return {"extra_body": {"response_format": openai}}
    if client in {"ChatGroq", "ChatMistralAI"}:
        return {"response_format": openai}
    if client == "ChatGoogleGenerativeAI":
        return {"response_mime_type": "application/json", "response_json_schema": dict(schema)}
    if client == "ChatCohere":
        return {"response_format": {"type": "json_object", "schema": dict(schema)}}
    return {}
