"""levels of runs, what new items take over, sums of forecasts and the means that agree with them"""

from alembic import op

revision = "0008"
down_revision = "0007"

STATEMENTS = (
    "ALTER TABLE runs ADD COLUMN levels text[] NOT NULL DEFAULT '{item}'",
    """
    CREATE TABLE introductions (
        item_id text PRIMARY KEY,
        successor boolean NOT NULL,
        bases text[] NOT NULL,
        weights double precision[] NOT NULL,
        scale double precision NOT NULL,
        start date,
        ramp_days bigint NOT NULL,
        changed_at timestamptz NOT NULL,
        changed_by text NOT NULL
    )
    """,
    """
    CREATE TABLE forecast_sums (
        run_id uuid NOT NULL,
        location_id text NOT NULL,
        region text NOT NULL,
        category text NOT NULL,
        origin date NOT NULL,
        made_at timestamptz NOT NULL,
        items bigint NOT NULL,
        method text NOT NULL,
        why text,
        model text,
        mean double precision[] NOT NULL,
        quantiles double precision[],
        cumulative double precision[],
        PRIMARY KEY (run_id, location_id, region, category)
    )
    """,
    """
    CREATE TABLE coherent_means (
        run_id uuid NOT NULL,
        series_id uuid NOT NULL,
        mean double precision[] NOT NULL,
        PRIMARY KEY (run_id, series_id)
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
