"""A provider's row and a model for every client, with keys that must not be seen anywhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ymera.routing.records import ModelProfile, ProviderProfile

_ROWS = {
    "openai": ("langchain_openai:ChatOpenAI", "gpt-4o"),
    "azure": ("langchain_openai:AzureChatOpenAI", "gpt-4o"),
    "deepseek": ("langchain_openai:ChatOpenAI", "deepseek-flash"),
    "google": ("langchain_google_genai:ChatGoogleGenerativeAI", "gemini-2.5-flash-preview-tts"),
    "groq": ("langchain_groq:ChatGroq", "llama-3.1-8b-instant"),
    "mistral": ("langchain_mistralai:ChatMistralAI", "codestral-latest"),
    "cohere": ("langchain_cohere:ChatCohere", "command-a-03-2025"),
    "anthropic": ("langchain_anthropic:ChatAnthropic", "claude-3-5-haiku-20241022"),
}
NAMES = tuple(_ROWS)


def key_of(provider: str) -> str:
    """Return the canary that stands as the provider's key."""
    return f"canary{provider}0123456789"


def model(name: str, provider: str, max_output_tokens: int = 20_000) -> ModelProfile:
    return ModelProfile(
        name=name,
        provider=provider,
        model_id=name,
        scores={},
        context_tokens=100_000,
        max_output_tokens=max_output_tokens,
    )


PROVIDERS = {
    name: ProviderProfile(
        name=name,
        title=name.title(),
        chat_model=chat_model,
        package=chat_model.partition(":")[0].replace("_", "-"),
        variables=(f"{name.upper()}_CANARY_KEY",),
    )
    for name, (chat_model, _) in _ROWS.items()
}
PROVIDERS["local"] = ProviderProfile(
    name="local", title="Local", chat_model="langchain_openai:ChatOpenAI", package="langchain-openai"
)
MODELS = {name: model(row[1], name) for name, row in _ROWS.items()} | {"local": model("mine", "local")}


def point_at(monkeypatch: pytest.MonkeyPatch, base_url: Callable[[str], str]) -> None:
    """Set every provider's key and address."""
    for name in NAMES:
        monkeypatch.setenv(PROVIDERS[name].variables[0], key_of(name))
        monkeypatch.setenv(f"YMERA_{name.upper()}_BASE_URL", base_url(name))
    monkeypatch.setenv("YMERA_LOCAL_BASE_URL", base_url("local"))
