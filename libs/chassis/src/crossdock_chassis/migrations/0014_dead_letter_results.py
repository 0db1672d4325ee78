"""The result of each record that a job has redriven, resent or discarded"""

from alembic import op

revision = "0014"
down_revision = "0013"

STATEMENTS = (
    """
    CREATE TABLE dead_letter_result (
        job uuid NOT NULL,
        letter bigint NOT NULL,
        outcome text NOT NULL CHECK (outcome IN ('applied', 'discarded', 'still-poison', 'skipped')),
        reason text,
        at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (job, letter)
    )
    """,
    "CREATE INDEX dead_letter_result_at ON dead_letter_result (at)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
