"""Who worked at a cell on a cluster."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column."""
    op.add_column("cells", sa.Column("workers", sa.JSON()))
