"""the items whose levels have changed since their last event"""

from alembic import op

revision = "0009"
down_revision = "0008"

STATEMENTS = (
    """
    ALTER TABLE stock_heads
        ADD COLUMN version bigint NOT NULL DEFAULT 0,
        ADD COLUMN causes text[],
        ADD COLUMN cause text,
        ADD CONSTRAINT stock_heads_changed CHECK ((causes IS NULL) = (cause IS NULL))
    """,
    """
    CREATE TABLE changed_items (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        item_ids text[] NOT NULL
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
