"""policies, calendars, and the timers of cases"""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    """
    CREATE TABLE sla_policies (
        kind text NOT NULL,
        severity text NOT NULL,
        first_answer bigint NOT NULL,
        resolution bigint NOT NULL,
        calendar text,
        PRIMARY KEY (kind, severity)
    )
    """,
    "CREATE TABLE sla_calendars (name text PRIMARY KEY, zone text NOT NULL, openings jsonb NOT NULL, holidays text)",
    """
    CREATE TABLE case_timers (
        case_id uuid NOT NULL,
        clock text NOT NULL,
        noticed text NOT NULL,
        due_at timestamptz NOT NULL,
        PRIMARY KEY (case_id, clock, noticed)
    )
    """,
    "CREATE INDEX case_timers_due ON case_timers (due_at)",
    """
    CREATE TABLE sla_marks (
        case_id uuid NOT NULL,
        clock text NOT NULL,
        noticed text NOT NULL,
        due_at timestamptz NOT NULL,
        noticed_at timestamptz NOT NULL,
        PRIMARY KEY (case_id, clock, noticed)
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
