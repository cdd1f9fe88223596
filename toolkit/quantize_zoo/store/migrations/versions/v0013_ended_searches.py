"""Why a search ended before its limits, which the next night is planned by."""

import sqlalchemy as sa
from alembic import op

from quantize_zoo.store.migrations.present import has_column

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the column; of what was stored before it is not known."""
    if not has_column("cells", "search_ended"):
        op.add_column("cells", sa.Column("search_ended", sa.String()))
