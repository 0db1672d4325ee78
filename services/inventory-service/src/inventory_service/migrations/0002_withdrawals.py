"""who holds the stock of an item at a location"""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("CREATE INDEX allocations_place ON allocations (item_id, location_id)")
