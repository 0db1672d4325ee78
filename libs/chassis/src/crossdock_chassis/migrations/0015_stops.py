"""stops: why a partition or a group waits, and what a person has decided about it"""

from alembic import op

revision = "0015"
down_revision = "0014"

STATEMENTS = (
    """
    CREATE TABLE consumer_stop (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        consumer_group text NOT NULL,
        kind text NOT NULL CHECK (kind IN ('version', 'lost', 'no-position', 'breaker')),
        topic text,
        partition int,
        "offset" bigint,
        ce_type text,
        fingerprint text,
        reason text NOT NULL,
        record json,
        log_start bigint,
        log_end bigint,
        since timestamptz NOT NULL DEFAULT now(),
        seen_at timestamptz NOT NULL DEFAULT now(),
        decision text CHECK (decision IN ('skip', 'park')),
        scope text CHECK (scope IN ('record', 'type')),
        move_to text CHECK (move_to IN ('beginning', 'end')),
        decided_by text,
        decided_why text,
        decided_at timestamptz,
        records bigint NOT NULL DEFAULT 0,
        moved_to bigint,
        ended_at timestamptz,
        outcome text CHECK (outcome IN ('went_on', 'done', 'withdrawn')),
        ended_by text,
        ended_why text,
        CHECK ((decision IS NULL) = (decided_at IS NULL)),
        CHECK ((outcome IS NULL) = (ended_at IS NULL))
    )
    """,
    """
    CREATE UNIQUE INDEX consumer_stop_open
    ON consumer_stop (consumer_group, kind, topic, partition, ce_type, fingerprint)
    NULLS NOT DISTINCT WHERE ended_at IS NULL
    """,
    "CREATE INDEX consumer_stop_ended ON consumer_stop (ended_at) WHERE ended_at IS NOT NULL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
