"""overrides of forecasts, what each series gets of them, and forecasts after them"""

from alembic import op

revision = "0006"
down_revision = "0005"

STATEMENTS = (
    "ALTER TABLE series ADD COLUMN published_overrides uuid[] NOT NULL DEFAULT '{}'",
    """
    CREATE TABLE adjusted_forecasts (
        series_id uuid NOT NULL,
        origin date NOT NULL,
        run_id uuid NOT NULL,
        made_at timestamptz NOT NULL,
        overrides uuid[] NOT NULL,
        mean double precision[] NOT NULL,
        quantiles double precision[] NOT NULL,
        cumulative double precision[] NOT NULL,
        PRIMARY KEY (series_id, origin, run_id, made_at)
    )
    """,
    """
    CREATE TABLE overrides (
        id uuid PRIMARY KEY,
        level text NOT NULL,
        item_id text,
        category text,
        kind text NOT NULL,
        value double precision NOT NULL,
        first_day date NOT NULL,
        last_day date NOT NULL,
        why text NOT NULL,
        requested_by text NOT NULL,
        requested_at timestamptz NOT NULL,
        expires_at timestamptz,
        series bigint NOT NULL,
        forecast double precision NOT NULL,
        status text NOT NULL DEFAULT 'in_force',
        ended_by text,
        ended_at timestamptz,
        version bigint NOT NULL
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX overrides_in_force ON overrides (item_id, category, first_day) WHERE status = 'in_force'",
    "CREATE INDEX overrides_ended ON overrides (ended_at) WHERE ended_at IS NOT NULL",
    """
    CREATE TABLE override_parts (
        override_id uuid NOT NULL,
        series_id uuid NOT NULL,
        daily double precision[],
        published boolean NOT NULL DEFAULT false,
        PRIMARY KEY (override_id, series_id)
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX override_parts_series ON override_parts (series_id)",
    "CREATE INDEX override_parts_due ON override_parts (series_id) WHERE NOT published",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
