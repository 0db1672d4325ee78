"""policies by segment and contract, next answers, steps of escalation, special days"""

from alembic import op

revision = "0010"
down_revision = "0009"

STATEMENTS = (
    "ALTER TABLE cases ADD COLUMN segment text NOT NULL DEFAULT '', ADD COLUMN contract text NOT NULL DEFAULT '', "
    "ADD COLUMN level bigint NOT NULL DEFAULT 0, ADD COLUMN merged_into uuid, "
    "ADD COLUMN split_from uuid, ADD COLUMN parent uuid",
    "CREATE INDEX cases_parent ON cases (parent) WHERE parent IS NOT NULL",
    "ALTER TABLE cases ADD COLUMN queue text NOT NULL DEFAULT ''",
    "CREATE INDEX cases_assigned ON cases (assignee) "
    "WHERE assignee IS NOT NULL AND status IN ('new', 'open', 'waiting', 'reopened')",
    "CREATE INDEX cases_queued ON cases (queue, id) "
    "WHERE assignee IS NULL AND queue <> '' AND status IN ('new', 'open', 'waiting', 'reopened')",
    "CREATE TABLE queues (name text PRIMARY KEY, kind text NOT NULL, category text NOT NULL, skill text NOT NULL)",
    """
    CREATE TABLE agents (
        who text PRIMARY KEY,
        skills text[] NOT NULL,
        capacity bigint NOT NULL,
        present boolean NOT NULL,
        calendar text
    )
    """,
    "CREATE TABLE macros (name text PRIMARY KEY, acts jsonb NOT NULL)",
    "ALTER TABLE sla_policies ADD COLUMN segment text NOT NULL DEFAULT '', "
    "ADD COLUMN contract text NOT NULL DEFAULT '', ADD COLUMN next_answer bigint, "
    "ADD COLUMN steps bigint[] NOT NULL DEFAULT '{}', DROP CONSTRAINT sla_policies_pkey, "
    "ADD PRIMARY KEY (kind, severity, segment, contract)",
    "ALTER TABLE sla_calendars ADD COLUMN special jsonb NOT NULL DEFAULT '[]'",
    "CREATE TABLE customer_terms (customer_id uuid PRIMARY KEY, segment text NOT NULL, contract text NOT NULL)",
    "ALTER TABLE case_timers ADD COLUMN round bigint NOT NULL DEFAULT 1, DROP CONSTRAINT case_timers_pkey, "
    "ADD PRIMARY KEY (case_id, clock, round, noticed)",
    "ALTER TABLE sla_marks ADD COLUMN round bigint NOT NULL DEFAULT 1, DROP CONSTRAINT sla_marks_pkey, "
    "ADD PRIMARY KEY (case_id, clock, round, noticed)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
