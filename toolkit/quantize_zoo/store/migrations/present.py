"""What a database has already.

Release 0.1.0 did not migrate in one transaction: killed meanwhile, it left steps done that its version does not tell.
"""

import sqlalchemy as sa
from alembic import op


def has_table(table: str) -> bool:
    """Tell whether the table is there."""
    return sa.inspect(op.get_bind()).has_table(table)


def has_column(table: str, column: str) -> bool:
    """Tell whether the table has the column."""
    return any(each["name"] == column for each in sa.inspect(op.get_bind()).get_columns(table))


def has_index(table: str, index: str) -> bool:
    """Tell whether the table has the index."""
    return any(each["name"] == index for each in sa.inspect(op.get_bind()).get_indexes(table))
