"""a successor of a cancelled order has the same reference and names the cancelled order"""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    "ALTER TABLE orders ADD COLUMN replaces uuid",
    "ALTER TABLE orders DROP CONSTRAINT orders_partner_reference_key",
    "ALTER TABLE orders ADD CONSTRAINT orders_reference UNIQUE NULLS NOT DISTINCT (partner, reference, replaces)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
