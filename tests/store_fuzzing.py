"""Damaged stores and folders of baselines: seeded mutations, and what every command must do with them.

The invariant: the exit status is 0, 2 or 3, or 1 for a regression; the message has at most 20 lines and no traceback;
the command ends within seconds; and where it is 2, no file is new or changed.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from quantize_zoo import cli
from quantize_zoo.store import database
from quantize_zoo.store.packing import pack_text, unpack

SECONDS = 5.0
LINES = 20
_COMMANDS = (
    ("report",), ("report", "--json"), ("trials",), ("trials", "--json"), ("baseline", "show", "--history"),
    ("baseline", "accept", "--reason", "x"), ("baseline", "export", "{new}"), ("compare", "run", "latest"),
    ("export", "net-CPU", "--output-dir", "{new}"),
)  # fmt: skip
# Interrupted is a run whose status in the store says so.
_RESULTS = {0: "taken", 1: "regression", 2: "refused", 3: "failed", 130: "interrupted"}
_STRANGE = (
    None, "", "\x00", "x" * 5000, "\x1b[31m", "../../x", "/etc/hostname", -1, 2**63 - 1, 1e308, float("inf"), 0.5,
    b"\xff\xfe", "NaN", "[]", "{}", "null", "[" * 3000, "9" * 5000, "2024-02-31", "<script>", "\ud7ff\u202e", True,
)  # fmt: skip
_PIECES = (
    b"\x00",
    b"\xff",
    b'"',
    b"{",
    b"}",
    b"[",
    b",",
    b"1e999",
    b"NaN",
    b"null",
    b"-1",
    b"\\u0000",
    b"\xed\xa0\x80",
    b"../",
)


class Hang(BaseException):
    """A command took too long."""


@dataclass(frozen=True)
class Outcome:
    """What a command did with an input; ``problem`` is empty if that was as it has to be."""

    kind: str
    status: int
    problem: str
    told: str


def fuzz(reports: Path, exported: Path, count: int, seed: int) -> tuple[Counter[str], list[Outcome]]:
    """Mutate copies of a folder of reports and of exported baselines; return counts by kind, and what went wrong.

    Args:
        reports: a folder with a store that has a finished run.
        exported: a folder that ``baseline export`` wrote.
        count: of inputs.
        seed: of the mutations; the same one makes the same inputs.

    """
    counts: Counter[str] = Counter()
    wrong = []
    gc.freeze()  # what is loaded already need not be looked at after each input
    for number in range(count):
        outcome = try_one(reports, exported, random.Random(f"{seed} {number}"))
        result = outcome.problem or _RESULTS[outcome.status]
        counts[f"{outcome.kind}: {result}"] += 1
        if outcome.problem:
            wrong.append(Outcome(f"{outcome.kind}, input {number}", outcome.status, outcome.problem, outcome.told))
    return counts, wrong


def try_one(reports: Path, exported: Path, rng: random.Random) -> Outcome:
    """Damage something in a copy, and let a command meet it."""
    folder = reports.parent / "fuzzed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(reports, folder / "reports")
    kind = rng.choice(("bytes of the store", "values of the store", "values of the store", "folder of baselines"))
    if kind == "folder of baselines":
        shutil.copytree(exported, folder / "exported")
        damage_folder(folder / "exported", rng)
        command = ("baseline", "import", str(folder / "exported"))
        target = folder / "fresh" if rng.random() < 0.5 else folder / "reports"
    else:
        damage = damage_bytes if kind == "bytes of the store" else damage_values
        damage(folder / "reports" / "store.db", rng)
        command = tuple(each.format(new=folder / "new") for each in rng.choice(_COMMANDS))
        target = folder / "reports"
    before = snapshot(folder)
    status, told, seconds = invoke(*command, "--reports", str(target))
    gc.collect()  # a store that nobody holds any more closes its database
    return Outcome(kind, status, _problem(status, told, seconds, before, folder), f"{command}: {told}")


def _problem(status: int, told: str, seconds: float, before: dict[str, object], folder: Path) -> str:
    if seconds > SECONDS:
        return "hang"
    if "Traceback" in told or status == 70:
        return "traceback"
    if status not in _RESULTS:
        return f"status {status}"
    if len(told.splitlines()) > LINES and status:
        return "too many lines"
    if any(not each.isprintable() and each != "\n" for each in told):
        return "control characters"
    if status == 2 and (changed := set(before.items()) ^ set(snapshot(folder).items())):
        return f"status 2, and changed: {sorted(name for name, _ in changed)[:3]}"
    return ""


def snapshot(folder: Path) -> dict[str, object]:
    """Return the content of all files below a folder."""
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def invoke(*arguments: str) -> tuple[int, str, float]:
    """Run a command in this process; return its exit status, its messages, and the seconds it took."""

    def stop(*_: object) -> None:
        raise Hang

    out, err = io.StringIO(), io.StringIO()
    argv, sys.argv = sys.argv, ["quantize-zoo", *arguments]
    former = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 2 * SECONDS)
    started, status = time.monotonic(), 0
    busy, database._BUSY_TIMEOUT_SECONDS = database._BUSY_TIMEOUT_SECONDS, 1
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 0
    except Hang:
        pass  # the time tells
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
        sys.argv, database._BUSY_TIMEOUT_SECONDS = argv, busy
    return status, err.getvalue(), time.monotonic() - started


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Return bytes of which some are others, are gone, or are there twice."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if not found:
            break
        place = rng.randrange(len(found))
        match rng.randrange(6):
            case 0 | 1:
                found[place] ^= 1 << rng.randrange(8)
            case 2:
                found[place : place + rng.choice((1, 16, 512))] = b""
            case 3:
                found[place:place] = rng.choice(_PIECES)
            case 4:
                found[place : place + 4] = rng.choice(_PIECES)
            case 5:
                del found[place:]
    return bytes(found)


def damage_bytes(path: Path, rng: random.Random) -> None:
    """Damage the file of a database: anywhere, or in its schema, which is its first page."""
    content = path.read_bytes()
    size = 4096 if rng.random() < 0.4 else len(content)
    start = 0 if rng.random() < 0.5 else rng.randrange(len(content))
    part = content[start : start + size]
    path.write_bytes(content[:start] + damaged(part, rng) + content[start + size :])


def damage_values(path: Path, rng: random.Random) -> None:
    """Write something strange into a row, in a way that the database takes."""
    with contextlib.closing(sqlite3.connect(path)) as store, store:
        store.execute("PRAGMA ignore_check_constraints=ON")
        table = rng.choice(("runs", "cells", "cells", "trials", "baselines", "contents", "alembic_version"))
        names = [name for _, name, *_ in store.execute(f"PRAGMA table_info({table})")]
        rows = [row for (row,) in store.execute(f"SELECT rowid FROM {table}")]
        row, name = rng.choice(rows), rng.choice(names)
        ((value,),) = store.execute(f'SELECT "{name}" FROM {table} WHERE rowid = ?', (row,))
        content, packed = value, isinstance(value, bytes)
        value = json.dumps(unpack(value)) if packed else value
        with contextlib.suppress(sqlite3.IntegrityError, OverflowError):
            match rng.randrange(5):
                case 0:
                    store.execute(f'UPDATE {table} SET "{name}" = ? WHERE rowid = ?', (rng.choice(_STRANGE), row))
                case 1 | 2 | 3 if isinstance(value, str) and value[:1] in ("{", "["):
                    text = (
                        json.dumps(strange(json.loads(value), rng)) if rng.random() < 0.7 else _damaged_text(value, rng)
                    )
                    if packed and isinstance(text, str):
                        text = pack_text(text.encode(errors="surrogatepass"))
                    store.execute(f'UPDATE {table} SET "{name}" = ? WHERE rowid = ?', (text, row))
                case 4:
                    way = rng.randrange(4)
                    if way == 0:
                        store.execute("UPDATE cells SET continues = id")
                    elif way == 1:
                        store.execute("INSERT INTO alembic_version VALUES ('0001')")
                    elif way == 2:
                        store.execute(f"DELETE FROM {table} WHERE rowid = ?", (row,))
                    else:
                        store.execute(f"DROP TABLE {table}")
                case _ if packed:
                    store.execute(f'UPDATE {table} SET "{name}" = ? WHERE rowid = ?', (damaged(content, rng), row))
                case _:
                    text = value if isinstance(value, str) else str(value)
                    store.execute(f'UPDATE {table} SET "{name}" = ? WHERE rowid = ?', (_damaged_text(text, rng), row))


def _damaged_text(text: str, rng: random.Random) -> object:
    content = damaged(text.encode(), rng)
    return content if rng.random() < 0.2 else content.decode(errors="replace")


def strange(value: object, rng: random.Random) -> object:
    """Return plain values of which one, anywhere, is missing, unknown or something else."""
    if isinstance(value, dict) and value:
        key = rng.choice(sorted(value))
        match rng.randrange(6):
            case 0:
                return {name: each for name, each in value.items() if name != key}
            case 1:
                return {**value, rng.choice(("unknown", "\x1b", "x" * 1500)): 1}
            case _:
                return {**value, key: strange(value[key], rng)}
    if isinstance(value, list) and value:
        index = rng.randrange(len(value))
        return [*value[:index], strange(value[index], rng), *value[index + 1 :]]
    found = rng.choice(_STRANGE)
    return found if not isinstance(found, bytes) else [[[]]]


def damage_folder(folder: Path, rng: random.Random) -> None:
    """Damage the index of exported baselines, or one of their files."""
    index = folder / "baselines.json"
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != index)
    path = rng.choice(files)
    match rng.randrange(8):
        case 0 | 1:
            index.write_bytes(damaged(index.read_bytes(), rng))
        case 2 | 3 | 4:
            index.write_text(json.dumps(strange(json.loads(index.read_text()), rng)))
        case 5:
            path.write_bytes(damaged(path.read_bytes(), rng))
        case 6:
            path.unlink()
            if rng.random() < 0.5:
                path.symlink_to(rng.choice(("/etc/hostname", "/nowhere", os.curdir)))
        case 7:
            path.rename(path.with_name(rng.choice(("content.xml", "x", "content.npz"))))
