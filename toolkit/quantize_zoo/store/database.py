"""Opening the database: SQLite in WAL mode, whole transactions, and the schema brought up to date or refused.

What is refused is left as it was: no file or folder is made, and no other program's database is touched.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from quantize_zoo import errors
from quantize_zoo.errors import QuantizeZooError
from quantize_zoo.store.packing import read_json
from quantize_zoo.text.files import made

_BUSY_TIMEOUT_SECONDS = 30
_CHECKPOINT_TIMEOUT_SECONDS = 1
_WRITES = "quantize_zoo_writes"
_READ_ONLY = {"immutable": "1", "uri": "true"}  # of SQLite's own URIs
_MIGRATION_LOCK = 0x7175616E74  # of PostgreSQL's advisory locks; any number that nobody else takes
REVISION = "0013"  # the last of the migrations
_VERSION = sa.table("alembic_version", sa.column("version_num", sa.String))
# The tables of the first migration, each with a column that makes it ours.
_FIRST_TABLES = {
    "alembic_version": "version_num",
    "runs": "on_missing_device",
    "cells": "search_key",
    "trials": "option_hash",
}


def open_database(url: str, *, new: bool = True) -> Engine:
    """Open the database, creating or upgrading its schema; an upgrade happens as a whole or not at all.

    Args:
        url: SQLAlchemy's.
        new: whether it is made where there is none.

    Raises:
        ConfigurationError: it cannot be opened, is another program's, a later release wrote it, or it is not there.

    """
    parsed = _parse(url)
    try:
        with _room(parsed, url, new=new):
            engine = sa.create_engine(_as_it_lies(parsed), json_deserializer=read_json)
            try:
                _prepare(engine, url, new=new)
            except BaseException:
                engine.dispose()
                raise
            return engine
    except QuantizeZooError:
        raise
    except Exception as error:  # drivers, decoders and Alembic raise whatever a URL or a damaged file brings about
        raise errors.store_unusable(url, first_line(error)) from error


def _prepare(engine: Engine, url: str, *, new: bool) -> None:
    """See whose database it is, and bring its schema up to date."""
    if is_sqlite(engine.url):
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_in_sqlite)
    with engine.begin() as connection:
        current = _is_current(connection)
        if not new and not current and _revision(connection) is None:
            raise _foreign(url) if sa.inspect(connection).get_table_names() else errors.store_missing(url)
    if not current:
        with for_writing(engine).begin() as connection:
            upgraded = _migrate(connection, url)
        if upgraded:
            vacuum(engine)  # of what an older release stored little is left
    if is_sqlite(engine.url):
        # WAL: readers do not block the writer, and a killed process leaves a consistent file. The file keeps it;
        # where another process is at work in a new one meanwhile, that one does it.
        with suppress(sqlite3.OperationalError), closing(engine.raw_connection()) as connection:
            connection.cursor().execute("PRAGMA journal_mode=WAL")


@contextmanager
def _room(parsed: URL, url: str, *, new: bool) -> Iterator[None]:
    """Make the folder of SQLite's file if it may be made; of what cannot be opened nothing stays that was not there."""
    path = _file_of(parsed)
    if path is None:
        yield
        return
    there = path.exists()
    if not new:
        if not there:
            raise errors.store_missing(url)
        yield
        return
    with made(path.parent):
        try:
            yield
        except BaseException:
            if not there and path.is_file() and not path.stat().st_size:
                path.unlink()  # the driver makes an empty file for whatever it opens
            raise


def _file_of(parsed: URL) -> Path | None:
    """Return SQLite's file; None of a database in memory, of one that SQLite's own URI names, and of a server."""
    name = parsed.database or ""
    return None if not is_sqlite(parsed) or name in ("", ":memory:") or name.startswith("file:") else Path(name)


def _as_it_lies(parsed: URL) -> URL:
    """Return the URL, of a file that nobody can write to one that needs no log beside it: an archive is read as it is.

    What is in a log and not in the file would be missing then, so it is opened, and refused, as any other.
    """
    path = _file_of(parsed)
    if path is None or not path.is_file() or os.access(path.parent, os.W_OK):
        return parsed
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        return parsed
    return parsed.set(database=path.absolute().as_uri(), query={**parsed.query, **_READ_ONLY})


def is_read_only(url: URL) -> bool:
    """Tell whether a file was opened that nobody can write."""
    return _READ_ONLY.items() <= dict(url.query).items()


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


def vacuum(engine: Engine) -> None:
    """Rewrite the database without what was deleted; where another program holds it, that waits for another time."""
    with suppress(SQLAlchemyError, sqlite3.Error), closing(engine.raw_connection()) as connection:
        if is_sqlite(engine.url):
            connection.cursor().execute("VACUUM")
    if not is_sqlite(engine.url):
        with suppress(SQLAlchemyError), engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM")
    checkpoint(engine)


def first_line(error: Exception) -> str:
    """Return what a driver or a reader says, without the statement and the values that SQLAlchemy adds."""
    if isinstance(error, SQLAlchemyError):
        return next(iter(str(error).splitlines()), type(error).__name__)
    return str(error) if isinstance(error, ValueError) else errors.described(error)


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
    connection.execute("PRAGMA foreign_keys=ON")
    # A commit in WAL mode is a write, and no wait for the disk: what a killed process wrote, the system still has. The
    # disk is waited for at the end of cells and runs; a power failure takes whole transactions after that.
    connection.execute("PRAGMA synchronous=NORMAL")


def _begin_in_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _is_current(connection: sa.Connection) -> bool:
    """Tell whether the schema is that of this release, without Alembic, which takes a fifth of a second to import."""
    if not sa.inspect(connection).has_table(_VERSION.name):
        return False
    return connection.scalars(sa.select(_VERSION.c.version_num)).all() == [REVISION]


def _revision(connection: sa.Connection) -> str | None:
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def _migrate(connection: sa.Connection, url: str) -> bool:
    """Bring the schema up to date; return whether there was an older one."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "quantize_zoo.store:migrations")
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
    return current not in (None, REVISION)


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
