"""Settings, read from the environment (``HRSYNC_…``) and a ``.env`` file. Secrets are
``SecretStr``."""

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
from reconciliation.validation import fault_of

from .accessplanit.dialect import Dialect
from .address import Address, credentials_apart, without_password
from .hr import connectors
from .webhooks import Proof

PREFIX = "HRSYNC_"


class Account(BaseModel):
    """Settings with a user name and a password: both, or neither."""

    # Errors must not repeat the input, which may be a password.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    username: str | None = None
    password: SecretStr | None = None

    @model_validator(mode="after")
    def _both(self) -> Self:
        if bool(self.username) != bool(self.password):
            present, missing = (
                ("username", "password") if self.username else ("password", "username")
            )
            raise PydanticCustomError(
                "half", f"has a {present} without a {missing}: set both or neither"
            )
        return self


class AccessplanitSettings(Account):
    """The tenant's address and our credentials there: an API key, or the name and password of a
    service user."""

    base_url: Address | None = Field(
        None,
        description="https://{tenant}.accessplanit.com/{accessplan|accessplantest|accessplansandbox}",
    )
    api_key: SecretStr | None = None
    timeout: float = Field(30.0, gt=0, description="seconds for one request")
    attempts: int = Field(6, ge=0, description="maximum number of retries of one request")
    backoff: float = Field(0.5, ge=0, description="seconds before the first retry; doubles")
    concurrency: int = Field(8, ge=1, le=32, description="maximum number of parallel requests")
    requests_per_hour: int = Field(
        5000, ge=1, description="per endpoint; the published limit of API v1"
    )
    hour_seconds: float = Field(
        3600.0, gt=0, description="seconds in which the limit applies; shorter in tests"
    )

    _were_in_address: bool = PrivateAttr(False)

    @model_validator(mode="wrap")
    @classmethod
    def _apart(cls, data: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        separated = credentials_apart(data)
        settings = validate(separated)
        settings._were_in_address = separated is not data
        return settings

    @property
    def were_in_address(self) -> bool:
        """Whether the user name and password were part of the address."""
        return self._were_in_address


class DatabaseSettings(BaseModel):
    """A SQLAlchemy URL, which may hold a password."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    url: SecretStr | None = None


class WebhookSettings(Account):
    """How webhook deliveries are verified and batched. Every configured check must pass.

    The user name and the password are those of basic authentication.
    """

    secret: SecretStr | None = Field(None, description="required value of the secret header")
    # The name of a header, not a secret.
    secret_header: str = "X-Webhook-Secret"  # noqa: S105
    signing_key: SecretStr | None = Field(
        None,
        description="key with which a gateway signs deliveries; docs/webhooks.md says which parts",
    )
    signature_header: str = "X-Webhook-Signature"
    timestamp_header: str = Field("X-Webhook-Timestamp", description="seconds since 1970")
    tolerance_seconds: float = Field(
        300.0, gt=0, description="maximum difference between the signed time and ours"
    )
    id_header: str = Field(
        "X-Webhook-Id", description="header with the sender's unique ID of each delivery"
    )
    max_bytes: int = Field(262_144, ge=1, description="maximum size of one body")
    header_seconds: float = Field(
        5.0, gt=0, description="time limit for receiving the headers of a request"
    )
    body_seconds: float = Field(10.0, gt=0, description="time limit for receiving its body")
    connections: int = Field(
        500,
        ge=1,
        description="maximum at a time; one more replaces the one that has waited longest",
    )
    open_pages: bool = Field(
        False, description="whether /metrics and /openapi.json need no credentials"
    )
    rate: str = Field(
        "60000/minute", description="maximum number of requests from one address, as 100/second"
    )
    window_seconds: float = Field(
        2.0, ge=1, description="seconds for which deliveries are gathered before a run starts"
    )
    burst: int = Field(
        200, ge=1, description="while more records than this wait, gathering goes on"
    )
    burst_seconds: float = Field(
        30.0, ge=1, description="maximum seconds for which a burst is gathered"
    )
    watch_seconds: float = Field(5.0, gt=0, description="seconds between looks at a file inbox")

    @property
    def proof(self) -> Proof:
        """The credentials that the headers of a request must hold."""
        return Proof(self.secret_header, self.secret, self.username, self.password)

    @property
    def guarded(self) -> bool:
        """Whether any check of a delivery is configured."""
        return self.proof.asked or bool(self.signing_key)


class HistorySettings(BaseModel):
    """Settings of historical reconciliations: the folder of their data and reports, and the
    machines that compute them."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    folder: Annotated[str, AfterValidator(without_password)] | None = Field(
        None,
        description="a path, or an address that fsspec can open (s3://…); none: below HRSYNC_HOME",
    )
    cluster: Annotated[str, AfterValidator(without_password)] | None = Field(
        None,
        description="none: threads; local: a Dask cluster on this machine; or the address of a "
        "scheduler",
    )
    workers: int = Field(2, ge=1, description="threads, or workers of a local cluster")
    partition_rows: int = Field(250_000, ge=1000, description="rows compared at a time")


def _of_processes(systems: dict[str, str]) -> dict[str, str]:
    """Rejects unknown processes: a misspelt one would silently use the default HR system."""
    if unknown := sorted(set(systems) - set(NAMES)):
        raise PydanticCustomError(
            "process",
            "names an unknown process: {unknown}. Use one of {names}",
            {"unknown": ", ".join(unknown), "names": ", ".join(NAMES)},
        )
    return systems


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
    """The settings of this project, except those of the HR systems (:meth:`of_connector`)."""

    model_config = ENVIRONMENT

    home: Path = Field(Path(".hrsync"), description="folder of databases and logs")
    # Missing values come from the environment.
    accessplanit: AccessplanitSettings = AccessplanitSettings()  # type: ignore[call-arg]
    accessplanit_block: str | None = Field(
        None, description="name of a Prefect block that holds the accessplanit settings"
    )
    dialect: Dialect = Dialect()
    hr: str = Field(
        "sql",
        description="the HR system: the name of a connector, whose settings come from the "
        "environment, or connector/block",
    )
    hr_of: Annotated[dict[str, str], AfterValidator(_of_processes)] = Field(
        {}, description="process -> its HR system, where it differs from hr"
    )
    mappings: Path | None = Field(
        None,
        description="a folder with your own mappings, which replace those of the same name",
    )
    store: DatabaseSettings = DatabaseSettings()
    approval_hours: float = Field(
        24.0, gt=0, description="hours for which a stopped plan waits for an approval"
    )
    # Missing values come from the environment.
    webhooks: WebhookSettings = WebhookSettings()  # type: ignore[call-arg]
    # Missing values come from the environment.
    history: HistorySettings = HistorySettings()  # type: ignore[call-arg]
    lease_seconds: float = Field(
        60.0,
        gt=0,
        description="seconds for which a killed run blocks the next run of its process",
    )

    def system_of(self, process: str) -> tuple[str, str]:
        """Returns the connector of a process's HR system and the name of its Prefect block, empty
        if its settings come from the environment.

        Raises:
            Misconfigured: the connector is unknown.
        """
        system = self.hr_of.get(process, self.hr)
        name, _, block = system.partition("/")
        if name not in connectors():
            own = process in self.hr_of
            setting = f"HRSYNC_HR_OF__{process.upper()}" if own else "HRSYNC_HR"
            raise Misconfigured(
                f"There is no HR system '{name}'",
                f"Set {setting} to one of {', '.join(connectors())}.",
            )
        return name, block

    def of_connector(self, name: str) -> BaseModel:
        """Reads the settings of a connector from the environment.

        Raises:
            Misconfigured: a setting has no usable value.
        """
        model = connectors()[name].settings
        fields: dict[str, Any] = {name: (model, Field(default_factory=model))}
        with _named():
            settings: BaseModel = getattr(
                create_model("Chosen", __base__=_Environment, **fields)(), name
            )
            return settings

    @property
    def store_url(self) -> str:
        """URL of the sync store: SQLite below ``home`` unless one is configured."""
        return (
            self.store.url.get_secret_value()
            if self.store.url
            else f"sqlite:///{self.home.absolute() / 'store.db'}"
        )

    @property
    def history_folder(self) -> str:
        """Folder of the historical reconciliations. It holds personal data."""
        return self.history.folder or str(self.home.absolute() / "reconciliations")

    def as_environment(self) -> dict[str, str]:
        """Returns these settings as environment variables for child processes. Secrets are in
        plain text."""
        variables: dict[str, str] = {}

        def add(name: str, value: object) -> None:
            if isinstance(value, dict) and name != f"{PREFIX}DIALECT__NAMES":
                for key, inner in value.items():
                    add(f"{name}__{key.upper()}", inner)
            elif isinstance(value, SecretStr):
                variables[name] = value.get_secret_value()
            else:
                value = value.absolute() if isinstance(value, Path) else value
                variables[name] = (
                    str(value) if isinstance(value, str | Path) else json.dumps(value, default=str)
                )

        for name, value in self.model_dump(exclude_defaults=True).items():
            add(f"{PREFIX}{name.upper()}", value)
        for connector in connectors():
            add(
                f"{PREFIX}{connector.upper()}",
                self.of_connector(connector).model_dump(exclude_defaults=True),
            )
        return variables

    def unknown(self) -> list[str]:
        """Returns environment variables with our prefix that match no setting, usually
        misspellings."""
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
    """Turns a validation error into :class:`Misconfigured`, which names each setting without its
    value."""
    try:
        yield
    except ValidationError as error:
        raise Misconfigured(
            f"Invalid settings: {problems(error, PREFIX)}",
            "Correct them in the environment or in .env.",
        ) from None


def problems(error: ValidationError, prefix: str = "") -> str:
    """Lists the invalid settings, each with the fault and without its value."""
    errors = error.errors(include_input=False, include_url=False)
    names = ("__".join(map(str, error["loc"])).upper() for error in errors)
    return "; ".join(
        f"{prefix}{name} {fault_of(error)}" if name else fault_of(error)
        for name, error in zip(names, errors, strict=True)
    )


def load() -> Settings:
    """Reads the settings from the environment.

    Raises:
        Misconfigured: settings have no usable value. The message names each, without its value.
    """
    with _named():
        # Missing values come from the environment.
        return Settings()  # type: ignore[call-arg]
