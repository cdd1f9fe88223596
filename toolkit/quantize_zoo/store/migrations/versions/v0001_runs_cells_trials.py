"""Runs, cells and trials."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the first tables."""
    op.create_table(
        "runs",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("matrix", sa.String(), nullable=False),
        sa.Column("command", sa.String(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("require_targets", sa.Boolean(), nullable=False),
        sa.Column("on_missing_device", sa.String(16), nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
    )
    op.create_table(
        "cells",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("run_id", sa.String(64), sa.ForeignKey("runs.id"), nullable=False, index=True),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("method", sa.String(16), nullable=False),
        sa.Column("search_key", sa.String(64), index=True),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("error", sa.JSON()),
        sa.Column("reference", sa.JSON()),
        sa.Column("calibration_seconds", sa.Float()),
        sa.Column("final", sa.JSON()),
    )
    op.create_table(
        "trials",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("cell_id", sa.Integer(), sa.ForeignKey("cells.id"), nullable=False, index=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("option_hash", sa.String(64), nullable=False),
        sa.Column("loss", sa.Float()),
        sa.Column("trial", sa.JSON(), nullable=False),
        sa.Column("per_sample", sa.LargeBinary()),
        sa.UniqueConstraint("cell_id", "number"),
    )


def downgrade() -> None:
    """Drop them."""
    for table in ("trials", "cells", "runs"):
        op.drop_table(table)
