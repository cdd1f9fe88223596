"""Options name their range estimators' borders, and the steps of the pipeline; before, a preset's name stood there."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TRIALS = sa.table("trials", sa.column("id", sa.Integer), sa.column("trial", sa.JSON))


def upgrade() -> None:
    """Rewrite the options of all trials."""
    connection = op.get_bind()
    for row in connection.execute(sa.select(_TRIALS)).all():
        trial = dict(row.trial)
        operations = {name: _operation(choice) for name, choice in trial["option"].items()}
        trial["option"] = {"operations": operations, "steps": []}
        connection.execute(_TRIALS.update().where(_TRIALS.c.id == row.id).values(trial=trial))


def _operation(choice: dict[str, Any]) -> dict[str, Any]:
    activations = choice["activations"]
    high = "abs_max" if activations["range_estimator"] == "default" else "abs_quantile"
    per_tensor = activations["config"]["granularity"] == "pertensor"
    estimator = {"min": _border("min", "min"), "max": _border(high, "mean" if per_tensor else "max")}
    weights = choice["weights"]
    if weights is not None:
        high = "abs_max" if weights["range_estimator"] == "default" else "abs_quantile"
        weights = {**weights, "range_estimator": {"min": None, "max": _border(high, None)}}
    return {**choice, "activations": {**activations, "range_estimator": estimator}, "weights": weights}


def _border(kind: str, aggregator: str | None) -> dict[str, Any]:
    probability = 1e-4 if kind == "abs_quantile" else None
    return {"type": kind, "aggregator": aggregator, "outlier_prob": probability, "clipping_value": None}
