"""Rates of one's own: what YMERA_RATES may hold, and how it is laid over the providers' rows."""

from __future__ import annotations

import json

import pytest

from ymera.nodes.gates import rates
from ymera.nodes.settings import Settings, SettingsError, load_settings
from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.rates import Rate

PROVIDERS = builtin_catalogue().providers


def test_the_setting_is_laid_over_the_rows_of_the_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"groq": {"requests_per_minute": 30, "tokens_per_minute": 6000, "concurrency": 4}, "openai": {}}
    monkeypatch.setenv("YMERA_RATES", json.dumps(own))
    found = rates(PROVIDERS, load_settings().ymera_rates)
    assert found("groq") == Rate(requests_per_minute=30, tokens_per_minute=6000, concurrency=4)
    assert [found(name) for name in ("openai", "mistral")] == [
        rates(PROVIDERS, {})(name) for name in ("openai", "mistral")
    ]


@pytest.mark.parametrize(
    ("value", "own"),
    [("", {}), (" ", {}), ("{}", {}), ('{"groq": {"concurrency": null}}', {"groq": {"concurrency": None}})],
)
def test_a_blank_setting_is_none_and_null_lifts_a_limit(
    monkeypatch: pytest.MonkeyPatch, value: str, own: object
) -> None:
    monkeypatch.setenv("YMERA_RATES", value)
    assert load_settings().ymera_rates == own


def test_without_the_setting_there_are_no_rates_of_ones_own(settings: Settings) -> None:
    assert settings.ymera_rates == {}


@pytest.mark.parametrize(
    "value",
    [
        "30", "null", "fast", "[]", "{", '{"groq": 30}', '{"groq": null}', '{"groq": {"rpm": 30}}',
        '{"groq": {"concurrency": 0}}', '{"groq": {"requests_per_minute": -1}}',
        '{"groq": {"tokens_per_minute": 1.5}}', '{"groq": {"concurrency": "4"}}', '{"groq": {"concurrency": true}}',
    ],
)  # fmt: skip
def test_a_setting_that_is_no_rate_is_one_line_that_says_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("YMERA_RATES", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value) == (
        "YMERA_RATES: Input should be whole numbers from 1 (null: no limit) by provider, as JSON: "
        '{"groq": {"requests_per_minute": 30, "tokens_per_minute": 6000, "concurrency": 4}} '
        f"(got {value!r})"
    )


def test_a_setting_for_a_provider_that_there_is_not_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"^YMERA_RATES: no provider 'gorq'\. Known: .*groq.*\.$"):
        rates(PROVIDERS, {"gorq": {"concurrency": 1}})
