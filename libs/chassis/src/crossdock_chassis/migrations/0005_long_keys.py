"""A dead letter with a key of any length

An index row holds 2,704 bytes, and Kafka takes a key of a megabyte. The dead letter of such a record could not be
stored, and the worker ended again and again. No event has such a key, so nothing parks behind it.
"""

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = (
    "DROP INDEX dead_letter_open",
    """
    CREATE INDEX dead_letter_open ON dead_letter (consumer_group, topic, key)
    WHERE state IN ('poison', 'parked') AND octet_length(key) <= 1000
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
