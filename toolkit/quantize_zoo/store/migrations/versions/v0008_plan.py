"""What a run meant to do: its cells, and whether they are all of the matrix."""

import sqlalchemy as sa
from alembic import op

from quantize_zoo.store.migrations.present import has_column

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the column."""
    if not has_column("runs", "plan"):
        op.add_column("runs", sa.Column("plan", sa.JSON()))
