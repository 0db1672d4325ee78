"""the generations of projections, each with tables in a schema of its own"""

from alembic import op

revision = "0013"
down_revision = "0012"

STATEMENTS = (
    "CREATE SEQUENCE projection_generation",
    """
    CREATE TABLE projection (
        generation bigint PRIMARY KEY,
        name text NOT NULL,
        version int NOT NULL,
        state text NOT NULL CHECK (state IN ('building', 'current', 'retired')),
        consumer_group text NOT NULL,
        job_id uuid,
        created_at timestamptz NOT NULL DEFAULT now(),
        current_since timestamptz
    )
    """,
    "CREATE UNIQUE INDEX projection_current ON projection (name) WHERE state = 'current'",
    "CREATE UNIQUE INDEX projection_building ON projection (name) WHERE state = 'building'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
