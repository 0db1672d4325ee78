"""Indexes that list dead letters by state and by fingerprint, and who resumed a job"""

from alembic import op

revision = "0012"
down_revision = "0011"

STATEMENTS = (
    "CREATE INDEX dead_letter_by_state ON dead_letter (state, id)",
    "CREATE INDEX dead_letter_by_fingerprint ON dead_letter (fingerprint, id)",
    "ALTER TABLE job ADD COLUMN resumed_by text, ADD COLUMN resumed_at timestamptz",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
