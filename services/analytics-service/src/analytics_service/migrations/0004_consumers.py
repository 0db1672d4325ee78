"""what Kafka shows of all consumer groups, and the lag of the last hour"""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = (
    """
    CREATE TABLE kafka_look (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        answered_at timestamptz,
        tried_at timestamptz NOT NULL,
        error text,
        left_out integer NOT NULL DEFAULT 0
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE kafka_end (
        topic text NOT NULL,
        partition integer NOT NULL,
        "end" bigint NOT NULL,
        inflow float8 NOT NULL,
        PRIMARY KEY (topic, partition)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE kafka_group (
        name text PRIMARY KEY,
        owner text,
        kafka_state text,
        members integer,
        replaced boolean NOT NULL,
        lag bigint,
        unread_since timestamptz,
        rate float8,
        inflow float8,
        partitions integer NOT NULL,
        uncommitted integer NOT NULL,
        topics text[] NOT NULL,
        first_seen_at timestamptz NOT NULL,
        active_at timestamptz,
        answered_at timestamptz,
        forgotten_at timestamptz
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE kafka_position (
        "group" text NOT NULL,
        topic text NOT NULL,
        partition integer NOT NULL,
        position bigint,
        unread_since timestamptz,
        rate float8,
        moved_at timestamptz,
        reads boolean NOT NULL,
        member text,
        forgotten_at timestamptz,
        PRIMARY KEY ("group", topic, partition)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE kafka_lag (
        "group" text NOT NULL,
        at timestamptz NOT NULL,
        lag bigint,
        seconds float8,
        PRIMARY KEY ("group", at)
    )
    """,
    "CREATE INDEX kafka_lag_at ON kafka_lag (at)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
