"""Who may use the server: callers with a key. aegra takes a file that fails to load for no protection at all,
so that nothing here is read, or can go wrong, before a request is there.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Mapping

from langgraph_sdk import Auth

VARIABLE = "SERVER_KEYS"
"""Callers and the SHA-256 of their keys, as JSON: `{"alice": "9f86d0…"}`. Unset or unreadable: nobody may."""

auth = Auth()


@auth.authenticate
async def authenticate(headers: Mapping[str, str]) -> Auth.types.MinimalUserDict:
    """Return the caller whose key stands in `x-api-key`: threads, runs and stored items are seen by their owner alone.

    Raises:
        Auth.exceptions.HTTPException: 401: no key, or none of ours.
    """
    key = headers.get("x-api-key", "")
    mark = hashlib.sha256(key.encode()).hexdigest()
    for name, known in _callers().items():
        if key and hmac.compare_digest(mark, known.lower()):
            return {"identity": name, "is_authenticated": True}
    raise Auth.exceptions.HTTPException(status_code=401, detail="Give your key in the header x-api-key.")


def _callers() -> dict[str, str]:
    try:
        callers = json.loads(os.environ.get(VARIABLE, "{}"))
        return {name: known for name, known in callers.items() if len(bytes.fromhex(known)) == 32}
    except (ValueError, TypeError, AttributeError):
        return {}
