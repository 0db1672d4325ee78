"""a separate table for pending messages

Marking a message as published wrote its whole row a second time. Now a unit writes one row with the ids of its
messages, and the relay deletes the row.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    """
    CREATE TABLE outbox_pending (
        id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
        created_at timestamptz NOT NULL DEFAULT now(),
        ids bigint[] NOT NULL
    )
    """,
    """
    INSERT INTO outbox_pending (created_at, ids)
    SELECT created_at, array_agg(id ORDER BY id) FROM (
        SELECT id, created_at, (row_number() OVER (PARTITION BY created_at ORDER BY id) - 1) / 500 AS part
        FROM outbox WHERE published_at IS NULL
    ) AS numbered GROUP BY created_at, part ORDER BY min(id)
    """,
    "DROP INDEX outbox_unpublished",
    "ALTER TABLE outbox DROP COLUMN published_at",
    "CREATE INDEX outbox_id ON outbox (id)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
