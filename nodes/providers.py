"""A model of the catalogue → a LangChain chat model that is ready to be called.

A provider's package is imported when its first model is opened. A provider whose client takes LangChain's
standard arguments needs no code here; what is special about a client stands in one function of `_QUIRKS`.

Every client has its own retries switched off (the graph owns fallback) and its own timeouts set beyond the
attempt's, so that one place decides when an attempt is over.
"""

from __future__ import annotations

import asyncio
import importlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..routing.errors import InputError
from ..routing.records import ModelProfile, ProviderProfile
from .addresses import address_of
from .availability import EMBEDDED, LOCAL, not_installed, why_unavailable
from .settings import Settings
from .sse import reply_hooks

if TYPE_CHECKING:
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import AIMessage
    from langchain_core.runnables import Runnable

    ChatModel = Runnable[LanguageModelInput, AIMessage]

Close = Callable[[], Awaitable[None]]
Bound = Callable[[int], dict[str, Any]]
_Key = tuple[str, float]

_TIMEOUT_S = 3_630  # behind the longest PHASE_TIMEOUT: the attempt's own deadline is the one that counts
_AZURE_API_VERSION = "2024-10-21"
_KEPT_CONNECTIONS = 100
"""Connections without a call that a client keeps open."""
_KEPT_S, _KEPT_ON_LOOPBACK_S = 5.0, 2.0


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a client is built from. `temperature` None leaves it to the provider."""

    provider: str
    model_id: str
    api_key: str = field(repr=False)
    base_url: str | None
    temperature: float | None
    login: tuple[str, str] | None = field(default=None, repr=False)
    api_version: str = _AZURE_API_VERSION


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A client, how to close its connections, how a call says its bound, and what LangChain knows about the model."""

    chat: Any  # one of LangChain's chat models: `bind` is all that is asked of it
    close: Close
    bound: Bound
    knowledge: Mapping[str, Any]


@dataclass(frozen=True)
class _Loop:
    """The clients of one event loop: an HTTP connection cannot be used on another."""

    opened: dict[_Key, Opened] = field(default_factory=dict)
    locks: dict[_Key, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))


class ChatModels:
    """The chat models of a process, each opened once per event loop and temperature.

    The bound of an answer goes with each call: with a client for each bound that budgets allow, connections and
    certificates (a megabyte a client) would pile up.
    """

    def __init__(self, settings: Settings, providers: Mapping[str, ProviderProfile]) -> None:
        self._settings = settings
        self._providers = providers
        self._loops: dict[asyncio.AbstractEventLoop, _Loop] = {}

    def __repr__(self) -> str:
        return f"ChatModels(providers={sorted(self._providers)})"

    def availability(self, model: ModelProfile) -> str | None:
        """Return None for a model that may be called, else the reason in words for a person."""
        return why_unavailable(model, self._provider(model), self._settings)

    async def open(self, model: ModelProfile, *, max_output_tokens: int, temperature: float) -> ChatModel:
        """Return the chat model, made on first use.

        Args:
            model: a row of the catalogue.
            max_output_tokens: bound of the answer, thoughts included.
            temperature: left out where the model is known to refuse it.

        Raises:
            ImportError: the provider's package is not installed; the message says what to install.
            InputError: a key or an address is missing or unusable.
            WeightsError: an embedded model's weights cannot be had.
        """
        here = self._here()
        key = (model.key, temperature)
        async with here.locks[key]:
            if key not in here.opened:
                order = await self._order(model, temperature)
                here.opened[key] = await asyncio.to_thread(_build, self._provider(model), model, order)
        opened = here.opened[key]
        chat: ChatModel = opened.chat.bind(**opened.bound(min(max_output_tokens, model.max_output_tokens)))
        return chat

    async def close(self) -> None:
        """Close the connections of this event loop's clients."""
        here = self._loops.pop(asyncio.get_running_loop(), _Loop())
        for opened in here.opened.values():
            await opened.close()

    def _here(self) -> _Loop:
        for loop in [loop for loop in self._loops if loop.is_closed()]:
            del self._loops[loop]
        return self._loops.setdefault(asyncio.get_running_loop(), _Loop())

    def _provider(self, model: ModelProfile) -> ProviderProfile:
        if model.provider not in self._providers:
            known = ", ".join(sorted(self._providers))
            raise InputError(f"No provider {model.provider!r} for model {model.name!r}. Known: {known}.")
        return self._providers[model.provider]

    async def _order(self, model: ModelProfile, temperature: float) -> Order:
        provider = self._provider(model)
        base_url, key = await self._address(model, provider)
        address = address_of(base_url or "")
        return Order(
            provider=provider.name,
            model_id=model.model_id,
            api_key=key,
            base_url=address.url or None,
            temperature=temperature,
            login=address.login,
            api_version=self._settings.variable("OPENAI_API_VERSION") or _AZURE_API_VERSION,
        )

    async def _address(self, model: ModelProfile, provider: ProviderProfile) -> tuple[str | None, str]:
        """Return base URL and key."""
        if provider.name == EMBEDDED:
            from .embedded import open_server  # the runner is loaded for embedded models alone

            endpoint = await open_server(model.name, self._settings)
            return endpoint.base_url, endpoint.api_key
        if provider.name == LOCAL:
            return self._needed("YMERA_LOCAL_BASE_URL", self._settings.ymera_local_base_url), "local"
        base_url = self._settings.base_url(provider.name) or provider.base_url
        if provider.name == "azure" and base_url is None:
            base_url = self._variable("AZURE_OPENAI_ENDPOINT")
        return base_url, self._variable(provider.variables[0]) if provider.variables else "none"

    def _variable(self, name: str) -> str:
        return self._needed(name, self._settings.variable(name))

    @staticmethod
    def _needed(name: str, value: str | None) -> str:
        if value is None:
            raise InputError(f"{name} is not set: set it in the environment or in .env.")
        return value


def _build(provider: ProviderProfile, model: ModelProfile, order: Order) -> Opened:
    """Import the client and make it; again where LangChain knows that the model wants other arguments."""
    client = _load(provider)
    make = _QUIRKS.get(provider.chat_model, _plain)
    opened = make(client, order)
    suited = _suited(order, opened.knowledge)
    return opened if suited == order else make(client, suited)


def _load(provider: ProviderProfile) -> Any:  # a class of a package that need not be installed
    module, _, name = provider.chat_model.partition(":")
    if missing := not_installed(provider):
        raise ImportError(missing)
    return getattr(importlib.import_module(module), name)


def _suited(order: Order, knowledge: Mapping[str, Any]) -> Order:
    return replace(order, temperature=None) if knowledge.get("temperature") is False else order


# --- what is special about a client -----------------------------------------------------------------------


def _standard(order: Order) -> dict[str, Any]:
    """Return the arguments that LangChain's chat models have in common."""
    arguments = {
        "model": order.model_id,
        "api_key": order.api_key,
        "base_url": order.base_url,
        "temperature": order.temperature,
        "timeout": _TIMEOUT_S,
        "max_retries": 0,
    }
    return {name: value for name, value in arguments.items() if value is not None}


def _max_tokens(tokens: int) -> dict[str, Any]:
    return {"max_tokens": tokens}


def _opened(chat: Any, close: Close, bound: Bound = _max_tokens) -> Opened:
    return Opened(chat=chat, close=close, bound=bound, knowledge=getattr(chat, "profile", None) or {})


def _plain(client: Any, order: Order) -> Opened:
    return _opened(client(**_standard(order)), _nothing_to_close)


async def _nothing_to_close() -> None:
    """Leave the connections to the garbage collector: the client offers no way to close them."""


def _openai(client: Any, order: Order) -> Opened:
    """`stream_usage` is off by default behind any base URL; servers like OpenAI's know only `max_tokens`."""
    chat = client(**_standard(order), **_openai_extras(order))
    return _opened_openai(chat, _max_tokens if order.provider == "openai" else _max_tokens_in_body)


def _max_tokens_in_body(tokens: int) -> dict[str, Any]:
    return {"extra_body": _max_tokens(tokens)}


def _azure(client: Any, order: Order) -> Opened:
    """Azure names a deployment, and says `endpoint` for the base URL."""
    arguments = _standard(order) | _openai_extras(order)
    arguments["azure_endpoint"] = arguments.pop("base_url")
    arguments |= {"azure_deployment": order.model_id, "api_version": order.api_version}
    return _opened_openai(client(**arguments), _max_tokens)


def _opened_openai(chat: Any, bound: Bound) -> Opened:
    # Where JSON is asked for, LangChain calls through `beta`, whose import takes most of a second. Here it
    # happens in a thread; at the first call it would hold up the event loop.
    _ = chat.root_async_client.beta
    return _opened(chat, chat.http_async_client.aclose, bound)


def _openai_extras(order: Order) -> dict[str, Any]:
    import openai

    return {
        "stream_usage": True,
        "use_responses_api": False,
        "stream_chunk_timeout": None,
        "http_async_client": openai.DefaultAsyncHttpxClient(**_transport(order)),
    }


def _transport(order: Order) -> dict[str, Any]:
    """Give each client connections of its own: the default ones are shared between event loops.

    As many as there are calls: where a hundred were all, as httpx has it, others would wait unseen, with their clocks
    running. What bounds calls are the rates (`gates.py`).
    """
    import httpx

    transport: dict[str, Any] = {
        "timeout": _TIMEOUT_S,
        "event_hooks": reply_hooks(),
        "auth": order.login,
        "limits": httpx.Limits(
            max_connections=None,
            max_keepalive_connections=_KEPT_CONNECTIONS,
            keepalive_expiry=idle_seconds(order.base_url),
        ),
    }
    if is_loopback(order.base_url):  # straight there, whatever proxy the environment names
        transport["mounts"] = {"http://": None, "https://": None, "all://": None}
    return transport


def _groq(client: Any, order: Order) -> Opened:
    import groq

    http = groq.DefaultAsyncHttpxClient(**_transport(order))
    return _opened(client(**_standard(order), http_async_client=http), http.aclose)


def _anthropic(client: Any, order: Order) -> Opened:
    """ChatAnthropic takes no HTTP client, and shares its own between event loops."""
    import anthropic

    http = anthropic.DefaultAsyncHttpxClient(**_transport(order))
    chat = client(**_standard(order), stream_usage=True)
    chat._async_client = chat._async_client.with_options(http_client=http)
    return _opened(chat, http.aclose)


def _google(client: Any, order: Order) -> Opened:
    """The SDK takes 0 retries for its own default of several; 1 means one request.

    Its connections are httpx's, as everyone's: it would choose aiohttp's where that is installed.
    Models whose sampling is fixed get no temperature: the client would warn at every call that it is ignored.
    """
    import httpx
    from google import genai
    from google.genai.types import HttpOptions

    arguments = _standard(order) | {"max_retries": 1, "vertexai": False}
    module = importlib.import_module(client.__module__)
    fixed = getattr(module, "_uses_fixed_sampling_and_disallows_prefill", None)
    if fixed is not None and fixed(order.model_id):
        arguments.pop("temperature", None)
    chat = client(**arguments)
    http = httpx.AsyncClient(**_transport(order))
    options = HttpOptions(base_url=order.base_url, api_version=chat.api_version, httpx_async_client=http)
    chat.client = genai.Client(api_key=order.api_key, http_options=options)
    return _opened(chat, http.aclose, lambda tokens: {"max_output_tokens": tokens})


def _mistral(client: Any, order: Order) -> Opened:
    """Retries are counted as attempts. The client's own connections are too few, and set when it is made."""
    import httpx

    chat = client(**_standard(order) | {"max_retries": 1})
    made = chat.async_client
    chat.async_client = httpx.AsyncClient(base_url=made.base_url, headers=made.headers, **_transport(order))
    return _opened(chat, chat.async_client.aclose)


def _cohere(client: Any, order: Order) -> Opened:
    """ChatCohere has no field for retries or for the length of the answer: both go with each call."""
    import cohere
    import httpx

    arguments = _standard(order)
    del arguments["max_retries"]
    arguments["cohere_api_key"] = arguments.pop("api_key")
    arguments["timeout_seconds"] = arguments.pop("timeout")
    chat = client(**arguments)
    http = httpx.AsyncClient(**_transport(order))
    chat.async_client = cohere.AsyncClient(
        order.api_key, base_url=order.base_url, client_name=chat.user_agent, httpx_client=http
    )
    return _opened(
        chat, http.aclose, lambda tokens: {"max_tokens": tokens, "request_options": {"max_retries": 0}}
    )


_QUIRKS: Mapping[str, Callable[[Any, Order], Opened]] = {
    "langchain_openai:ChatOpenAI": _openai,
    "langchain_openai:AzureChatOpenAI": _azure,
    "langchain_groq:ChatGroq": _groq,
    "langchain_anthropic:ChatAnthropic": _anthropic,
    "langchain_google_genai:ChatGoogleGenerativeAI": _google,
    "langchain_mistralai:ChatMistralAI": _mistral,
    "langchain_cohere:ChatCohere": _cohere,
}


def idle_seconds(base_url: str | None) -> float:
    """Return how long a client keeps a connection without a call: httpx's own 5 s, less on this machine.

    llama.cpp's server closes its side after 5 s as well (`Keep-Alive: timeout=5`). A call that began in that moment
    lost its connection; a new one costs next to nothing on the loopback.
    """
    return _KEPT_ON_LOOPBACK_S if is_loopback(base_url) else _KEPT_S


def is_loopback(url: str | None) -> bool:
    """Say whether an address is on this machine, where a proxy of the environment must not be asked."""
    host = urlsplit(url or "").hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
