"""how each series is forecast until it is chosen anew"""

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = (
    """
    CREATE TABLE choices (
        series_id uuid PRIMARY KEY,
        origin date NOT NULL,
        run_id uuid NOT NULL,
        since timestamptz NOT NULL,
        horizon bigint NOT NULL,
        kind text NOT NULL,
        models text[] NOT NULL,
        weights double precision[] NOT NULL,
        daily double precision[] NOT NULL,
        sums double precision[] NOT NULL,
        error double precision,
        scores jsonb NOT NULL
    )
    """,
    "ALTER TABLE runs ADD COLUMN reselect boolean NOT NULL DEFAULT false",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
