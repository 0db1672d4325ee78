"""erasures, holds, and the customer ids of erased customers"""

from alembic import op

revision = "0011"
down_revision = "0010"

STATEMENTS = (
    "ALTER TABLE customers ADD COLUMN erased_at timestamptz",
    "CREATE INDEX customers_erased ON customers (erased_at) WHERE erased_at IS NOT NULL",
    "ALTER TABLE customer_links ADD COLUMN since timestamptz NOT NULL DEFAULT '-infinity'",
    """
    CREATE TABLE erasures (
        id uuid PRIMARY KEY,
        customer_id uuid NOT NULL,
        reason text NOT NULL,
        who text NOT NULL,
        asked_at timestamptz NOT NULL,
        looked_at timestamptz NOT NULL,
        erased bigint NOT NULL DEFAULT 0,
        done_at timestamptz,
        sequence bigint
    )
    """,
    "CREATE UNIQUE INDEX erasures_open ON erasures (customer_id) WHERE done_at IS NULL",
    "CREATE INDEX erasures_looked ON erasures (looked_at) WHERE done_at IS NULL",
    "CREATE INDEX erasures_done ON erasures (done_at) WHERE done_at IS NOT NULL",
    """
    CREATE TABLE erased_links (
        namespace text NOT NULL,
        external_id text NOT NULL,
        erased_at timestamptz NOT NULL,
        PRIMARY KEY (namespace, external_id)
    )
    """,
    """
    CREATE TABLE holds (
        id uuid PRIMARY KEY,
        customer_id uuid NOT NULL,
        reason text NOT NULL,
        until date NOT NULL,
        who text NOT NULL,
        placed_at timestamptz NOT NULL,
        lifted_at timestamptz
    )
    """,
    "CREATE INDEX mails_from ON mails (lower(sender)) WHERE case_id IS NULL",
    "CREATE INDEX mails_to ON mails (lower(recipient)) WHERE case_id IS NULL",
    "CREATE INDEX holds_customer ON holds (customer_id)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
