"""The repository that a run's matrix lay in, with its commit."""

import sqlalchemy as sa
from alembic import op

from quantize_zoo.store.migrations.present import has_column

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column."""
    if not has_column("runs", "repository"):
        op.add_column("runs", sa.Column("repository", sa.JSON()))
