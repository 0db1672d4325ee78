"""what runs cleaned, and the outliers that were announced"""

from alembic import op

revision = "0010"
down_revision = "0009"

STATEMENTS = (
    """
    CREATE TABLE cleaning_decisions (
        series_id uuid NOT NULL REFERENCES series (id) ON DELETE CASCADE,
        day date NOT NULL,
        rule text NOT NULL,
        reason text NOT NULL,
        before double precision,
        after double precision NOT NULL,
        run_id uuid NOT NULL,
        verdict text,
        verdict_by text,
        verdict_at timestamptz,
        PRIMARY KEY (series_id, day)
    )
    """,
    """
    CREATE TABLE demand_outliers (
        series_id uuid NOT NULL REFERENCES series (id) ON DELETE CASCADE,
        day date NOT NULL,
        PRIMARY KEY (series_id, day)
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
