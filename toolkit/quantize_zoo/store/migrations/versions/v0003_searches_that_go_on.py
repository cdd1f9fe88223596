"""A cell can go on with another's search, and keeps the models of other tools that were scored beside it."""

import sqlalchemy as sa
from alembic import op

from quantize_zoo.store.migrations.present import has_column, has_index

revision = "0003"
down_revision = "0002"

_CELLS = sa.table("cells", sa.column("id", sa.Integer), sa.column("reference", sa.JSON))
_TRIALS = sa.table("trials", sa.column("id", sa.Integer), sa.column("trial", sa.JSON))


def upgrade() -> None:
    """Add the columns, and rewrite what names the search and the time of a trial."""
    # Not as a batch, which makes the table anew: trials refer to it.
    if has_index("cells", "ix_cells_search_key"):
        op.drop_index("ix_cells_search_key", "cells")
    if has_column("cells", "search_key"):
        op.drop_column("cells", "search_key")
    if not has_column("cells", "continues"):
        op.execute("ALTER TABLE cells ADD COLUMN continues INTEGER REFERENCES cells (id)")
    if not has_column("cells", "references"):
        op.add_column("cells", sa.Column("references", sa.JSON()))
    if not has_index("cells", "ix_cells_model_device"):
        op.create_index("ix_cells_model_device", "cells", ["model", "device"])
    connection = op.get_bind()
    for row in connection.execute(sa.select(_CELLS).where(_CELLS.c.reference.is_not(None))).all():
        reference = dict(row.reference)
        if reference.pop("search_key", None) is not None:
            # What the key was made of is not known any more: no search can go on from here.
            reference["identity"] = {}
            connection.execute(_CELLS.update().where(_CELLS.c.id == row.id).values(reference=reference))
    for row in connection.execute(sa.select(_TRIALS)).all():
        trial = dict(row.trial)
        if trial["measurement"] and trial["measurement"].pop("seconds", None) is not None:
            connection.execute(_TRIALS.update().where(_TRIALS.c.id == row.id).values(trial=trial))
