"""How each client is told to answer with JSON of a schema: in the provider's own way, where it has one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..routing.records import ModelProfile, ProviderProfile


def schema_arguments(model: ModelProfile, provider: ProviderProfile, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return what to bind to a chat model so that its answer fits a schema.

    Empty where the model's row says that it has no such mode: then the instructions alone ask for JSON.
    """
    if model.structured_output != "json_schema":
        return {}
    client = provider.chat_model.partition(":")[2]
    if client == "ChatGoogleGenerativeAI":
        return {"response_mime_type": "application/json", "response_json_schema": dict(schema)}
    if client == "ChatCohere":
        return {"response_format": {"type": "json_object", "schema": dict(schema)}}
    if client in {"ChatOpenAI", "AzureChatOpenAI", "ChatGroq", "ChatMistralAI"}:
        named = {"name": "verdict", "schema": dict(schema), "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": named}}
    return {}
