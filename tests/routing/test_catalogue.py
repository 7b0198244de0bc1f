"""A name leads to models that are usable on the day, with a reason where they are not the ones named."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ymera.routing.catalogue import builtin_catalogue
from ymera.routing.records import ModelProfile

AS_OF = date(2026, 11, 24)
CATALOGUE = builtin_catalogue()
MODELS = list(CATALOGUE.models.values())
DAYS = st.dates(date(2025, 1, 1), date(2030, 12, 31))


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("google:gemini-2.5-flash", ["google:gemini-2.5-flash"]),
        ("gemini-2.5-flash", ["google:gemini-2.5-flash"]),
        ("gpt-4o", ["azure:gpt-4o", "openai:gpt-4o"]),
        ("codestral", ["mistral:codestral-latest"]),
        ("CODESTRAL", ["mistral:codestral-latest"]),
        ("gpt-oss-120b", ["groq:openai/gpt-oss-120b"]),
        ("claude-3.5", ["anthropic:claude-3-5-sonnet-20241022"]),
        ("azure gpt-4o", ["azure:gpt-4o"]),
        ("Cohere Command R+", ["cohere:command-r-plus", "cohere:command-r-plus-08-2024"]),
        ("gemini", []),
        ("", []),
    ],
)
def test_a_name_finds_models_by_key_name_alias_or_the_specifications_name(name: str, keys: list[str]) -> None:
    assert [model.key for model in CATALOGUE.named(name)] == keys


@pytest.mark.parametrize(
    ("name", "today", "keys", "reason"),
    [
        ("gemini-2.5-pro", date(2026, 11, 30), ["google:gemini-2.5-pro"], None),
        (
            "gemini-2.5-pro",
            date(2026, 12, 1),
            ["google:gemini-3.8-flash"],
            "gemini-2.5-pro retired on 2026-12-01; its successor gemini-3.8-flash takes its place",
        ),
        (
            "gemini-2.5-pro",
            date(2026, 12, 2),
            ["google:gemini-3.8-flash"],
            "gemini-2.5-pro retired on 2026-12-01; its successor gemini-3.8-flash takes its place",
        ),
        ("jamba", AS_OF, [], "jamba-large-1.7 retired on 2026-08-09 and has no successor"),
        (
            "deepseek-coder",
            AS_OF,
            ["deepseek:deepseek-flash"],
            "deepseek-coder is retired; its successor deepseek-flash takes its place",
        ),
        (
            "gpt-4o",
            date(2027, 1, 14),
            ["azure:gpt-4o", "openai:gpt-6.1-terra"],
            "openai:gpt-4o retired on 2027-01-14; its successor openai:gpt-6.1-terra takes its place",
        ),
        (
            "Cohere Command R+",
            AS_OF,
            ["cohere:command-r-plus-08-2024"],
            "command-r-plus retired on 2025-09-15; its successor command-r-plus-08-2024 takes its place",
        ),
        ("codestral", AS_OF, ["mistral:codestral-latest"], None),
        ("no-such", AS_OF, [], "no model is called 'no-such'"),
    ],
)
def test_a_name_stands_for_what_is_usable_on_the_day(
    name: str, today: date, keys: list[str], reason: str | None
) -> None:
    resolution = CATALOGUE.resolve(name, today)
    assert [model.key for model in resolution.models] == keys
    assert resolution.reason == reason


def test_each_stand_in_carries_its_own_reason() -> None:
    resolution = CATALOGUE.resolve("gpt-4o", date(2027, 1, 14))
    assert list(resolution.reasons) == ["openai:gpt-6.1-terra"]


@pytest.mark.parametrize(
    ("name", "today", "warnings"),
    [
        (
            "gemini-2.5-flash",
            AS_OF,
            "gemini-2.5-flash retires on 2026-12-01 (in 7 days); successor gemini-3.5-flash-lite",
        ),
        (
            "gemini-2.5-flash",
            date(2026, 11, 30),
            "gemini-2.5-flash retires on 2026-12-01 (in 1 day); successor gemini-3.5-flash-lite",
        ),
        ("gemini-2.5-flash", date(2026, 12, 1), None),
        ("azure:gpt-5.4-mini", AS_OF, None),
        ("azure:gpt-5.4-mini", date(2027, 8, 21), None),
        (
            "azure:gpt-5.4-mini",
            date(2027, 8, 22),
            "gpt-5.4-mini retires on 2027-09-21 (in 30 days); no successor",
        ),
        ("codestral", AS_OF, None),
    ],
)
def test_a_model_that_soon_retires_is_used_with_a_warning(
    name: str, today: date, warnings: str | None
) -> None:
    assert CATALOGUE.resolve(name, today).warnings == ((warnings,) if warnings else ())


@given(name=st.sampled_from([m.name for m in MODELS] + [m.key for m in MODELS]), today=DAYS)
def test_a_known_name_never_stands_for_a_retired_model(name: str, today: date) -> None:
    resolution = CATALOGUE.resolve(name, today)
    assert not any(model.is_retired(today) for model in resolution.models)
    assert resolution.models or resolution.reason


def toy(number: int, **changes: object) -> ModelProfile:
    return replace(CATALOGUE.models["mistral:codestral-latest"], name=f"m{number}", **changes)  # type: ignore[arg-type]


@given(
    links=st.lists(st.tuples(st.none() | st.integers(0, 6), st.none() | DAYS), min_size=1, max_size=6),
    today=DAYS,
)
def test_any_line_of_successors_even_a_circle_comes_to_an_end(
    links: list[tuple[int | None, date | None]], today: date
) -> None:
    models = [
        toy(number, successor=None if heir is None else f"m{heir}", retires_on=day)
        for number, (heir, day) in enumerate(links)
    ]
    catalogue = replace(CATALOGUE, models={model.key: model for model in models})
    for model in models:
        found = catalogue.resolve(model.key, today)
        assert not any(one.is_retired(today) for one in found.models)
        assert (found.models == (model,)) == (not model.is_retired(today))
        assert (found.reason is None) == (found.models == (model,))


def test_the_reason_names_every_retired_model_on_the_way() -> None:
    first = toy(1, successor="m2", retires_on=AS_OF)
    second = toy(2, successor="m3", retires_on=AS_OF + timedelta(1))
    catalogue = CATALOGUE.with_entries(toy(3), second, first)
    assert catalogue.resolve("m1", AS_OF + timedelta(1)).reason == (
        "m1 retired on 2026-11-24, its successor m2 retired on 2026-11-25; its successor m3 takes its place"
    )
