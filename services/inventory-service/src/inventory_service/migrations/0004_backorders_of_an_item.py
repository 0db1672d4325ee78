"""the backorders of an item in their turn"""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = (
    "ALTER TABLE reservation_lines ADD COLUMN placed_at timestamptz, ADD COLUMN partial boolean",
    """
    UPDATE reservation_lines AS line SET placed_at = reservation.placed_at, partial = reservation.partial
    FROM reservations AS reservation WHERE reservation.order_id = line.order_id
    """,
    "ALTER TABLE reservation_lines ALTER COLUMN placed_at SET NOT NULL, ALTER COLUMN partial SET NOT NULL",
    "DROP INDEX reservations_waiting",
    """
    CREATE INDEX reservations_waiting ON reservations ((-priority), placed_at, order_id) WHERE status = 'waiting'
    """,
    "DROP INDEX reservation_lines_waiting_for",
    """
    CREATE INDEX reservation_lines_waiting_for ON reservation_lines (item_id, priority DESC, placed_at, order_id)
        INCLUDE (waiting, partial) WHERE waiting > 0
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
