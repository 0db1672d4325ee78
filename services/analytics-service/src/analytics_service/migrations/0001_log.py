"""the log of all events"""

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = (
    """
    CREATE TABLE log (
        position bigint NOT NULL,
        kafka_time timestamptz NOT NULL,
        topic text NOT NULL,
        partition integer NOT NULL,
        "offset" bigint NOT NULL,
        key bytea,
        value bytea NOT NULL,
        headers json NOT NULL,
        type text,
        event_id uuid,
        source text,
        sequence bigint,
        correlation_id uuid,
        causation_id uuid,
        order_id uuid,
        partner text,
        repeat boolean NOT NULL,
        PRIMARY KEY (topic, partition, "offset", kafka_time)
    ) PARTITION BY RANGE (kafka_time)
    """,
    "CREATE TABLE log_rest PARTITION OF log DEFAULT",
    "CREATE INDEX log_position ON log (position)",
    "CREATE INDEX log_event ON log (event_id) WHERE event_id IS NOT NULL",
    "CREATE INDEX log_correlation ON log (correlation_id) WHERE correlation_id IS NOT NULL",
    "CREATE INDEX log_order ON log (order_id, position) WHERE order_id IS NOT NULL",
    "CREATE INDEX log_partner ON log (partner, position) WHERE partner IS NOT NULL",
    """
    CREATE TABLE log_head (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        epoch text NOT NULL,
        position bigint NOT NULL,
        forgotten bigint NOT NULL
    ) WITH (fillfactor = 50)
    """,
    "INSERT INTO log_head (epoch, position, forgotten) VALUES (left(md5(gen_random_uuid()::text), 8), 0, 0)",
    """
    CREATE TABLE log_arrival (
        position bigint PRIMARY KEY,
        at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX log_arrival_at ON log_arrival (at)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
