"""An exception or a message of a chat model → the fault that is written down.

Each provider's client keeps status, code and message somewhere else; here they become `Signs`, from which
routing/faults.py tells the kind. What a person reads is short, and free of keys, headers and prompts: it
quotes the provider's own message and never a body.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from ..routing.attempts import Fault
from ..routing.errors import YmeraError
from ..routing.faults import FaultKind, Signs, classify, classify_finish, is_wrapper, kind_profile
from ..routing.records import ProviderProfile
from .addresses import address_of
from .settings import Settings

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

LONGEST_MESSAGE: Final = 300
LONGEST_WAIT_S: Final = 86_400.0
_HIDDEN = "[hidden]"
_KEYS = re.compile(
    r"""(?ix)
    \b(?:sk|gsk|pk|rk|xai|api|key)[-_][\w*-]{8,}          # OpenAI, Anthropic, DeepSeek, Groq, …
    | \bAIza[\w-]{10,}                                    # Google
    | (?<=bearer\ )\S+
    | (?<=basic\ )[a-z\d+/=]{8,}                          # a login
    | (?<=[?&]key=)[^&\s]+
    | \b(?=[a-z_-]*\d)(?=[\d_-]*[a-z])[a-z\d_-]{32,}\b    # Mistral, Cohere, Azure: no mark but their length
    """
)
_logger = logging.getLogger("ymera")


def fault_of(error: BaseException, provider: ProviderProfile, settings: Settings) -> Fault:
    """Tell what went wrong in a call.

    An error that no rule knows becomes a `bug`; its traceback goes to the `ymera` logger. Neither holds a
    key: the provider's own, as `settings` has them, and whatever looks like one are left out.
    """
    secrets = secrets_of(provider, settings)
    telling = _telling(error)
    kind = classify(signs_of(telling))
    if kind == "bug":
        text = "".join(traceback.format_exception(error))
        _logger.error("%s: an error that YMERA does not know\n%s", provider.title, redacted(text, secrets))
    mend = kind_profile(kind).mend.format(
        variable=provider.variables[0] if provider.variables else "the key", provider=provider.title
    )
    return make_fault(kind, _sentence(kind, redacted(_detail(telling, kind), secrets), mend))


def finish_fault(message: AIMessage) -> Fault | None:
    """Return what is wrong with an answer that came without an exception; None for a whole answer.

    A stream that ends without a finish reason was cut: every client passes it on as a success.
    """
    reason = finish_reason(message)
    if reason and (kind := classify_finish(reason)):
        return _plain_fault(kind, f"finish reason {reason!r}")
    if message.additional_kwargs.get("refusal"):
        return _plain_fault("refused")
    if not message.text.strip():
        return _plain_fault("empty")
    return None if reason else _plain_fault("cut_short", "the stream ended without a finish reason")


def make_fault(kind: FaultKind, message: str) -> Fault:
    """Write a fault down, with what follows from its kind; the message is cut at 300 characters."""
    return Fault(kind=kind, message=_cut(message, LONGEST_MESSAGE), then=kind_profile(kind).then)


def _plain_fault(kind: FaultKind, detail: str = "") -> Fault:
    return make_fault(kind, _sentence(kind, detail, kind_profile(kind).mend))


def _sentence(kind: FaultKind, detail: str, mend: str) -> str:
    """Join title, detail and advice; it is the detail that is cut where there is too much."""
    title = kind_profile(kind).title
    room = LONGEST_MESSAGE - len(f"{title}: . {mend}")
    detail = _cut(" ".join(detail.split()).rstrip("."), room)
    return f"{title}: {detail}. {mend}" if detail else f"{title}. {mend}"


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: max(room - 1, 0)] + "…"


def finish_reason(message: AIMessage) -> str | None:
    """Return why the model stopped, in its provider's word; a blocked prompt counts as one.

    A server that gives its reason in several chunks comes here as "stopstop".
    """
    metadata = message.response_metadata
    found = metadata.get("finish_reason") or metadata.get("stop_reason")
    found = found or message.additional_kwargs.get("finish_reason") or _block_reason(metadata)
    return re.sub(r"^(.+?)\1+$", r"\1", str(found)) if found else None


def keys_of(provider: ProviderProfile, settings: Settings) -> list[str]:
    """Return the provider's keys as the settings have them: what no text may hold."""
    return [value for name in provider.variables if (value := settings.variable(name))]


def secrets_of(provider: ProviderProfile, settings: Settings) -> list[str]:
    """Return what no text may hold: the provider's keys, and the passwords in its addresses."""
    keys = keys_of(provider, settings)
    addresses = [*keys, settings.base_url(provider.name), settings.ymera_local_base_url]
    return [*keys, *(secret for url in addresses if url for secret in address_of(url).secrets)]


def redacted(text: str, secrets: Collection[str] = ()) -> str:
    """Hide the given keys, and whatever looks like one."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return _KEYS.sub(_HIDDEN, text)


def retry_after(error: BaseException) -> float | None:
    """Return the seconds that the provider asks to wait; None where it asks for nothing.

    Read from `Retry-After` in both of its forms, from OpenAI's and Azure's milliseconds, and from Google's
    RetryInfo. A date that is over asks for 0 s; more than a day is taken for a day.
    """
    telling = _telling(error)
    headers = _headers(telling)
    texts = [f"{headers.get('retry-after-ms', '')}ms", str(headers.get("retry-after", ""))]
    texts += [str(part.get("retryDelay", "")) for part in _details(_said(telling))]
    return next((min(s, LONGEST_WAIT_S) for text in texts if (s := _seconds(text)) is not None), None)


def _seconds(text: str) -> float | None:
    if number := re.fullmatch(r"(\d+(?:\.\d+)?)(s|ms)?", text):
        return float(number[1]) / (1_000 if number[2] == "ms" else 1)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # no date; a date without a zone
        return None


# --- where the clients keep things ------------------------------------------------------------------------


def signs_of(error: BaseException) -> Signs:
    """Read class names, status, code and message from an exception of any client."""
    said = _said(error)
    codes = (said.get(key) for key in ("code", "type", "status"))
    code = next((code for code in codes if isinstance(code, str) and not code.isdigit()), None)
    own = getattr(error, "code", None)
    return Signs(
        class_names=_class_names(error),
        status=_status(error),
        code=own if isinstance(own, str) else code,
        message=" ".join([_message(said) or str(error), *_quotas(said)]),
    )


def _class_names(error: BaseException) -> tuple[str, ...]:
    return tuple(f"{cls.__module__}.{cls.__qualname__}" for cls in type(error).__mro__)


def _telling(error: BaseException) -> BaseException:
    """Return the error underneath one that only wraps it."""
    while error.__cause__ is not None and is_wrapper(_class_names(error)):
        error = error.__cause__
    return error


def _status(error: BaseException) -> int | None:
    """OpenAI, Groq, Anthropic, Cohere: `status_code`; Gemini: `code`; Mistral: the response's."""
    response = getattr(error, "response", None)
    candidates = (
        getattr(error, "status_code", None),
        getattr(error, "code", None),
        getattr(response, "status_code", None),
    )
    return next((value for value in candidates if isinstance(value, int)), None)


def _bodies(error: BaseException) -> Iterator[object]:
    """OpenAI, Groq, Anthropic, Cohere: `body`; Gemini: `details`; Mistral: the response's text."""
    yield getattr(error, "body", None)
    yield getattr(error, "details", None)
    read = getattr(getattr(error, "response", None), "json", None)
    try:
        yield read() if read else None
    except (ValueError, RuntimeError, TypeError):  # not JSON; not read; an async response
        return


def _said(error: BaseException) -> Mapping[str, object]:
    """Return the object that holds code and message: the body, or its `error`."""
    for body in _bodies(error):
        first = body[0] if isinstance(body, list) and body else body
        if isinstance(first, Mapping):
            inner = first.get("error")
            return inner if isinstance(inner, Mapping) else first
    return {}


def _message(said: Mapping[str, object]) -> str:
    """Return what the provider says; a body that stands there unread, or a page, is no message."""
    texts = (said.get("message"), said.get("error"))
    message = next((text for text in texts if isinstance(text, str)), "")
    return "" if message.lstrip()[:1] in ("{", "[", "<") else message


def _quotas(said: Mapping[str, object]) -> list[str]:
    """Return the names of the quotas that Google says are exceeded."""
    violations = [part.get("violations") for part in _details(said)]
    listed = [item for found in violations if isinstance(found, list) for item in found]
    return [str(item["quotaId"]) for item in listed if isinstance(item, Mapping) and "quotaId" in item]


def _detail(error: BaseException, kind: FaultKind) -> str:
    """Quote the provider, or our own words, or a connection's; of any other error only its class."""
    quoted = _message(_said(error))
    if not quoted and (isinstance(error, YmeraError | ImportError) or kind in ("unreachable", "cut_short")):
        quoted = str(error).partition(" - ")[0]  # OpenAI's parser appends the usage behind a dash
    if quoted or kind not in ("malformed", "unreachable", "cut_short", "bug"):
        return quoted
    return type(error).__name__


def _headers(error: BaseException) -> Mapping[str, object]:
    headers = getattr(getattr(error, "response", None), "headers", None) or getattr(error, "headers", None)
    return {str(name).lower(): value for name, value in dict(headers or {}).items()}


def _details(said: Mapping[str, object]) -> list[Mapping[str, object]]:
    details = said.get("details")
    return [part for part in details if isinstance(part, Mapping)] if isinstance(details, list) else []


def _block_reason(metadata: Mapping[str, object]) -> str | None:
    feedback = metadata.get("prompt_feedback")
    reason = feedback.get("block_reason") if isinstance(feedback, Mapping) else None
    return str(getattr(reason, "value", reason)) if reason else None
