"""parked keys that are retried

A key whose event failed for a passing reason, such as a locked row, is parked too. `due_at` is the time of its next
retry. A key without it waits for a person.
"""

from alembic import op

revision = "0008"
down_revision = "0007"

STATEMENTS = (
    "ALTER TABLE parked_key ADD COLUMN due_at timestamptz, ADD COLUMN attempts int NOT NULL DEFAULT 0",
    "CREATE INDEX parked_key_due ON parked_key (consumer_group, due_at) WHERE due_at IS NOT NULL",
    """
    ALTER TABLE dead_letter DROP CONSTRAINT dead_letter_state_check,
    ADD CHECK (state IN ('poison', 'parked', 'blocked', 'redriven', 'discarded'))
    """,
    "DROP INDEX dead_letter_open",
    """
    CREATE INDEX dead_letter_open ON dead_letter (consumer_group, topic, key)
    WHERE state IN ('poison', 'parked', 'blocked') AND octet_length(key) <= 1000
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
