"""partners, customers, their mail addresses, and the ids by which partners know them"""

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = (
    "CREATE TABLE partners (name text PRIMARY KEY, namespace text NOT NULL, account_id uuid)",
    "CREATE UNIQUE INDEX partners_account ON partners (account_id)",
    """
    CREATE TABLE customers (
        id uuid PRIMARY KEY,
        kind text NOT NULL,
        origin text NOT NULL,
        met_by text,
        met_as text,
        display_name text,
        version bigint NOT NULL,
        registered_at timestamptz NOT NULL
    ) WITH (fillfactor = 80)
    """,
    """
    CREATE TABLE channels (
        match text PRIMARY KEY,
        customer_id uuid NOT NULL,
        address text NOT NULL,
        added_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX channels_customer ON channels (customer_id)",
    """
    CREATE TABLE customer_links (
        namespace text NOT NULL,
        external_id text NOT NULL,
        customer_id uuid NOT NULL,
        PRIMARY KEY (namespace, external_id)
    )
    """,
    "CREATE INDEX customer_links_customer ON customer_links (customer_id)",
    """
    CREATE TABLE customer_meetings (
        namespace text NOT NULL,
        external_id text NOT NULL,
        partner text NOT NULL,
        PRIMARY KEY (namespace, external_id, partner)
    )
    """,
    "CREATE INDEX customer_meetings_partner ON customer_meetings (partner)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
