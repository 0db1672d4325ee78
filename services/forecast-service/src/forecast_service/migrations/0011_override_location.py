"""overrides of forecasts at one location"""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute("ALTER TABLE overrides ADD COLUMN location_id text")
