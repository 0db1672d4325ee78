"""runs, their chunks and their failures"""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    """
    CREATE TABLE runs (
        id uuid PRIMARY KEY,
        origin date NOT NULL,
        horizon bigint NOT NULL,
        item_prefix text,
        category text,
        chosen uuid[],
        scope text NOT NULL,
        deadline_seconds bigint,
        deadline_at timestamptz,
        demand numeric,
        state text NOT NULL,
        requested_by text NOT NULL,
        requested_at timestamptz NOT NULL,
        ended_at timestamptz,
        open bigint NOT NULL
    ) WITH (fillfactor = 70)
    """,
    "CREATE UNIQUE INDEX runs_running ON runs (origin, scope) WHERE state = 'running'",
    """
    CREATE TABLE run_chunks (
        run_id uuid NOT NULL,
        number bigint NOT NULL,
        level text NOT NULL,
        series uuid[] NOT NULL,
        state text NOT NULL DEFAULT 'open',
        attempts bigint NOT NULL DEFAULT 0,
        leased_by text,
        leased_until timestamptz,
        started_at timestamptz,
        ended_at timestamptz,
        PRIMARY KEY (run_id, number)
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX run_chunks_open ON run_chunks (run_id, number) WHERE state = 'open'",
    """
    CREATE TABLE run_failures (
        run_id uuid NOT NULL,
        series_id uuid NOT NULL,
        reason text NOT NULL,
        PRIMARY KEY (run_id, series_id)
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
