"""Bearer authentication, with an API key or with a token from a password grant."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator

import httpx
from pydantic import BaseModel, Field, SecretStr, ValidationError

from reconciliation.errors import CredentialsRefused, SourceFailed

EARLY = 30.0
"""Seconds before its expiry from which a token is no longer used."""
RETRIES = 2
"""Maximum number of retries of a request after a 401."""
REMEDY = (
    "Ask the accessplanit administrator to check that the credentials are right, may use the API "
    "and have not expired."
)


class ApiKey(httpx.Auth):
    """Sends an API key as the bearer token. It cannot be refreshed."""

    def __init__(self, key: SecretStr) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        response = yield request
        if response.status_code == 401:
            # Try once more: a server that restarts may briefly refuse a valid key.
            response = yield request
        if response.status_code == 401:
            raise CredentialsRefused("accessplanit does not accept the API key (401)", REMEDY)


class Granted(BaseModel):
    """The answer of the token endpoint."""

    access_token: SecretStr
    expires_in: int = Field(gt=0)
    refresh_token: SecretStr | None = None


class PasswordGrant(httpx.Auth):
    """Fetches a token at first, before it expires, and after a 401: with the refresh token or,
    failing that, with the password."""

    requires_response_body = True

    def __init__(self, client: httpx.Client, url: str, username: str, password: SecretStr) -> None:
        self._client, self._url = client, url
        self._username, self._password = username, password
        self._granted: Granted | None = None
        self._until = 0.0
        self._lock = threading.Lock()

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        token = self._token(refused=None)
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        tries = 0
        while response.status_code == 401 and tries < RETRIES:
            # A second retry is needed because another thread's new token may have ended ours.
            tries += 1
            token = self._token(refused=token)
            request.headers["Authorization"] = f"Bearer {token}"
            response = yield request
        if response.status_code == 401:
            raise CredentialsRefused(
                "accessplanit does not accept the token that it has just issued (401)", REMEDY
            )

    def _token(self, refused: str | None) -> str:
        """Returns a valid token other than ``refused``. One thread fetches it while the others
        wait."""
        with self._lock:
            current = self._granted
            if (
                current
                and current.access_token.get_secret_value() != refused
                and time.monotonic() < self._until
            ):
                return current.access_token.get_secret_value()
            granted = None
            if current and current.refresh_token:
                granted = self._ask(
                    {
                        "grant_type": "refresh_token",
                        "refresh_token": current.refresh_token.get_secret_value(),
                    }
                )
            if granted is None:
                granted = self._ask(
                    {
                        "grant_type": "password",
                        "username": self._username,
                        "password": self._password.get_secret_value(),
                    }
                )
            if granted is None:
                raise CredentialsRefused(
                    "accessplanit does not accept the user name and password", REMEDY
                )
            self._granted = granted
            self._until = time.monotonic() + max(1.0, granted.expires_in - EARLY)
            return granted.access_token.get_secret_value()

    def _ask(self, form: dict[str, str]) -> Granted | None:
        """Requests a token. Returns ``None`` if the credentials are refused."""
        response = self._client.post(self._url, data=form)
        if response.status_code in (400, 401, 403):
            return None
        if not response.is_success:
            raise SourceFailed(
                f"The token endpoint of accessplanit answered {response.status_code}",
                "Check base_url and token_path. If they are right, run again later.",
            )
        try:
            return Granted.model_validate_json(response.content)
        except ValidationError:
            raise CredentialsRefused(
                "The token endpoint answered without access_token and expires_in",
                "Check base_url and token_path.",
            ) from None
