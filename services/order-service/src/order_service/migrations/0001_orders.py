"""orders, what they wait for, and the items that are known"""

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = (
    """
    CREATE TABLE orders (
        id uuid PRIMARY KEY,
        partner text NOT NULL,
        reference text NOT NULL,
        fingerprint bytea NOT NULL,
        status text NOT NULL
            CONSTRAINT orders_status
            CHECK (status IN ('placed', 'confirmed', 'backordered', 'rejected', 'cancelled')),
        version bigint NOT NULL,
        reservation_sequence bigint NOT NULL,
        placed_at timestamptz NOT NULL,
        decided_at timestamptz,
        customer_id text,
        waiting jsonb,
        document jsonb NOT NULL,
        history jsonb NOT NULL,
        UNIQUE (partner, reference)
    ) WITH (fillfactor = 45)
    """,
    "CREATE INDEX orders_list ON orders (partner, placed_at, id)",
    "CREATE INDEX orders_customer ON orders (partner, customer_id, placed_at, id) WHERE customer_id IS NOT NULL",
    """
    CREATE TABLE waiting_items (
        order_id uuid NOT NULL,
        item_id text NOT NULL,
        partner text NOT NULL,
        since timestamptz NOT NULL,
        PRIMARY KEY (order_id, item_id)
    )
    """,
    "CREATE INDEX waiting_items_partner ON waiting_items (partner, item_id, order_id)",
    "CREATE INDEX waiting_items_since ON waiting_items (since)",
    """
    CREATE TABLE known_items (
        item_id text PRIMARY KEY,
        status text NOT NULL,
        sequence bigint NOT NULL
    ) WITH (fillfactor = 80)
    """,
    """
    CREATE TABLE sweeps (
        name text PRIMARY KEY,
        low uuid NOT NULL
    ) WITH (fillfactor = 50)
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
