"""Who worked at a cell on a cluster."""

import sqlalchemy as sa
from alembic import op

from quantize_zoo.store.migrations.present import has_column

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column."""
    if not has_column("cells", "workers"):
        op.add_column("cells", sa.Column("workers", sa.JSON()))
