"""Who may use the picking page: a token where other machines can reach it, and never the page of another site."""

import hmac
import ipaddress
import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

SHORTEST_TOKEN = 8
GENERATED_BYTES = 18


def is_loopback(name: str) -> bool:
    """Whether a host name or address (without port and brackets) is this machine's own."""
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Access:
    """The rule for every request. ``token`` is empty where none is asked for: on the loopback address."""

    token: str

    @classmethod
    def to(cls, address: str, token: str) -> "Access":
        """The rule for a server on an address; generates a token where one is needed and none was given.

        Raises:
            ValueError: The token is too short to keep anybody out, or has characters that a URL would change.
        """
        if token and len(token) < SHORTEST_TOKEN:
            raise ValueError(f"token has {len(token)} characters, expected at least {SHORTEST_TOKEN}")
        if not all(character.isascii() and (character.isalnum() or character in "-_.~") for character in token):
            raise ValueError("token may hold ASCII letters, digits and -_.~ only: it is part of a URL")
        if not token and not is_loopback(address):
            token = secrets.token_urlsafe(GENERATED_BYTES)
        return cls(token)

    def refusal(self, host: str, origin: str | None, token: str) -> tuple[int, str] | None:
        """HTTP status and reason if a request must be refused, None if it may pass.

        Args:
            host: Its Host header.
            origin: Its Origin header: browsers send one with every websocket and every POST.
            token: The token that it brings; empty if none.
        """
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, "the page of another site may not use this server"
        if self.token:
            if not hmac.compare_digest(token.encode(), self.token.encode()):
                return 401, "token missing or wrong: open the address that the pick node printed when it started"
        # Without a token, a foreign name that resolves to the loopback address (DNS rebinding) must not get in.
        elif not is_loopback(_name(host)):
            return 403, f"host '{host[:100]}' is not this machine's loopback address: open http://localhost:PORT/"
        return None


def _name(host: str) -> str:
    """The name in a Host header, without port and brackets; empty if it cannot be read."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
