"""Settings: from the environment (``HRSYNC_…``) and a ``.env`` file. Secrets are ``SecretStr``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SecretStr,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from reconciliation.errors import Misconfigured
from reconciliation.processes import NAMES

from .accessplanit.dialect import Dialect
from .address import Address, credentials_apart, without_password
from .hr import connectors
from .webhooks import Proof

PREFIX = "HRSYNC_"


class Account(BaseModel):
    """Settings with a user name and a password: both, or neither."""

    # What was given may be a password.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    username: str | None = None
    password: SecretStr | None = None

    @model_validator(mode="after")
    def _both(self) -> Self:
        if bool(self.username) != bool(self.password):
            there, missing = ("username", "password") if self.username else ("password", "username")
            raise PydanticCustomError(
                "half", f"has a {there} without a {missing}: set both or neither"
            )
        return self


class AccessplanitSettings(Account):
    """Where the tenant is and who we are there: an API key, or the name and password of a service
    user."""

    base_url: Address | None = Field(
        None,
        description="https://{tenant}.accessplanit.com/{accessplan|accessplantest|accessplansandbox}",
    )
    api_key: SecretStr | None = None
    timeout: float = Field(30.0, gt=0, description="seconds for one request")
    attempts: int = Field(6, ge=0, description="retries of one request")
    backoff: float = Field(0.5, ge=0, description="seconds before the first retry; doubles")
    concurrency: int = Field(8, ge=1, le=32, description="pages fetched at a time")
    requests_per_hour: int = Field(
        5000, ge=1, description="per endpoint; the published limit of API v1"
    )
    hour_seconds: float = Field(
        3600.0, gt=0, description="length of the hour of the limit; shorter in tests"
    )

    _were_in_address: bool = PrivateAttr(False)

    @model_validator(mode="wrap")
    @classmethod
    def _apart(cls, given: Any, made: ModelWrapValidatorHandler[Self]) -> Self:
        apart = credentials_apart(given)
        found = made(apart)
        found._were_in_address = apart is not given
        return found

    @property
    def were_in_address(self) -> bool:
        """Whether the user name and password stood in the address."""
        return self._were_in_address


class DatabaseSettings(BaseModel):
    """A SQLAlchemy URL, which may hold a password."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    url: SecretStr | None = None


class WebhookSettings(Account):
    """How deliveries of webhooks are known to be genuine, and how they are gathered. All that is
    set must hold.

    The user name and the password are those of basic authentication.
    """

    secret: SecretStr | None = Field(None, description="what the secret header must hold")
    # The name of a header.
    secret_header: str = "X-Webhook-Secret"  # noqa: S105
    signing_key: SecretStr | None = Field(
        None, description="a gateway signs deliveries with it: docs/webhooks.md says what"
    )
    signature_header: str = "X-Webhook-Signature"
    timestamp_header: str = Field("X-Webhook-Timestamp", description="seconds since 1970")
    tolerance_seconds: float = Field(
        300.0, gt=0, description="so far a signature's time may be from ours"
    )
    id_header: str = Field(
        "X-Webhook-Id", description="where the sender gives each delivery an ID of its own"
    )
    max_bytes: int = Field(262_144, ge=1, description="of one body")
    header_seconds: float = Field(
        5.0, gt=0, description="within these the headers of a request must be complete"
    )
    body_seconds: float = Field(10.0, gt=0, description="within these its body must be complete")
    connections: int = Field(
        500,
        ge=1,
        description="at a time; one more takes the place of the one that has waited longest",
    )
    open_pages: bool = Field(
        False, description="whether /metrics and /openapi.json answer strangers"
    )
    rate: str = Field("60000/minute", description="requests from one address, as 100/second")
    window_seconds: float = Field(
        2.0, ge=1, description="so long deliveries are gathered before a run is started"
    )
    burst: int = Field(
        200, ge=1, description="while more records than this wait, they are gathered for longer"
    )
    burst_seconds: float = Field(30.0, ge=1, description="the longest that a burst is gathered")
    watch_seconds: float = Field(5.0, gt=0, description="so often an inbox of files is looked at")

    @property
    def proof(self) -> Proof:
        """What the headers of a request must hold."""
        return Proof(self.secret_header, self.secret, self.username, self.password)

    @property
    def guarded(self) -> bool:
        """Whether there is anything by which a genuine delivery is known."""
        return self.proof.asked or bool(self.signing_key)


class HistorySettings(BaseModel):
    """Where historical reconciliations are worked on and their reports are kept, and on what they
    are computed."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    folder: Annotated[str, AfterValidator(without_password)] | None = Field(
        None, description="a path or an address that fsspec knows (s3://…); none: below HRSYNC_HOME"
    )
    cluster: Annotated[str, AfterValidator(without_password)] | None = Field(
        None,
        description="none: threads; local: a Dask cluster on this machine; or the address of a "
        "scheduler",
    )
    workers: int = Field(2, ge=1, description="threads, or workers of a local cluster")
    partition_rows: int = Field(250_000, ge=1000, description="rows that are compared at a time")


def _of_processes(chosen: dict[str, str]) -> dict[str, str]:
    """HR systems by process: a misspelt process would quietly go to the usual system."""
    if unknown := sorted(set(chosen) - set(NAMES)):
        raise PydanticCustomError(
            "process",
            "names no process: {unknown}. Use one of {names}",
            {"unknown": ", ".join(unknown), "names": ", ".join(NAMES)},
        )
    return chosen


ENV_FILE = ".env"
ENVIRONMENT = SettingsConfigDict(
    env_prefix=PREFIX,
    env_nested_delimiter="__",
    env_file=ENV_FILE,
    extra="ignore",
    env_ignore_empty=True,
    hide_input_in_errors=True,
)


class Settings(BaseSettings):
    """Everything a run needs to know of its surroundings."""

    model_config = ENVIRONMENT

    home: Path = Field(Path(".hrsync"), description="where databases and logs are kept")
    # The environment gives what is not given here.
    accessplanit: AccessplanitSettings = AccessplanitSettings()  # type: ignore[call-arg]
    accessplanit_block: str | None = Field(
        None, description="name of a Prefect block that holds the accessplanit settings"
    )
    dialect: Dialect = Dialect()
    hr: str = Field(
        "sql",
        description="the HR system: the name of a connector, with settings of its own, or "
        "connector/block",
    )
    hr_of: Annotated[dict[str, str], AfterValidator(_of_processes)] = Field(
        {}, description="process -> its HR system, where that is another one"
    )
    mappings: Path | None = Field(
        None,
        description="a folder with mappings of your own, which take the place of those by the "
        "same name",
    )
    store: DatabaseSettings = DatabaseSettings()
    approval_hours: float = Field(
        24.0, gt=0, description="so long a plan past its guard waits for an approval"
    )
    # The environment gives what is not given here.
    webhooks: WebhookSettings = WebhookSettings()  # type: ignore[call-arg]
    # The environment gives what is not given here.
    history: HistorySettings = HistorySettings()  # type: ignore[call-arg]
    lease_seconds: float = Field(
        60.0,
        gt=0,
        description="seconds for which a killed run keeps the next of its process waiting",
    )

    def system_of(self, process: str) -> tuple[str, str]:
        """(connector, name of its Prefect block, if it is one) of a process's HR system.

        Raises:
            Misconfigured: the connector is unknown.
        """
        chosen = self.hr_of.get(process, self.hr)
        name, _, block = chosen.partition("/")
        if name not in connectors():
            raise Misconfigured(
                f"There is no HR system '{name}'",
                f"Set HRSYNC_HR to one of {', '.join(connectors())}.",
            )
        return name, block

    def of_connector(self, name: str) -> BaseModel:
        """The settings of a connector, from the environment.

        Raises:
            Misconfigured: one has no usable value.
        """
        model = connectors()[name].settings
        fields: dict[str, Any] = {name: (model, Field(default_factory=model))}
        with _named():
            chosen: BaseModel = getattr(
                create_model("Chosen", __base__=_Environment, **fields)(), name
            )
            return chosen

    @property
    def store_url(self) -> str:
        """The sync store; SQLite below ``home`` unless one is configured."""
        return (
            self.store.url.get_secret_value()
            if self.store.url
            else f"sqlite:///{self.home.absolute() / 'store.db'}"
        )

    @property
    def history_folder(self) -> str:
        """Where historical reconciliations are kept: personal data."""
        return self.history.folder or str(self.home.absolute() / "reconciliations")

    def as_environment(self) -> dict[str, str]:
        """These settings as environment variables, secrets in the clear: for the processes that
        this one starts."""
        found: dict[str, str] = {}

        def add(name: str, value: object) -> None:
            if isinstance(value, dict) and name != f"{PREFIX}DIALECT__NAMES":
                for key, inner in value.items():
                    add(f"{name}__{key.upper()}", inner)
            elif isinstance(value, SecretStr):
                found[name] = value.get_secret_value()
            else:
                value = value.absolute() if isinstance(value, Path) else value
                found[name] = (
                    str(value) if isinstance(value, str | Path) else json.dumps(value, default=str)
                )

        for name, value in self.model_dump(exclude_defaults=True).items():
            add(f"{PREFIX}{name.upper()}", value)
        for connector in connectors():
            add(
                f"{PREFIX}{connector.upper()}",
                self.of_connector(connector).model_dump(exclude_defaults=True),
            )
        return found

    def unknown(self) -> list[str]:
        """Environment variables with our prefix that name no setting: nearly always a
        misspelling."""
        known = {name.upper() for name in (*type(self).model_fields, *connectors())}
        return sorted(
            k
            for k in os.environ
            if k.upper().startswith(PREFIX) and k.upper()[len(PREFIX) :].split("__")[0] not in known
        )


class _Environment(BaseSettings):
    model_config = ENVIRONMENT


@contextmanager
def _named() -> Iterator[None]:
    """A setting without a usable value is named, without the value."""
    try:
        yield
    except ValidationError as error:
        raise Misconfigured(
            f"Settings are wrong: {problems(error, PREFIX)}",
            "Correct them in the environment or in .env.",
        ) from None


def problems(error: ValidationError, prefix: str = "") -> str:
    """The settings that have no usable value, each with what is wrong and without the value."""
    found = error.errors(include_input=False, include_url=False)
    return "; ".join(f"{prefix}{'__'.join(map(str, e['loc'])).upper()} {e['msg']}" for e in found)


def load() -> Settings:
    """Raises:
    Misconfigured: a setting has no usable value; names each, without the value.
    """
    with _named():
        # The environment gives what is not given here.
        return Settings()  # type: ignore[call-arg]
