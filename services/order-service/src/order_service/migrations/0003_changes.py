"""the changes of orders in commit order"""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    """
    CREATE TABLE order_changes (
        partner text NOT NULL,
        changed_in bigint NOT NULL DEFAULT commit_position(),
        order_id uuid NOT NULL,
        PRIMARY KEY (partner, changed_in, order_id)
    )
    """,
    "INSERT INTO order_changes (partner, order_id) SELECT partner, id FROM orders",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
