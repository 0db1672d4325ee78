"""imported demand, series and their forecasts"""

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = (
    """
    CREATE TABLE imported_demand (
        item_id text NOT NULL,
        location_id text NOT NULL,
        region text NOT NULL,
        day date NOT NULL,
        quantity bigint NOT NULL,
        price numeric,
        promotion boolean,
        in_stock boolean,
        PRIMARY KEY (item_id, location_id, region, day)
    )
    """,
    """
    CREATE TABLE cut_over (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        day date NOT NULL
    )
    """,
    """
    CREATE TABLE settled (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        at timestamptz NOT NULL
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE series (
        id uuid PRIMARY KEY,
        item_id text NOT NULL,
        location_id text NOT NULL,
        region text NOT NULL,
        version bigint NOT NULL DEFAULT 0,
        published_origin date,
        published_run uuid
    ) WITH (fillfactor = 70)
    """,
    "CREATE UNIQUE INDEX series_item ON series (item_id, location_id, region)",
    """
    CREATE TABLE forecasts (
        series_id uuid NOT NULL,
        origin date NOT NULL,
        run_id uuid NOT NULL,
        made_at timestamptz NOT NULL,
        model text NOT NULL,
        demand_class text NOT NULL,
        why text,
        scores jsonb NOT NULL,
        mean double precision[] NOT NULL,
        quantiles double precision[] NOT NULL,
        cumulative double precision[] NOT NULL,
        version bigint,
        PRIMARY KEY (series_id, origin, run_id)
    )
    """,
    "CREATE INDEX forecasts_run ON forecasts (run_id)",
    "CREATE INDEX forecasts_made ON forecasts (made_at)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
