"""Law 11 for the SQL connector: what a database says is a row's fault or the system's, never
mistaken for the other."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest
from psycopg import errors

from connectors.hr.sql import speaking
from reconciliation.errors import Refused, TargetFailed

SYSTEM = [
    errors.ReadOnlySqlTransaction,
    errors.InsufficientPrivilege,
    errors.LockNotAvailable,
    errors.QueryCanceled,
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.DiskFull,
    errors.AdminShutdown,
    psycopg.OperationalError,
    psycopg.InternalError,
    sqlite3.OperationalError,
]
ROW = [
    errors.NotNullViolation,
    errors.UniqueViolation,
    errors.InvalidDatetimeFormat,
    sqlite3.IntegrityError,
    sqlite3.DataError,
]


@pytest.mark.parametrize("error", SYSTEM, ids=lambda e: e.__name__)
def test_law_11_a_fault_of_the_database_is_no_fault_of_a_row(error: type[Exception]) -> None:
    with pytest.raises(TargetFailed), speaking():
        raise error("said by the driver")


@pytest.mark.parametrize("error", ROW, ids=lambda e: e.__name__)
def test_law_11_bad_data_is_the_fault_of_a_row(error: type[Exception]) -> None:
    with pytest.raises(Refused), speaking():
        raise error("said by the driver")
