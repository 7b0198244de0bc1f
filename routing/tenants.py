"""Whose a thread is: the name under which a tenant's thread stands in the store.

The mapping is injective: whatever two tenants call their threads, they never meet, and a thread without a tenant
meets none of theirs. A thread without a tenant keeps its own name, as it has always stood in the store.
"""

from __future__ import annotations

import re

from .errors import InputError

TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""A tenant's name: it holds no `:`, which ends it in the store."""
_MARK = "tenant:"


def check_tenant(tenant: str) -> None:
    """Raise InputError for a name that could not be told from what follows it in the store."""
    if not TENANT.fullmatch(tenant):
        raise InputError(
            f"The tenant {tenant[:80]!r} is no name for a tenant. "
            "Use 1 to 64 letters, digits, dots, hyphens and underscores, the first a letter or a digit."
        )


def stored_thread(tenant: str | None, thread_id: str) -> str:
    """Return the name under which a thread stands in the store; None: of no tenant.

    Raises:
        InputError: the tenant's name is none.
    """
    if tenant is not None:
        check_tenant(tenant)
        return f"{_MARK}{tenant}:{thread_id}"
    # A thread that only looks like a tenant's is kept apart from it by a tenant's name that is none.
    return f"{_MARK}:{thread_id}" if thread_id.startswith(_MARK) else thread_id


def thread_of(tenant: str | None, stored: str) -> str | None:
    """Return what a tenant (None: whoever has none) calls a thread of the store; None where it is not theirs."""
    if not stored.startswith(_MARK):
        return stored if tenant is None else None
    owner, _, thread_id = stored.removeprefix(_MARK).partition(":")
    return thread_id if owner == (tenant or "") else None
