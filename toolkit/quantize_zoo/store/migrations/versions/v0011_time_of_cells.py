"""How long cells took, and which configuration was called best: what a night is planned by."""

import sqlalchemy as sa
from alembic import op

from quantize_zoo.store.migrations.present import has_column

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the columns; what was stored before has nothing in them."""
    columns = (
        sa.Column("seconds", sa.Float()),
        sa.Column("search_seconds", sa.Float()),
        sa.Column("search_trials", sa.Integer()),
        sa.Column("best_option", sa.String(64)),
    )
    for column in columns:
        if not has_column("cells", column.name):
            op.add_column("cells", column)
