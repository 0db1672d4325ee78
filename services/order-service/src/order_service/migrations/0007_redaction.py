"""redaction: the erasures of customers, the orders to redact, and what is known of a redacted order"""

from alembic import op

revision = "0007"
down_revision = "0006"

STATEMENTS = (
    "ALTER TABLE orders ADD COLUMN redacted_at timestamptz, ADD COLUMN redacted_fingerprint bytea",
    """
    CREATE TABLE erasures (
        partner text NOT NULL,
        external_id text NOT NULL,
        erased_at timestamptz NOT NULL,
        scanned_to timestamptz NOT NULL DEFAULT '-infinity',
        scanned_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
        PRIMARY KEY (partner, external_id)
    )
    """,
    "CREATE INDEX erasures_open ON erasures (partner, external_id) WHERE scanned_to < erased_at",
    "CREATE TABLE orders_to_redact (order_id uuid PRIMARY KEY)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
