"""Runs know their process and hide passwords, JSON is finite, labels name properties, and nothing is kept twice."""

import json
import math
from typing import Any

import sqlalchemy as sa
from alembic import op

from quantize_zoo.text.masks import mask_urls

revision = "0007"
down_revision = "0006"

_JSON = sa.JSON(none_as_null=True)
_RUNS = sa.table("runs", sa.column("id", sa.String), sa.column("command", sa.String))
_CELLS = sa.table(
    "cells",
    sa.column("id", sa.Integer),
    sa.column("device", sa.String),
    sa.column("continues", sa.Integer),
    *(
        sa.column(name, _JSON)
        for name in ("params", "error", "reference", "sensitivity", "final", "references", "gate")
    ),
)
_TRIALS = sa.table(
    "trials",
    sa.column("id", sa.Integer),
    sa.column("cell_id", sa.Integer),
    sa.column("number", sa.Integer),
    sa.column("trial", _JSON),
)
_BASELINES = sa.table(
    "baselines", sa.column("id", sa.Integer), sa.column("device", sa.String), sa.column("content", _JSON)
)


def upgrade() -> None:
    """Change the columns, then rewrite what they hold."""
    connection = op.get_bind()
    op.add_column("runs", sa.Column("process", sa.JSON()))
    if connection.dialect.name == "postgresql":  # SQLite's integers have 64 bits
        op.alter_column("runs", "seed", type_=sa.BigInteger())
    for column in ("option_hash", "loss", "per_sample"):
        op.drop_column("trials", column)
    for run in connection.execute(sa.select(_RUNS)).all():
        connection.execute(_RUNS.update().where(_RUNS.c.id == run.id).values(command=mask_urls(run.command)))
    failed = _end_trials_without_numbers(connection)
    before = {row.id: row.continues for row in connection.execute(sa.select(_CELLS.c.id, _CELLS.c.continues))}
    for cell in connection.execute(sa.select(_CELLS)).all():
        values = _cell(cell, failed, before)
        connection.execute(_CELLS.update().where(_CELLS.c.id == cell.id).values(**values))
    for baseline in connection.execute(sa.select(_BASELINES)).all():
        _rewrite_baseline(connection, baseline)


def _end_trials_without_numbers(connection: sa.Connection) -> set[tuple[int, int]]:
    """Let trials whose accuracy is not a finite number be failed ones; return their cells and numbers."""
    text = sa.cast(_TRIALS.c.trial, sa.String)
    failed = set()
    for row in connection.execute(sa.select(_TRIALS).where(text.like("%NaN%") | text.like("%Infinity%"))).all():
        trial = _finite(row.trial)
        measurement, score = trial.get("measurement"), trial.get("score")
        if trial != row.trial and (
            trial["loss"] is None
            or (measurement and not _has_value(measurement["accuracy"]))
            or (score and score["accuracy_loss"] is None)
        ):
            failed.add((row.cell_id, row.number))
            reason = "the metric is not a finite number"
            trial |= {"measurement": None, "score": None, "loss": None, "pruned": None, "failure": reason}
        connection.execute(_TRIALS.update().where(_TRIALS.c.id == row.id).values(trial=trial))
    return failed


def _cell(cell: Any, failed: set[tuple[int, int]], before: dict[int, int | None]) -> dict[str, Any]:
    """Return what a cell's columns are to hold."""
    reference, sensitivity, final = _finite(cell.reference), _finite(cell.sensitivity), _finite(cell.final)
    device = cell.device
    if reference:
        device = _with_properties(device, reference)
        reference = _labelled(reference)
    if reference and not _has_value(reference["accuracy"]):
        reference = final = None
    origin: int | None = cell.id
    while origin is not None and final:
        if (origin, final["trial"]) in failed:
            final = None
        origin = before[origin]
    holdout = final and final.get("holdout")
    if holdout and not all(_has_value(holdout[name]) for name in ("fp32", "int8", "accuracy_loss")):
        final["holdout"] = None
    return {
        "device": device,
        # A limit that is infinite is none: the default stands for it.
        "params": {name: value for name, value in cell.params.items() if _finite(value) == value},
        "error": cell.error and {name: mask_urls(text) for name, text in cell.error.items()},
        "reference": reference,
        "final": final,
        "sensitivity": sensitivity and {name: error for name, error in sensitivity.items() if error is not None},
        "references": [point for point in _finite(cell.references or []) if _has_value(point["accuracy"])] or None,
        "gate": _finite(cell.gate),
    }


def _rewrite_baseline(connection: sa.Connection, baseline: Any) -> None:
    content = _finite(baseline.content)
    reference = content["reference"]
    if not _has_value(reference["accuracy"]):
        # Nothing can be held against it, and it cannot be read any more.
        connection.execute(_BASELINES.delete().where(_BASELINES.c.id == baseline.id))
        return
    content |= {"device": _with_properties(content["device"], reference), "reference": _labelled(reference)}
    if content.get("accuracy") and not _has_value(content["accuracy"]):
        content["accuracy"] = None
    values = {"device": _with_properties(baseline.device, reference), "content": content}
    connection.execute(_BASELINES.update().where(_BASELINES.c.id == baseline.id).values(**values))


def _labelled(reference: dict[str, Any]) -> dict[str, Any]:
    """Return a reference whose identity names the device by its label; a search goes on where the identity is equal."""
    identity = reference["identity"]
    if "device" not in identity:
        return reference
    return {**reference, "identity": {**identity, "device": _with_properties(identity["device"], reference)}}


def _with_properties(label: str, reference: dict[str, Any]) -> str:
    """Return a device's label with the properties of its plugin: ``CPU[f32]@AMD`` is ``CPU[f32,NUM_STREAMS=2]@AMD``."""
    properties = json.loads(reference["identity"].get("device configuration", "{}"))
    if not properties:
        return label
    told = ",".join(f"{name}={value}" for name, value in sorted(properties.items()))
    device, at, cpu = label.partition("@")
    device = f"{device[:-1]},{told}]" if device.endswith("]") else f"{device}[{told}]"
    return f"{device}{at}{cpu}"


def _finite(value: Any) -> Any:
    """Return plain values with null for what is not a finite number."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _has_value(estimate: dict[str, Any]) -> bool:
    return estimate["value"] is not None
