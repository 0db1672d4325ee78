"""indexes by age, so that old rows are found without reading the table

A BRIN index never narrows: once freed space is used again, each range of pages has an old row and a purge reads the
whole table.
"""

from alembic import op

revision = "0009"
down_revision = "0008"

STATEMENTS = (
    "DROP INDEX inbox_received",
    "CREATE INDEX inbox_received ON inbox (received_at)",
    "DROP INDEX idempotency_key_created",
    "CREATE INDEX idempotency_key_created ON idempotency_key (created_at)",
    "CREATE INDEX outbox_rest_created ON outbox_rest (created_at)",
    "CREATE INDEX dead_letter_resolved ON dead_letter (resolved_at) WHERE state IN ('redriven', 'discarded')",
    # a fifth of a table that holds days of rows is too much dead space
    "ALTER TABLE inbox SET (autovacuum_vacuum_scale_factor = 0.02)",
    "ALTER TABLE idempotency_key SET (autovacuum_vacuum_scale_factor = 0.02)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
