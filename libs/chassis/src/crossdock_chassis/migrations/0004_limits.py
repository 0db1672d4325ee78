"""rate limits, and the token buckets that enforce them"""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = (
    """
    -- a change is a new row, so the table is its own audit; without a rate the limit was removed
    CREATE TABLE rate_limit (
        id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
        partner text NOT NULL,
        route_group text NOT NULL,
        rate float8 CHECK (rate > 0),
        burst int CHECK (burst >= 1),
        changed_at timestamptz NOT NULL DEFAULT now(),
        changed_by text NOT NULL,
        CHECK ((rate IS NULL) = (burst IS NULL))
    )
    """,
    "CREATE INDEX rate_limit_latest ON rate_limit (partner, route_group, id DESC)",
    """
    -- unlogged: taking tokens waits for no disk, and after a crash of the server every bucket is full
    CREATE UNLOGGED TABLE rate_bucket (
        partner text NOT NULL,
        route_group text NOT NULL,
        empty_at timestamptz NOT NULL,
        granted int NOT NULL CHECK (granted >= 0),
        PRIMARY KEY (partner, route_group)
    ) WITH (fillfactor = 50)
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
