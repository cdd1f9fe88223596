"""Values are packed, options stored against their cell's base, what stays from night to night once, figures in columns.

What cannot be read is packed as it is: it is told when it is asked for, as before.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import sqlalchemy as sa
from alembic import op

from quantize_zoo.store.packing import json_of, pack, pack_text

revision = "0010"
down_revision = "0009"

_AT_ONCE = 100  # rows that are held in memory
_PACKED = {
    "cells": ("params", "reference", "final", "references", "gate"),
    "trials": ("trial",),
    "baselines": ("content",),
}
_FACTS = ("identity", "execution", "environment", "checker", "operation_types", "model_path", "model_hash", "inputs")
_SEVERITY = (
    "regressed", "failed", "interrupted", "data-changed", "inconclusive", "changed", "waived", "improved",
)  # fmt: skip
_FORMER = ("per_sample", "seconds")  # of a measurement, in releases up to 0.1.0
_FIGURES = {"fp32": sa.Float, "holdout": sa.Float, "speedup": sa.Float, "gate_status": sa.String, "best": sa.Integer}
_OTHERS = ("facts_id", "base_id", "sensitivity_id")

_CONTENTS = sa.table(
    "contents", sa.column("id", sa.Integer), sa.column("hash", sa.String), sa.column("content", sa.LargeBinary)
)
_CELLS = sa.table(
    "cells",
    *(sa.column(name, sa.Integer) for name in ("id", "continues", *_OTHERS)),
    *(sa.column(name, kind) for name, kind in _FIGURES.items()),
    *(sa.column(name, sa.LargeBinary) for name in (*_PACKED["cells"], "sensitivity")),
)
_TRIALS = sa.table(
    "trials",
    *(sa.column(name, sa.Integer) for name in ("id", "cell_id", "number")),
    sa.column("trial", sa.LargeBinary),
)
_BASELINES = sa.table("baselines", sa.column("id", sa.Integer), sa.column("content", sa.LargeBinary))


def upgrade() -> None:
    """Add the columns, and rewrite all values in place."""
    connection = op.get_bind()
    op.create_table(
        "contents",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("hash", sa.String(64), nullable=False, unique=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
    )
    for name in _OTHERS:
        op.add_column("cells", sa.Column(name, sa.Integer()))
    for name, kind in _FIGURES.items():
        op.add_column("cells", sa.Column(name, sa.String(16) if kind is sa.String else kind()))
    if connection.dialect.name == "postgresql":  # a column of SQLite's takes any value, whatever it was declared for
        for table, names in _PACKED.items():
            for name in (*names, *(["sensitivity"] if table == "cells" else [])):
                as_bytes = f"convert_to(\"{name}\"::text, 'UTF8')"
                op.alter_column(table, name, type_=sa.LargeBinary(), postgresql_using=as_bytes)
    _Cells(connection).rewrite()
    for rows in _pages(connection, _BASELINES, "content"):
        _update(connection, _BASELINES, [{"at": row.id, "content": _changed(row.content, _baseline)} for row in rows])
    op.drop_column("cells", "sensitivity")
    op.drop_index("ix_trials_cell_id", "trials")  # that of the constraint begins with the same column
    op.drop_index("ix_cells_model_device", "cells")
    nights = ["model", "device", "status", "id", "run_id", "best", "fp32", "holdout", "speedup", "gate_status"]
    op.create_index("ix_cells_nights", "cells", nights)
    op.create_index("ix_cells_continues", "cells", ["continues"])


class _Cells:
    """Rewrites cells with their trials, the oldest first: one that goes on from another has that one's base."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._contents: dict[str, int] = {}
        self._bases: dict[int, tuple[int, dict[str, Any]]] = {}  # by the cell's id: the content's, and the option

    def rewrite(self) -> None:
        """Rewrite all of them."""
        for cells in _pages(self._connection, _CELLS, *_PACKED["cells"], "sensitivity"):
            _update(self._connection, _CELLS, [self._cell(cell) for cell in cells])

    def _cell(self, cell: Any) -> dict[str, Any]:
        """Rewrite the trials of a cell, and return its own columns."""
        if cell.continues in self._bases:
            self._bases[cell.id] = self._bases[cell.continues]
        query = sa.select(_TRIALS.c.id, _bytes(_TRIALS.c.trial).label("trial")).where(_TRIALS.c.cell_id == cell.id)
        trials = [
            {"at": row.id, "trial": _changed(row.trial, partial(self._trial, cell.id))}
            for row in self._connection.execute(query.order_by(_TRIALS.c.number))
        ]
        _update(self._connection, _TRIALS, trials)
        base = self._bases.get(cell.id)
        return {"at": cell.id, "base_id": base[0] if base else None, **self._columns(cell)}

    def _columns(self, cell: Any) -> dict[str, Any]:
        found: dict[str, Any] = dict.fromkeys(("facts_id", "sensitivity_id", *_FIGURES))

        def reference(value: dict[str, Any]) -> dict[str, Any]:
            found["fp32"] = float(value["accuracy"]["value"])
            found["facts_id"] = self._content({name: value[name] for name in _FACTS if name in value})
            return {name: each for name, each in value.items() if name not in _FACTS}

        def final(value: dict[str, Any]) -> dict[str, Any]:
            found["best"] = int(value["trial"])
            if value.get("holdout"):
                found["holdout"] = float(value["holdout"]["int8"]["value"])
            if value.get("latency"):
                found["speedup"] = float(value["latency"]["ratio"]["value"])
            return value

        def gate(value: dict[str, Any]) -> dict[str, Any]:
            found["gate_status"] = _gate_status(value)
            return value

        def sensitivity(value: dict[str, Any]) -> dict[str, Any]:
            found["sensitivity_id"] = self._content(value)
            return value

        ways: dict[str, Callable[[Any], Any]] = {"reference": reference, "final": final, "gate": gate}
        packed = {name: _changed(getattr(cell, name), ways.get(name, lambda value: value)) for name in _PACKED["cells"]}
        lost = _changed(cell.sensitivity, sensitivity)
        if lost is not None and found["sensitivity_id"] is None:
            found["sensitivity_id"] = self._kept(hashlib.sha256(lost).hexdigest(), lost)
        return packed | found

    def _trial(self, cell_id: int, trial: dict[str, Any]) -> dict[str, Any]:
        option = trial["option"]
        if cell_id not in self._bases:
            self._bases[cell_id] = self._content(_option(option)), option
        found = {key: value for key, value in trial.items() if key not in ("choices", "option")}
        if isinstance(measurement := found.get("measurement"), dict):
            found["measurement"] = {key: value for key, value in measurement.items() if key not in _FORMER}
        return {**found, "option": _option(option, self._bases[cell_id][1])}

    def _content(self, value: Any) -> int:
        return self._kept(hashlib.sha256(json_of(value)).hexdigest(), pack(value))

    def _kept(self, digest: str, packed: bytes) -> int:
        if digest not in self._contents:
            self._connection.execute(_CONTENTS.insert().values(hash=digest, content=packed))
            stored = self._connection.execute(sa.select(_CONTENTS.c.id).where(_CONTENTS.c.hash == digest))
            self._contents[digest] = stored.scalar_one()
        return self._contents[digest]


def _pages(connection: sa.Connection, table: Any, *names: str) -> Iterator[list[Any]]:
    """Yield rows with these columns as they are, a few at a time."""
    plain = [table.c.id, *([table.c.continues] if "continues" in table.c else [])]
    columns = [*plain, *(_bytes(table.c[name]).label(name) for name in names)]
    query = sa.select(*columns).order_by(table.c.id).limit(_AT_ONCE)
    last = -1
    while rows := list(connection.execute(query.where(table.c.id > last))):
        yield rows
        last = rows[-1].id


def _update(connection: sa.Connection, table: Any, rows: list[dict[str, Any]]) -> None:
    """Write columns of rows, each of which is ``at`` an id."""
    if rows:
        changes: dict[str, Any] = {name: sa.bindparam(name) for name in rows[0] if name != "at"}
        connection.execute(table.update().where(table.c.id == sa.bindparam("at")).values(changes), rows)


def _bytes(column: Any) -> Any:
    """Return a column of JSON as bytes, which may be no text."""
    return sa.cast(column, sa.LargeBinary())


def _changed(content: bytes | None, change: Callable[[Any], Any]) -> bytes | None:
    """Return a stored JSON text, changed and packed; as it is if it is not what was stored."""
    if content in (None, b"null"):
        return None
    try:
        return pack(change(json.loads(content)))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return pack_text(content)


def _option(option: dict[str, Any], base: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return an option as few tensors and choices by number; see ``quantize_zoo.store.options``."""
    tensors: dict[str, int] = {}
    choices: dict[str, int] = {}

    def number(items: dict[str, int], value: Any) -> int:
        return items.setdefault(json.dumps(value), len(items))

    operations = option["operations"]
    same = base is not None and list(base["operations"]) == list(operations)
    found = {
        name: -1 if same and base and base["operations"][name] == choice else number(choices, choice)
        for name, choice in operations.items()
    }
    listed = [
        [each["quantize"], number(tensors, each["activations"]), each["weights"] and number(tensors, each["weights"])]
        for each in map(json.loads, choices)
    ]
    return {
        "tensors": [json.loads(each) for each in tensors],
        "choices": listed,
        "operations": list(found.values()) if same else found,
        "steps": option.get("steps", []),
    }


def _baseline(content: dict[str, Any]) -> dict[str, Any]:
    return {**content, "option": _option(content["option"])}


def _gate_status(gate: dict[str, Any]) -> str:
    """Return the worst that a gate found; see ``quantize_zoo.gate.GateResult.status``."""
    found = {"waived" if check.get("waived") else check["status"] for check in gate["checks"]}
    if gate.get("interrupted"):
        found.add("interrupted")
    return next((status for status in _SEVERITY if status in found), "pass")
