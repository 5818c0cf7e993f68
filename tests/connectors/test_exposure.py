"""What weakens safety is said at each start and by the doctor; secrets are never printed, wherever
they stand."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import sqlalchemy as sa
from pydantic import BaseModel, SecretStr, ValidationError
from typer.testing import CliRunner

from connectors.address import checked_http_address
from connectors.database import connect, shown
from connectors.exposure import exposures
from connectors.hr import connectors
from connectors.hr.bamboohr import BamboohrSettings
from connectors.hr.scim import ScimSettings
from connectors.hr.sql import SqlSettings
from connectors.settings import AccessplanitSettings, HistorySettings, Settings, load
from flows.console.cli import app
from reconciliation.errors import Misconfigured
from tasks.blocks import block_type_of, hr_settings
from tests.sides import Side

SECRET = "Xq7secretXq7"


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder in one that other accounts can enter."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        place.chmod(0o755)
        (place / "home").mkdir(mode=0o700)
        monkeypatch.chdir(place)
        yield place / "home"


def told(home: Path, place: str, model: BaseModel) -> list[str]:
    found = exposures(Settings(home=home), {place: model})  # type: ignore[call-arg]
    assert {finding.verdict for finding in found} <= {"warning"}
    return [finding.check for finding in found]


# -- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [AccessplanitSettings, ScimSettings, BamboohrSettings])
@pytest.mark.parametrize(
    ("address", "warned"),
    [
        ("http://hr.example/scim", True),
        ("HTTP://10.0.0.7:8080", True),
        ("https://hr.example", False),
        ("http://127.0.0.1:8600/x", False),
        ("http://127.8.8.8", False),
        ("http://[::1]:80", False),
        ("http://LOCALHOST", False),
        ("http://localhost.example", True),
    ],
)
def test_an_address_without_tls_is_warned_of_unless_it_is_this_machine(
    home: Path, model: type[BaseModel], address: str, warned: bool
) -> None:
    assert told(home, "HRSYNC_X", model(base_url=address)) == ["HRSYNC_X__BASE_URL"] * warned


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("postgresql+psycopg://u:p@db.example/hr", True),
        ("postgresql://u:p@db.example/hr?sslmode=disable", True),
        ("postgresql://u:p@db.example/hr?sslmode=allow", True),
        ("postgresql://u:p@db.example/hr?sslmode=prefer", True),
        ("postgresql://u:p@db.example/hr?sslmode=require", False),
        ("postgresql://u:p@db.example/hr?sslmode=verify-full", False),
        ("postgresql://u:p@127.0.0.1/hr", False),
        ("postgresql://u:p@[::1]/hr", False),
        ("postgresql://u:p@/hr", False),
        ("postgresql://u:p@/hr?host=/run/postgresql", False),
        ("postgresql://u:p@/hr?host=localhost:5433", False),
        ("postgresql://u:p@[::ffff:127.0.0.1]/hr", False),
        ("postgresql://u:p@%2Fvar%2Frun/hr", False),
        ("postgresql://u:p@localhost/hr?hostaddr=10.9.9.9", True),
        ("postgresql://u:p@db.example/hr?sslmode=require&sslmode=disable", True),
        ("postgresql://u:p@db.example/hr?sslrootcert=system", False),
        ("postgresql://u:p@/hr?host=localhost:5433&host=db.example:5432", True),
        ("sqlite:///hr.db", False),
    ],
)
def test_a_server_of_postgresql_elsewhere_must_require_tls(
    home: Path, url: str, warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGSSLMODE", raising=False)
    assert told(home, "HRSYNC_SQL", SqlSettings(url=SecretStr(url))) == ["HRSYNC_SQL__URL"] * warned  # type: ignore[call-arg]
    settings = Settings(home=home, store={"url": url})  # type: ignore[call-arg,arg-type]
    assert [finding.check for finding in exposures(settings, {})] == ["HRSYNC_STORE__URL"] * warned
    monkeypatch.setenv("PGSSLMODE", "require")
    assert bool(exposures(settings, {})) == (warned and "sslmode" in url), (
        "what counts for every connection counts here"
    )


def test_a_host_of_the_environment_counts_where_the_url_names_none(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=home, store={"url": "postgresql:///hr"})  # type: ignore[call-arg,arg-type]
    assert exposures(settings, {}) == []
    monkeypatch.setenv("PGHOST", "10.0.0.5")
    assert [finding.check for finding in exposures(settings, {})] == ["HRSYNC_STORE__URL"]


def test_files_that_others_may_read_are_warned_of(home: Path) -> None:
    place = home.parent
    inside = [home / name for name in ("store.db", "hr.db", "hr-mirror.db")]
    outside = [place / name for name in (".env", "elsewhere.db")]
    for file in inside + outside:
        file.touch()
        file.chmod(0o600)
    sql = SqlSettings(url=SecretStr(f"sqlite:///{place / 'elsewhere.db'}"))  # type: ignore[call-arg]
    assert told(home, "HRSYNC_SQL", sql) == []
    for file in inside + outside:
        file.chmod(0o640)
    assert told(home, "HRSYNC_SQL", sql) == sorted(map(str, outside)), (
        "what lies in a closed folder is closed"
    )
    home.chmod(0o701)
    assert told(home, "HRSYNC_SQL", sql) == sorted(map(str, [home, *inside, *outside]))


# -- credentials in an address -------------------------------------------------------------------


def test_credentials_leave_the_address_of_accessplanit_for_their_own_settings(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "HRSYNC_ACCESSPLANIT__BASE_URL",
        f"https://us%40er:{SECRET}%2F@tenant.example:8443/accessplan",
    )
    found = load().accessplanit
    assert (found.base_url, found.username) == ("https://tenant.example:8443/accessplan", "us@er")
    assert found.password == SecretStr(f"{SECRET}/")
    assert SECRET not in f"{load()!r}{load()}"
    assert (
        AccessplanitSettings.model_validate(found.model_dump()).model_dump() == found.model_dump()
    )
    assert told(home, "HRSYNC_ACCESSPLANIT", found) == ["HRSYNC_ACCESSPLANIT__BASE_URL"]
    apart = AccessplanitSettings(
        base_url="https://tenant.example", username="us", password=SecretStr(SECRET)
    )  # type: ignore[call-arg]
    assert told(home, "HRSYNC_ACCESSPLANIT", apart) == []


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (
            AccessplanitSettings,
            {"base_url": f"https://u:{SECRET}@tenant.example", "username": "another"},
        ),
        (
            AccessplanitSettings,
            {"base_url": f"https://u:{SECRET}@tenant.example", "password": "another"},
        ),
        (AccessplanitSettings, {"base_url": f"https://u:1/{SECRET}@tenant.example"}),
        (AccessplanitSettings, {"base_url": f"u:{SECRET}@tenant.example"}),
        (ScimSettings, {"base_url": f"https://u:{SECRET}@hr.example/scim/v2"}),
        (ScimSettings, {"base_url": f"https://{SECRET}@hr.example/scim/v2"}),
        (BamboohrSettings, {"base_url": f"https://{SECRET}:x@company.bamboohr.com"}),
        (HistorySettings, {"folder": f"sftp://u:{SECRET}@files.example/reports"}),
    ],
)
def test_an_address_with_credentials_that_have_no_other_place_is_refused_without_them(
    model: type[BaseModel], given: dict[str, str]
) -> None:
    with pytest.raises(ValidationError, match="address") as caught:
        model.model_validate(given)
    assert SECRET not in str(caught.value)


def test_a_refused_address_in_the_environment_is_named_without_what_it_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HRSYNC_SCIM__BASE_URL", f"https://u:{SECRET}@hr.example/scim/v2")
    with pytest.raises(
        Misconfigured, match=r"HRSYNC_SCIM__BASE_URL .* user name or a password"
    ) as caught:
        load().of_connector("scim")
    assert SECRET not in str(caught.value)


def test_a_folder_in_a_bucket_may_have_an_account_in_its_address() -> None:
    HistorySettings(folder="abfs://reports@account.dfs.core.windows.net/hr")  # type: ignore[call-arg]
    HistorySettings(folder="/srv/reports@hr")  # type: ignore[call-arg]


def test_addresses_in_blocks_are_held_to_the_same(
    configured: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.blocks import Accessplanit, accessplanit_settings

    Accessplanit(base_url=f"https://u:{SECRET}@tenant.example/x").save("leaky", overwrite=True)
    found = accessplanit_settings(Settings(accessplanit_block="leaky"))  # type: ignore[call-arg]
    assert (found.base_url, found.username, found.password) == (
        "https://tenant.example/x",
        "u",
        SecretStr(SECRET),
    )
    kind: Any = block_type_of("scim")
    kind.model_construct(base_url=f"https://u:{SECRET}@hr.example/scim/v2").save(
        "leaky", overwrite=True
    )
    with pytest.raises(
        Misconfigured, match=r"hrsync-scim/leaky has invalid values: .*user name or a password"
    ) as caught:
        hr_settings(Settings(), "scim", "leaky")  # type: ignore[call-arg]
    assert SECRET not in str(caught.value)
    kind(base_url="http://hr.invalid/scim/v2").save("open", overwrite=True)
    monkeypatch.setenv("HRSYNC_HR_OF__USERS_TO_HR", "scim/open")
    assert (
        "block scim/open__BASE_URL: is an http:// address of another host"
        in hrsync("run", "awards_to_hr").stderr
    )


@pytest.mark.parametrize(
    "address",
    [
        f"https://user:sec\u2100{SECRET}@tenant.example",
        f"https://t.example?api_key={SECRET}",
        f"https://user:{SECRET}%40t.example/",
    ],
)
def test_an_address_that_may_hold_a_secret_in_another_way_is_refused_without_it(
    address: str,
) -> None:
    with pytest.raises(ValidationError) as caught:
        AccessplanitSettings(base_url=address)  # type: ignore[call-arg]
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("https://hr.example/scim?", "query or a fragment"),
        ("https://hr.example/scim#", "query or a fragment"),
        (" https://hr.example", "blank"),
        ("https://hr.example ", "blank"),
        ("https://hr.example/scim\n", "blank"),
        ("https://hr\t.example", "blank"),
        ("https://hr.example/\x7f", "blank"),
        ("https://hr.example:99999", "port"),
        ("https://hr.example:0", "port"),
        ("https://hr.example:abc", "port"),
        ("https://", "https://host"),
        ("hr.example", "https://host"),
    ],
)
def test_an_address_to_which_no_request_could_be_sent_is_refused_with_the_reason(
    address: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        checked_http_address(address)


@pytest.mark.parametrize(
    "address",
    [
        f"filecache::sftp://u:{SECRET}@h/x",
        f"s3://key:SEC/{SECRET}@b",
        f"tcp://u:{SECRET}@h:1",
        f"simplecache::ftp://u:{SECRET}@h",
    ],
)
@pytest.mark.parametrize("setting", ["folder", "cluster"])
def test_addresses_of_historical_reconciliations_hold_no_password(
    setting: str, address: str
) -> None:
    with pytest.raises(ValidationError, match="may hold a password") as caught:
        HistorySettings.model_validate({setting: address})
    assert SECRET not in str(caught.value)


def test_a_password_in_the_options_of_a_database_is_not_shown() -> None:
    url = sa.make_url(
        f"postgresql+psycopg://u:{SECRET}@h:1/s?password={SECRET}&sslpassword={SECRET}&user=hr"
    )
    assert shown(url) == "postgresql+psycopg://u:***@h:1/s"
    assert shown(sa.make_url("sqlite:////home/hr.db")) == "sqlite:////home/hr.db"


def test_a_url_that_is_none_is_refused_without_it() -> None:
    with pytest.raises(Misconfigured, match="URL of a database is not valid") as caught:
        connect(f"postgresql+psycopg://hr:pa@ss:word{SECRET}@127.0.0.1:19790/s")
    assert SECRET not in str(caught.value)


# -- where it is said ----------------------------------------------------------------------------


def hrsync(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "250"})


def test_run_and_doctor_warn_and_go_on(configured: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Path(str(configured.store.engine.url.database))
    assert "chmod go=" not in hrsync("run", "users_to_hr").output
    # Its folder is closed to others.
    monkeypatch.setattr("connectors.exposure.open_to_others", lambda path: path == store)
    monkeypatch.setenv("HRSYNC_SCIM__BASE_URL", "http://hr.invalid/scim/v2")
    monkeypatch.setenv("HRSYNC_HR_OF__USERS_TO_HR", "scim")
    ran = hrsync("run", "awards_to_hr")
    lines = [line for line in ran.stderr.splitlines() if "chmod" in line or "http://" in line]
    assert [line.partition(":")[0] for line in lines] == ["HRSYNC_SCIM__BASE_URL", str(store)]
    assert ran.exit_code == 0
    monkeypatch.delenv("HRSYNC_HR_OF__USERS_TO_HR")
    checked = hrsync("doctor")
    assert re.search(rf"{re.escape(str(store))} +│ warning", checked.output)
    assert checked.exit_code == 0, "what works and is not safe is no failure"


@pytest.mark.parametrize("command", ["up", "receiver"])
def test_up_and_receiver_warn_when_they_start(
    home: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import flows.local.up
    import flows.receiver.app

    monkeypatch.setattr(flows.local.up, "up", lambda *_: True)
    monkeypatch.setattr(flows.receiver.app, "serve", lambda *_: None)
    (home.parent / ".env").write_text("HRSYNC_HOME=home\n")
    (home.parent / ".env").chmod(0o604)
    assert hrsync(command).stderr.count(f"chmod go= {home.parent / '.env'}\n") == 1


# -- secrets -------------------------------------------------------------------------------------


def secrets(prefix: str, model: type[BaseModel]) -> Iterator[str]:
    """The variables of a model that hold a secret."""
    for name, field in model.model_fields.items():
        kinds = {field.annotation, *get_args(field.annotation)}
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if SecretStr in kinds:
            yield f"{prefix}__{name.upper()}"
        for kind in inner:
            yield from secrets(f"{prefix}__{name.upper()}", kind)


ALL = [
    *secrets("HRSYNC", Settings),
    *(
        one
        for name, c in connectors().items()
        for one in secrets(f"HRSYNC_{name.upper()}", c.settings)
    ),
]
ALL = [name.replace("HRSYNC__", "HRSYNC_", 1) for name in ALL]


@pytest.mark.parametrize("connector", list(connectors()))
def test_no_secret_is_printed(
    connector: str, home: Path, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {
        "HRSYNC_ACCESSPLANIT__PASSWORD",
        "HRSYNC_STORE__URL",
        "HRSYNC_CSV_DROP__SFTP__PRIVATE_KEY",
        "HRSYNC_SQL__URL",
    } <= set(ALL)
    for name in [name for name in os.environ if name.startswith("HRSYNC_")]:
        monkeypatch.delenv(name)
    for name in ALL:
        monkeypatch.setenv(
            name, f"postgresql://u:{SECRET}@db.invalid/x" if name.endswith("__URL") else SECRET
        )
    plain = {
        "HOST": "files.invalid",
        "USERNAME": "u",
        "KNOWN_HOSTS": "files.invalid ssh-ed25519 AAAA",
    }
    for name, value in plain.items():
        monkeypatch.setenv(f"HRSYNC_CSV_DROP__SFTP__{name}", value)
    for name in ("ACCESSPLANIT", "WEBHOOKS"):
        monkeypatch.setenv(f"HRSYNC_{name}__USERNAME", "u")
    for name in ("ACCESSPLANIT", "SCIM", "BAMBOOHR"):
        monkeypatch.setenv(f"HRSYNC_{name}__BASE_URL", "http://nowhere.invalid")
        monkeypatch.setenv(f"HRSYNC_{name}__ATTEMPTS", "0")
    monkeypatch.setenv("HRSYNC_HR", connector)
    settings = load()
    models = {name: settings.of_connector(name) for name in connectors()}
    assert settings.as_environment()["HRSYNC_ACCESSPLANIT__PASSWORD"] == SECRET
    shown = [*map(repr, models.values()), *map(str, models.values()), repr(settings), str(settings)]
    shown += [repr(finding) for finding in exposures(settings, models)]
    doctor = hrsync("doctor")
    assert "refuted" in doctor.output
    assert SECRET not in "\n".join([*shown, doctor.output, doctor.stderr])
