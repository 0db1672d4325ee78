"""what-ifs, and the calendar that a run keeps, so that it gives the same forecasts when it is resumed"""

from alembic import op

revision = "0009"
down_revision = "0008"

STATEMENTS = (
    """
    CREATE TABLE what_ifs (
        id uuid PRIMARY KEY,
        question jsonb NOT NULL,
        asked_at timestamptz NOT NULL,
        attempts bigint NOT NULL DEFAULT 0,
        leased_until timestamptz,
        answer jsonb
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX what_ifs_asked ON what_ifs (asked_at)",
    "ALTER TABLE runs ADD COLUMN calendar jsonb",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
