"""Open dead letters of a key in their order, so that a chunk of a key does not read and sort all of them"""

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.execute("DROP INDEX dead_letter_open")
    op.execute(
        """
        CREATE INDEX dead_letter_open ON dead_letter (consumer_group, topic, key, partition, "offset")
        WHERE state IN ('poison', 'parked', 'blocked') AND octet_length(key) <= 1000
        """
    )
