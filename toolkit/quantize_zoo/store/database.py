"""Opening the database: SQLite in WAL mode, and the schema brought up to date or refused."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from quantize_zoo import errors

_BUSY_TIMEOUT_SECONDS = 30


def open_database(url: str) -> Engine:
    """Open the database, creating or upgrading its schema.

    Raises:
        ConfigurationError: it cannot be opened, is another program's, or a later release wrote it.

    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(parsed)
        sa.event.listen(engine, "connect", _set_up_sqlite)
        with engine.begin() as connection:
            _migrate(connection, url)
    except (ArgumentError, SQLAlchemyError, OSError, ModuleNotFoundError) as error:
        raise errors.store_unusable(url, str(error).splitlines()[0]) from error
    return engine


def _set_up_sqlite(connection: Any, _: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        # WAL: readers do not block the writer, and a killed process leaves a consistent file.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_SECONDS * 1000}")


def _migrate(connection: sa.Connection, url: str) -> None:
    config = Config()
    config.set_main_option("script_location", "quantize_zoo.store:migrations")
    config.attributes["connection"] = connection
    current = MigrationContext.configure(connection).get_current_revision()
    script = ScriptDirectory.from_config(config)
    known = {revision.revision for revision in script.walk_revisions()}
    if current is None and sa.inspect(connection).get_table_names():
        raise errors.store_unusable(url, "it is a database of another program")
    if current is not None and current not in known:
        raise errors.store_too_new(url, current)
    if current != script.get_current_head():
        command.upgrade(config, "head")
