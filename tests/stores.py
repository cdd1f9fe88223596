"""Stores of older releases, and processes that open stores and die."""

import itertools
import json
import multiprocessing
import os
import signal
import sys
from datetime import datetime, timezone
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from kill_store import start_cell, start_run
from quantize_zoo.store import Store
from quantize_zoo.store.packing import pack, pack_text, unpack

WRITES = ("CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE")
OF_0_1_0 = Path(__file__).parent / "data" / "store-0.1.0.json"


def migrate_as_0_1_0(url, revision):
    """Migrate to a revision as release 0.1.0 did: on SQLite not in one transaction."""
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    config = Config()
    config.set_main_option("script_location", "quantize_zoo.store:migrations")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def insert(url, rows):
    """Insert plain values by the names of their tables; times are ISO's, in UTC."""
    engine = sa.create_engine(url)
    tables = sa.MetaData()
    tables.reflect(engine)
    with engine.begin() as connection:
        for name, values in rows.items():
            for row in values:
                times = {key: row[key] and _utc(row[key]) for key in row if key.endswith("_at")}
                connection.execute(tables.tables[name].insert().values({**row, **times}))
    engine.dispose()


def _utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def make_store_of_0_1_0(url):
    """Make a store as release 0.1.0 left it; its rows are those of one that it wrote."""
    migrate_as_0_1_0(url, "0006")
    insert(url, json.loads(OF_0_1_0.read_text()))


def with_packing(connection):
    """Give a connection to SQLite the functions ``unpack(value)``, to JSON's text, and ``pack(text)``."""
    connection.create_function("unpack", 1, lambda packed: json.dumps(unpack(packed)))
    connection.create_function("pack", 1, lambda text: pack_text(text.encode()))
    return connection


def repack(url, table, column, change):
    """Change a packed column of all rows by a function of its plain value."""
    engine = sa.create_engine(url)
    rows = sa.table(table, sa.column("id"), sa.column(column, sa.LargeBinary))
    with engine.begin() as connection:
        for row in connection.execute(sa.select(rows)).all():
            packed = pack(change(unpack(row[1])))
            connection.execute(rows.update().where(rows.c.id == row.id).values({column: packed}))
    engine.dispose()


def execute(url, statement, **values):
    """Execute a statement and return its rows."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        found = connection.execute(sa.text(statement), values)
        rows = [tuple(row) for row in found] if found.returns_rows else []
    engine.dispose()
    return rows


def tables_of(url):
    """Return the columns of each table by name."""
    engine = sa.create_engine(url)
    tables = sa.MetaData()
    tables.reflect(engine)
    engine.dispose()
    return {name: set(table.columns.keys()) for name, table in tables.tables.items()}


def processes():
    """Return what starts processes: forked from one that has everything imported, they start in milliseconds."""
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["stores"])
    return context


def is_killed_at(number, function, *arguments):
    """Call a function in a process that is killed in front of a write; tell whether it came so far.

    A commit counts as a write.
    """
    process = processes().Process(target=_die_at, args=(number, function, *arguments))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def _die_at(number, function, *arguments):
    writes = itertools.count(1)

    def count(statement):
        if statement.lstrip().upper().startswith(WRITES) and next(writes) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(sa.Engine, "before_cursor_execute", lambda *call: count(call[2]))
    sa.event.listen(sa.Engine, "commit", lambda _: count("UPDATE"))
    function(*arguments)


def open_store(url):
    """Open and close a store."""
    Store(url).close()


def open_store_together(url, barrier):
    """Open a store as soon as others do, too."""
    barrier.wait()
    Store(url).close()


def run_until_killed(url, connection):
    """Start a run with a cell that is done and one that runs, tell so, and wait."""
    store = Store(url)
    start_run(store)
    store.set_final(start_cell(store), None)
    start_cell(store)
    connection.send("started")
    connection.recv()
