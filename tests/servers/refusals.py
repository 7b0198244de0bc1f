"""What each provider says when it refuses a request: status, code, and words as its users report them."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Refusal:
    """What a provider says with an HTTP status of 400 and above.

    Args:
        retry_delay: Google's RetryInfo.
        quota: the id of Google's quota that was exceeded.
    """

    status: int
    code: str
    message: str
    retry_delay: str = ""
    quota: str = ""


_OPENAI = {
    "context": Refusal(
        400,
        "context_length_exceeded",
        "This model's maximum context length is 8192 tokens. However, your messages have 9001 tokens.",
    ),
    "filter": Refusal(
        400, "content_policy_violation", "Your request was rejected as a result of our safety system."
    ),
    "quota": Refusal(429, "insufficient_quota", "You exceeded your current quota, please check your plan."),
}
# Google says the same to a limit of a minute and to one of a day: only the quota's id tells them apart.
_GOOGLE_QUOTA = "You exceeded your current quota, please check your plan and billing details."
_NAMED: dict[str, dict[str, Refusal]] = {
    "openai": _OPENAI,
    "local": _OPENAI,
    "azure": _OPENAI
    | {
        "filter": Refusal(
            400,
            "content_filter",
            "The response was filtered due to the prompt triggering Azure's content management policy.",
        )
    },
    "deepseek": _OPENAI | {"quota": Refusal(402, "invalid_request_error", "Insufficient Balance")},
    "groq": _OPENAI
    | {
        "context": Refusal(
            400, "context_length_exceeded", "Please reduce the length of the messages or completion."
        )
    },
    "mistral": {
        "context": Refusal(
            400,
            "invalid_request_prompt",
            "Prompt contains 40001 tokens, too large for model with 32768 maximum context length",
        ),
        "filter": Refusal(403, "moderation", "The content was flagged by the moderation policy"),
        "quota": Refusal(402, "payment_required", "You have reached your spending limit."),
    },
    "google": {
        "context": Refusal(
            400,
            "INVALID_ARGUMENT",
            "The input token count (1200001) exceeds the maximum number of tokens allowed (1048576).",
        ),
        "filter": Refusal(400, "INVALID_ARGUMENT", "The prompt was blocked by the safety settings."),
        "quota": Refusal(
            429,
            "RESOURCE_EXHAUSTED",
            _GOOGLE_QUOTA,
            quota="GenerateRequestsPerDayPerProjectPerModel-FreeTier",
        ),
        "429": Refusal(
            429,
            "RESOURCE_EXHAUSTED",
            _GOOGLE_QUOTA,
            quota="GenerateContentInputTokensPerModelPerMinute-FreeTier",
        ),
    },
    "anthropic": {
        "context": Refusal(
            400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"
        ),
        "filter": Refusal(400, "invalid_request_error", "Output blocked by content filtering policy"),
        "quota": Refusal(
            400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."
        ),
    },
    "cohere": {
        "context": Refusal(
            400, "", "too many tokens: total number of tokens cannot exceed 4096 - received 5000."
        ),
        "filter": Refusal(400, "", "blocked input: please adjust your prompt and try again"),
        "quota": Refusal(429, "", "You are using a Trial key, which is limited to 1000 API calls / month."),
    },
}
_CODES = {
    400: ("invalid_request_error", "The request is invalid."),
    401: ("invalid_api_key", "Incorrect API key provided."),
    403: ("permission_denied", "Your key may not use this model."),
    404: ("model_not_found", "The model does not exist or you do not have access to it."),
    408: ("timeout", "The request timed out."),
    413: ("request_too_large", "The request is larger than the server takes."),
    422: ("unprocessable_entity", "The request was understood, but is not valid."),
    429: ("rate_limit_exceeded", "Rate limit reached for requests."),
    529: ("overloaded_error", "Overloaded"),
}
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_GOOGLE_STATUSES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}


def refusal_of(provider: str, name: str, *, message: str = "", retry_delay: str = "") -> Refusal:
    """Return what a provider says to "context", "filter", "quota" or a status, or `message` in its place."""
    refusal = _NAMED[provider].get(name) or _by_status(provider, int(name))
    return replace(refusal, message=message or refusal.message, retry_delay=retry_delay)


def _by_status(provider: str, status: int) -> Refusal:
    code, message = _CODES.get(status, ("server_error", "The server had an error."))
    if provider == "anthropic":
        code = _ANTHROPIC_TYPES.get(status, "api_error")
    if provider == "google":
        code = _GOOGLE_STATUSES.get(status, "INTERNAL")
    return Refusal(status, code, message)
