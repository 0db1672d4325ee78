"""units of items, and the quantities in base units of order lines that name a unit"""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = (
    "ALTER TABLE known_items ADD COLUMN unit_of_measure text",
    "ALTER TABLE known_items ADD COLUMN units jsonb",
    "ALTER TABLE orders ADD COLUMN base_quantities jsonb",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
