"""Where at an endpoint each role is: a path, and the token that opens it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from .app import Page, Served
from .status import Status

#: [NIST SP 800-63B asks for 64 bits of a secret that can be guessed online]
TOKEN_BYTES = 32


def place() -> tuple[str, str]:
    """Return a new path, and a token that opens it."""
    # Not empty, and without a query, which Ruby's SDK drops.
    return f"/{secrets.token_urlsafe(16)}", secrets.token_urlsafe(TOKEN_BYTES)


class Places:
    """The roles of an endpoint, which may come and go, and the page that tells of them.

    Only one thread at a time may change it.

    Attributes:
        served: The roles.
        urls: Name of a role → where its credentials are.
        tokens: Name of a role → what opens them. Secret.
    """

    def __init__(self, host: str, served: Iterable[Served]) -> None:
        self._host = host
        self.served: tuple[Served, ...] = ()
        self.urls: dict[str, str] = {}
        self.tokens: dict[str, str] = {}
        self._paths: dict[str, str] = {}
        for one in served:
            self._enter(one)
        path, token = place()
        self.status_path: str = path
        self.status_token: str = token
        self.status_url: str = f"http://{host}{self.status_path}"

    def add(self, served: Served) -> dict[str, tuple[str, Page]]:
        """Give *served* a place; return all pages.

        Raises:
            ValueError: another role has its name.
        """
        if served.name in self.urls:
            raise ValueError(f"{served.name} is served already")
        self._enter(served)
        return self.pages()

    def remove(self, served: Served) -> dict[str, tuple[str, Page]]:
        """Take the place of *served* away; return the pages that are left."""
        left = tuple(one for one in self.served if one is not served)
        if len(left) < len(self.served):
            self.served = left
            for known in (self.urls, self.tokens, self._paths):
                del known[served.name]
        return self.pages()

    def pages(self) -> dict[str, tuple[str, Page]]:
        """Return path → its token, and what is there."""
        pages: dict[str, tuple[str, Page]] = {
            self._paths[one.name]: (self.tokens[one.name], one) for one in self.served
        }
        return {**pages, self.status_path: (self.status_token, self.status)}

    @property
    def status(self) -> Status:
        """What tells of the roles there are now."""
        return Status(self.served)

    def _enter(self, served: Served) -> None:
        path, self.tokens[served.name] = place()
        self._paths[served.name] = path
        self.urls[served.name] = f"http://{self._host}{path}"
        self.served = (*self.served, served)
