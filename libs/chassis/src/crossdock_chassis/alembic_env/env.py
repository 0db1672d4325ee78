"""Alembic runs this file for each history. `database.migrate` has opened the transaction and holds the lock."""

from alembic import context

config = context.config
context.configure(
    connection=config.attributes["connection"],
    version_table=config.attributes["version_table"],
    transactional_ddl=True,
)
context.run_migrations()
