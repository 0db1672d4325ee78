"""match keys of customers, pairs that may be the same person, and notes and calls"""

from alembic import op

revision = "0009"
down_revision = "0008"

STATEMENTS = (
    "CREATE TABLE match_keys (key bigint NOT NULL, customer_id uuid NOT NULL, PRIMARY KEY (key, customer_id))",
    "CREATE INDEX match_keys_customer ON match_keys (customer_id)",
    """
    CREATE TABLE suspects (
        one uuid NOT NULL,
        other uuid NOT NULL,
        score double precision NOT NULL,
        reasons text[] NOT NULL,
        state text NOT NULL,
        found_at timestamptz NOT NULL,
        PRIMARY KEY (one, other)
    )
    """,
    "CREATE INDEX suspects_other ON suspects (other)",
    "CREATE INDEX suspects_open ON suspects (score, one, other) WHERE state = 'open'",
    """
    CREATE TABLE customer_activities (
        id uuid PRIMARY KEY,
        customer_id uuid NOT NULL,
        kind text NOT NULL,
        at timestamptz NOT NULL,
        who text NOT NULL,
        body text NOT NULL,
        direction text,
        seconds bigint
    )
    """,
    "CREATE INDEX customer_activities_customer ON customer_activities (customer_id, at)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
