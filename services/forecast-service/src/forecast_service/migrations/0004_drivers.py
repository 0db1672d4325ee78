"""planned drivers: prices, promotions and other values that forecasts know in advance"""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = (
    """
    CREATE TABLE planned_drivers (
        id uuid PRIMARY KEY,
        name text NOT NULL,
        item_id text NOT NULL,
        category text NOT NULL,
        location_id text NOT NULL,
        first_day date NOT NULL,
        last_day date,
        value double precision NOT NULL,
        elsewhere text NOT NULL,
        known_from timestamptz NOT NULL,
        planned_by text NOT NULL,
        withdrawn_at timestamptz
    )
    """,
    "CREATE INDEX planned_drivers_scope ON planned_drivers (item_id, category, name, first_day)",
    "CREATE INDEX planned_drivers_name ON planned_drivers (name) WHERE withdrawn_at IS NULL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
