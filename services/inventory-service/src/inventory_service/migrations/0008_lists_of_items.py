"""the lists of items of a status or a category"""

from alembic import op

revision = "0008"
down_revision = "0007"

STATEMENTS = (
    "CREATE INDEX items_status ON items (status, item_id)",
    "CREATE INDEX items_category ON items (category, item_id) WHERE category IS NOT NULL",
    "CREATE INDEX items_category_status ON items (category, status, item_id) WHERE category IS NOT NULL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
