"""Alembic's entry: runs the migrations on the connection that :mod:`ipylti.models.upgrade` hands over."""

from alembic import context

from ipylti.models.meta import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite can't alter a table in place; Alembic then copies it.
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
