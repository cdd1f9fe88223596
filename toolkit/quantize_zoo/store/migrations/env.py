"""Alembic's entry point; the store hands over its connection, in a transaction that the store ends."""

from alembic import context

from quantize_zoo.store.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
