"""the trace of each record, and its index for the search"""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    "ALTER TABLE log ADD COLUMN trace_id uuid",
    "CREATE INDEX log_trace ON log (trace_id) WHERE trace_id IS NOT NULL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
