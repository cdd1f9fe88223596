"""Baselines, and what a cell's comparison with its baseline found."""

import sqlalchemy as sa
from alembic import op

from quantize_zoo.store.migrations.present import has_column, has_index, has_table

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the table and the column."""
    if not has_table("baselines"):
        op.create_table(
            "baselines",
            sa.Column("id", sa.Integer(), primary_key=True),
            sa.Column("model", sa.String(), nullable=False),
            sa.Column("device", sa.String(), nullable=False),
            sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=False),
            sa.Column("dropped_at", sa.DateTime(timezone=True)),
            sa.Column("content", sa.JSON(), nullable=False),
        )
    if not has_index("baselines", "ix_baselines_model_device"):
        op.create_index("ix_baselines_model_device", "baselines", ["model", "device"])
    if not has_column("cells", "gate"):
        op.add_column("cells", sa.Column("gate", sa.JSON()))
