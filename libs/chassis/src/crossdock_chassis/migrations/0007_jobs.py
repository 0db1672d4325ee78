"""jobs: periodic ones, and work that somebody asked for"""

from alembic import op

revision = "0007"
down_revision = "0006"

# While a job runs, `due_at` is the end of its lease: the same index finds jobs that are due and jobs whose worker died.
STATEMENTS = (
    """
    CREATE TABLE job (
        id uuid PRIMARY KEY,
        kind text COLLATE "C" NOT NULL,
        every_seconds float8,
        status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'done', 'failed', 'stopped')),
        due_at timestamptz NOT NULL DEFAULT now(),
        leased_by text,
        arguments json NOT NULL DEFAULT '{}',
        requested_by text,
        requested_at timestamptz NOT NULL DEFAULT now(),
        stop_requested_by text,
        stop_requested_at timestamptz,
        started_at timestamptz,
        finished_at timestamptz,
        seconds float8,
        done bigint NOT NULL DEFAULT 0,
        total bigint,
        state json NOT NULL DEFAULT '{}',
        result json,
        failures int NOT NULL DEFAULT 0,
        error text,
        failed_at timestamptz,
        CHECK ((status = 'running') = (leased_by IS NOT NULL)),
        CHECK ((every_seconds IS NULL) = (requested_by IS NOT NULL))
    ) WITH (fillfactor = 50)
    """,
    "CREATE INDEX job_due ON job (kind, due_at) WHERE status IN ('queued', 'running')",
    "CREATE UNIQUE INDEX job_periodic ON job (kind) WHERE every_seconds IS NOT NULL",
    "CREATE INDEX job_finished ON job (finished_at) WHERE status IN ('done', 'failed', 'stopped')",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
