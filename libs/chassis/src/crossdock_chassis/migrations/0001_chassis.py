"""outbox, inbox, positions, projections, dead letters, idempotency keys"""

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = (
    """
    CREATE TABLE outbox (
        id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
        created_at timestamptz NOT NULL DEFAULT now(),
        event_id uuid NOT NULL,
        topic text NOT NULL,
        key bytea,
        value bytea NOT NULL,
        headers json NOT NULL,
        published_at timestamptz
    ) PARTITION BY RANGE (created_at)
    """,
    "CREATE INDEX outbox_unpublished ON outbox (id) WHERE published_at IS NULL",
    """
    -- takes what no daily partition was made for in time: an insert must never fail for want of one
    CREATE TABLE outbox_rest PARTITION OF outbox DEFAULT
    """,
    """
    CREATE TABLE inbox (
        event_id uuid PRIMARY KEY,
        received_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX inbox_received ON inbox USING brin (received_at)",
    """
    CREATE TABLE consumer_position (
        consumer_group text NOT NULL,
        topic text NOT NULL,
        partition int NOT NULL,
        next bigint NOT NULL CHECK (next >= 0),
        PRIMARY KEY (consumer_group, topic, partition)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE projection_head (
        consumer_group text NOT NULL,
        source text NOT NULL,
        topic text NOT NULL,
        key text NOT NULL,
        sequence bigint NOT NULL,
        PRIMARY KEY (consumer_group, source, topic, key)
    ) WITH (fillfactor = 80)
    """,
    """
    CREATE TABLE parked_key (
        consumer_group text NOT NULL,
        topic text NOT NULL,
        key bytea NOT NULL,
        since timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (consumer_group, topic, key)
    )
    """,
    """
    CREATE TABLE dead_letter (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        consumer_group text NOT NULL,
        topic text NOT NULL,
        partition int NOT NULL,
        "offset" bigint NOT NULL,
        key bytea,
        value bytea NOT NULL,
        headers json NOT NULL,
        state text NOT NULL CHECK (state IN ('poison', 'parked', 'redriven', 'discarded')),
        reason text NOT NULL,
        fingerprint text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        resolved_at timestamptz,
        resolution json,
        UNIQUE (consumer_group, topic, partition, "offset")
    )
    """,
    """
    CREATE INDEX dead_letter_open ON dead_letter (consumer_group, topic, key) WHERE state IN ('poison', 'parked')
    """,
    """
    CREATE TABLE idempotency_key (
        partner text NOT NULL,
        route text NOT NULL,
        key text NOT NULL,
        fingerprint bytea NOT NULL,
        answer json,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (partner, route, key)
    ) WITH (fillfactor = 80)
    """,
    "CREATE INDEX idempotency_key_created ON idempotency_key USING brin (created_at)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
