"""profiles, channels with their state, postal addresses, consents, the history of changes, and merges"""

from alembic import op

revision = "0007"
down_revision = "0006"

STATEMENTS = (
    """
    ALTER TABLE customers
        ADD COLUMN born_on date,
        ADD COLUMN zone text,
        ADD COLUMN locale text,
        ADD COLUMN region text,
        ADD COLUMN owner text,
        ADD COLUMN parent_id uuid,
        ADD COLUMN tags text[] NOT NULL DEFAULT '{}',
        ADD COLUMN fields jsonb NOT NULL DEFAULT '{}',
        ADD COLUMN merged_into uuid,
        ADD COLUMN merged_at timestamptz,
        ADD COLUMN root uuid
    """,
    "UPDATE customers SET root = id",
    "ALTER TABLE customers ALTER COLUMN root SET NOT NULL",
    "CREATE INDEX customers_root ON customers (root)",
    "CREATE INDEX customers_parent ON customers (parent_id)",
    """
    ALTER TABLE channels
        ADD COLUMN kind text NOT NULL DEFAULT 'email',
        ADD COLUMN region text,
        ADD COLUMN verified_at timestamptz,
        ADD COLUMN undeliverable_at timestamptz,
        ADD COLUMN undeliverable_why text,
        DROP CONSTRAINT channels_pkey,
        ADD PRIMARY KEY (match, customer_id)
    """,
    "CREATE UNIQUE INDEX channels_email ON channels (match) WHERE kind = 'email'",
    """
    CREATE TABLE customer_addresses (
        id uuid PRIMARY KEY,
        customer_id uuid NOT NULL,
        purpose text NOT NULL,
        street text NOT NULL,
        extra text,
        city text NOT NULL,
        region text,
        postcode text,
        country text NOT NULL,
        added_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX customer_addresses_customer ON customer_addresses (customer_id)",
    """
    CREATE TABLE customer_changes (
        customer_id uuid NOT NULL,
        version bigint NOT NULL,
        name text NOT NULL,
        at timestamptz NOT NULL,
        who text NOT NULL,
        before jsonb,
        after jsonb,
        PRIMARY KEY (customer_id, version, name)
    )
    """,
    """
    CREATE TABLE consents (
        customer_id uuid NOT NULL,
        version bigint NOT NULL,
        purpose text NOT NULL,
        channel text NOT NULL,
        state text NOT NULL,
        source text NOT NULL,
        at timestamptz NOT NULL,
        who text NOT NULL,
        PRIMARY KEY (customer_id, version)
    )
    """,
    """
    CREATE TABLE customer_schemas (
        version bigint PRIMARY KEY,
        document jsonb NOT NULL,
        who text NOT NULL,
        at timestamptz NOT NULL
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
