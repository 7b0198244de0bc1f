"""How each client is told to answer with JSON of a schema: in the provider's own way, where it has one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..routing.records import ModelProfile, ProviderProfile

if TYPE_CHECKING:
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import AIMessage
    from langchain_core.runnables import Runnable

    ChatModel = Runnable[LanguageModelInput, AIMessage]


def bound_to_schema(
    chat: ChatModel, model: ModelProfile, provider: ProviderProfile, schema: Mapping[str, Any]
) -> ChatModel:
    """Return the chat model bound to answer with JSON that fits a schema.

    Unchanged where the model's row says that it has no such mode: then the instructions alone ask for JSON.
    """
    if model.structured_output != "json_schema":
        return chat
    arguments = _arguments(chat, provider.chat_model.partition(":")[2], dict(schema))
    return chat.bind(**arguments) if arguments else chat


def _arguments(chat: ChatModel, client: str, schema: dict[str, Any]) -> dict[str, Any]:
    # Not `strict`: some servers then refuse parts of JSON Schema, and the verdict's reader is tolerant anyway.
    openai = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema}}
    if client in {"ChatOpenAI", "AzureChatOpenAI"}:
        # Not as `response_format`: the client would parse by itself, and lose the usage of an answer cut short.
        # What is bound anew takes the place of what was bound before (the answer's limit), so that has to come along.
        return {
            "extra_body": {**getattr(chat, "kwargs", {}).get("extra_body", {}), "response_format": openai}
        }
    if client in {"ChatGroq", "ChatMistralAI"}:
        return {"response_format": openai}
    if client == "ChatGoogleGenerativeAI":
        return {"response_mime_type": "application/json", "response_json_schema": schema}
    if client == "ChatCohere":
        return {"response_format": {"type": "json_object", "schema": schema}}
    return {}
