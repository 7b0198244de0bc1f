"""A tenant's thread stands in the store under a name that is nobody else's."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ymera.routing.errors import InputError
from ymera.routing.tenants import TENANT, check_tenant, stored_thread, thread_of

TENANTS = st.none() | st.from_regex(TENANT, fullmatch=True)
THREADS = st.text() | st.tuples(TENANTS, st.text()).map(lambda pair: stored_thread(*pair))
"""Any text, and those that look like a stored name."""


@given(TENANTS, THREADS, TENANTS, THREADS)
@example(None, "tenant:a:b", "a", "b")
@example(None, "tenant::b", None, "b")
@example("a", "b:c", "a:b", "c")
@example(None, "tenant::tenant:a:b", "a", "b")
def test_no_two_threads_have_one_name_in_the_store(
    tenant: str | None, thread: str, other: str | None, second: str
) -> None:
    if ":" in (other or ""):
        with pytest.raises(InputError):
            stored_thread(other, second)
        return
    same = stored_thread(tenant, thread) == stored_thread(other, second)
    assert same == ((tenant, thread) == (other, second))


@given(TENANTS, THREADS, TENANTS)
def test_a_stored_name_is_told_back_to_its_tenant_alone(
    tenant: str | None, thread: str, other: str | None
) -> None:
    stored = stored_thread(tenant, thread)
    assert thread_of(tenant, stored) == thread
    assert other == tenant or thread_of(other, stored) is None


@given(st.text().filter(lambda text: not text.startswith("tenant:")))
def test_a_thread_without_a_tenant_stands_under_its_own_name(thread: str) -> None:
    assert stored_thread(None, thread) == thread


@pytest.mark.parametrize(
    "name", ["", " ", "a:b", "a b", "a/b", "../a", "-a", ".a", "a\n", "a\x00", "ä", "a" * 65, "tenant:a"]
)
def test_a_name_that_could_be_mistaken_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"is no name for a tenant\. Use 1 to 64 letters"):
        check_tenant(name)
