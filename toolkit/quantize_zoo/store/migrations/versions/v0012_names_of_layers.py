"""Names of layers are kept once for all nights that have the same; what was stored before keeps its own."""

import sqlalchemy as sa
from alembic import op

from quantize_zoo.store.migrations.present import has_column

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the column; a cell without anything in it has the names in its layers."""
    if not has_column("cells", "layers_id"):
        op.add_column("cells", sa.Column("layers_id", sa.Integer()))
