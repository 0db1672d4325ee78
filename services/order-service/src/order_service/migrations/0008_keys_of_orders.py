"""keys of orders: a redaction finds the idempotency keys whose answer names the order"""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute(
        """
        CREATE INDEX idempotency_key_order ON idempotency_key ((answer ->> 'order_id'))
        WHERE answer ->> 'order_id' IS NOT NULL
        """
    )
