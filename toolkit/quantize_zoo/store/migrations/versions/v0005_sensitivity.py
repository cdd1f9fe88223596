"""How much quantizing each operation of a cell's model changes what it computes."""

import sqlalchemy as sa
from alembic import op

from quantize_zoo.store.migrations.present import has_column

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column."""
    if not has_column("cells", "sensitivity"):
        op.add_column("cells", sa.Column("sensitivity", sa.JSON()))
