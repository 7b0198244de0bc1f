"""The address of a server, taken apart from the login that may stand in it: that goes into no log and no message."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit, urlunsplit


@dataclass(frozen=True, kw_only=True)
class Address:
    """An address without its login, which is a name and a password."""

    url: str
    login: tuple[str, str] | None = field(default=None, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no text may hold."""
        return tuple(part for part in self.login or () if part)[-1:]


def address_of(url: str) -> Address:
    """Take an address apart; what is no address stays as it is, for its user to refuse."""
    try:
        parts = urlsplit(url)
        name, password = unquote(parts.username or ""), unquote(parts.password or "")
    except ValueError:
        return Address(url=url)
    if "@" not in parts.netloc:
        return Address(url=url)
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return Address(url=bare, login=(name, password))
