"""units of an item beside its base unit, and the base quantities of documents whose lines name a unit"""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("ALTER TABLE items ADD COLUMN units jsonb NOT NULL DEFAULT '{}'")
    op.execute("ALTER TABLE documents ADD COLUMN base_quantities bigint[]")
