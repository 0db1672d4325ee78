"""mark"""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE TABLE mark (name text PRIMARY KEY, times int NOT NULL)")
