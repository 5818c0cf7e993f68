"""Who may call: service users, their tokens and API keys, and the rows each may see."""

from __future__ import annotations

import os
import secrets
import threading
import time
from dataclasses import dataclass, field

API_KEY = os.environ.get("SANDBOX_API_KEY", "sandbox-key")
USERNAME, PASSWORD = "svc-hr", os.environ.get("SANDBOX_PASSWORD", "sandbox-password")
"""Known to everybody unless the environment has others: a sandbox that stays up should have
some."""


@dataclass(frozen=True)
class ServiceUser:
    """``companies``: the accounts whose people it sees; ``None``: all, the orphaned ones too."""

    identifier: str
    companies: frozenset[str] | None = None


@dataclass
class Accounts:
    """Passwords, API keys and tokens. Tokens live in memory: a restart forgets them, as a real
    server may."""

    token_life: float = 3600.0
    refresh_life: float = 86400.0
    passwords: dict[str, str] = field(
        default_factory=lambda: {USERNAME: PASSWORD, "svc-douglas": PASSWORD}
    )
    keys: dict[str, str] = field(default_factory=lambda: {API_KEY: USERNAME})
    users: dict[str, ServiceUser] = field(
        default_factory=lambda: {
            USERNAME: ServiceUser("svchr"),
            "svc-douglas": ServiceUser("svcdou", frozenset({"DOUG900E"})),
        }
    )

    def __post_init__(self) -> None:
        self._access: dict[str, tuple[str, float]] = {}
        self._refresh: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def grant(self, form: dict[str, str]) -> dict[str, object] | None:
        """The answer of the token endpoint, ``None`` for wrong credentials. Parameter names in any
        case."""
        form = {key.lower(): value for key, value in form.items()}
        with self._lock:
            if form.get("grant_type") == "refresh_token":
                name, until = self._refresh.pop(form.get("refresh_token", ""), ("", 0.0))
                if until < time.monotonic():
                    return None
            else:
                name = form.get("username", "")
                if form.get("grant_type") != "password" or self.passwords.get(name) != form.get(
                    "password"
                ):
                    return None
            access, refresh = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
            self._access[access] = (name, time.monotonic() + self.token_life)
            self._refresh[refresh] = (name, time.monotonic() + self.refresh_life)
        return {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": int(self.token_life),
            "refresh_token": refresh,
            "refresh_token_expires_in": int(self.refresh_life),
            "userID": self.users[name].identifier,
        }

    def who(self, authorization: str) -> ServiceUser | None:
        """The service user of an ``Authorization: Bearer …`` header: a token or an API key."""
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        if secret in self.keys:
            return self.users[self.keys[secret]]
        name, until = self._access.get(secret, ("", 0.0))
        return self.users[name] if until > time.monotonic() else None

    def forget(self, authorization: str) -> None:
        """Ends a token before its time."""
        self._access.pop(authorization.partition(" ")[2], None)
