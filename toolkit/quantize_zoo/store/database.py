"""Opening the database: SQLite in WAL mode, whole transactions, and the schema brought up to date or refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from quantize_zoo import errors

_BUSY_TIMEOUT_SECONDS = 30
_CHECKPOINT_TIMEOUT_SECONDS = 1
_WRITES = "quantize_zoo_writes"
_MIGRATION_LOCK = 0x7175616E74  # of PostgreSQL's advisory locks; any number that nobody else takes
# The tables of the first migration, each with a column that makes it ours.
_FIRST_TABLES = {
    "alembic_version": "version_num",
    "runs": "on_missing_device",
    "cells": "search_key",
    "trials": "option_hash",
}


def open_database(url: str) -> Engine:
    """Open the database, creating or upgrading its schema; an upgrade happens as a whole or not at all.

    Raises:
        ConfigurationError: it cannot be opened, is another program's, or a later release wrote it.

    """
    parsed = _parse(url)
    try:
        if is_sqlite(parsed) and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(parsed)
        if is_sqlite(parsed):
            sa.event.listen(engine, "connect", _set_up_sqlite)
            sa.event.listen(engine, "begin", _begin_in_sqlite)
        config = Config()
        config.set_main_option("script_location", "quantize_zoo.store:migrations")
        with engine.begin() as connection:
            current = _revision(connection) == ScriptDirectory.from_config(config).get_current_head()
        if not current:
            with for_writing(engine).begin() as connection:
                _migrate(connection, config, url)
    except (SQLAlchemyError, OSError, ModuleNotFoundError, TypeError, ValueError) as error:
        raise errors.store_unusable(url, first_line(error)) from error
    return engine


def is_sqlite(url: URL) -> bool:
    """Tell whether the database is a file, or in memory."""
    return url.get_backend_name() == "sqlite"


def for_writing(engine: Engine) -> Engine:
    """Return the engine whose transactions write: SQLite's take the lock at their start.

    One that reads first and writes then would fail at once where another has written in between.
    """
    return engine.execution_options(**{_WRITES: True})


def checkpoint(engine: Engine) -> None:
    """Move what was committed from SQLite's log into the database's file, as far as no reader needs the log.

    Nothing is lost without it: what is committed and not in the file is in the log.
    """
    if not is_sqlite(engine.url):
        return
    with suppress(SQLAlchemyError, sqlite3.Error), closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={_CHECKPOINT_TIMEOUT_SECONDS * 1000}")
        try:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_SECONDS * 1000}")


def first_line(error: Exception) -> str:
    """Return what a driver says, without the statement and the values that SQLAlchemy adds."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        # Without the cause, which may quote the password.
        raise errors.store_unusable(url, "it is no URL of a database, e.g. sqlite:///reports/store.db") from None


def _set_up_sqlite(connection: Any, _: Any) -> None:
    # SQLAlchemy's recipe for whole transactions: of itself, the driver begins none for CREATE and ALTER.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_SECONDS * 1000}")
    # WAL: readers do not block the writer, and a killed process leaves a consistent file.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_in_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _revision(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _migrate(connection: sa.Connection, config: Config, url: str) -> None:
    if connection.dialect.name == "postgresql":
        # As SQLite's lock does: of two that find an empty database, one creates the tables.
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
    names = set(sa.inspect(connection).get_table_names())
    current = _revision(connection)
    if current is None:
        _make_room(connection, names, url)
    elif "runs" not in names:
        raise _foreign(url)
    elif current not in {each.revision for each in ScriptDirectory.from_config(config).walk_revisions()}:
        raise errors.store_too_new(url, current)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _make_room(connection: sa.Connection, names: set[str], url: str) -> None:
    """Drop the empty tables that an interrupted first migration of an older release left; refuse any others."""
    if not names <= _FIRST_TABLES.keys():
        raise _foreign(url)
    left = sa.MetaData()
    left.reflect(connection, only=list(names))
    for name, table in left.tables.items():
        if _FIRST_TABLES[name] not in table.columns or connection.execute(sa.select(table).limit(1)).first():
            raise _foreign(url)
    left.drop_all(connection)


def _foreign(url: str) -> errors.ConfigurationError:
    return errors.store_unusable(url, "it is a database of another program")
