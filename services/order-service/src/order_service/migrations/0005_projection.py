"""known items are a projection with a schema for each generation: it is rebuilt from the first event"""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("DROP TABLE known_items")
