"""consumer progress: what only a consumer knows about its partitions, the end of the log and the rates"""

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE consumer_progress (
            consumer_group text NOT NULL,
            topic text NOT NULL,
            partition int NOT NULL,
            log_end bigint,
            handled_to timestamptz,
            rate float8,
            inflow float8,
            seen_at timestamptz NOT NULL,
            PRIMARY KEY (consumer_group, topic, partition)
        ) WITH (fillfactor = 50)
        """
    )
