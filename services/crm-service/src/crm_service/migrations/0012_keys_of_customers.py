"""keys of customers: an erasure finds the idempotency keys whose answer names the customer or a case"""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    for name in ("customer_id", "case_id"):
        op.execute(
            f"CREATE INDEX idempotency_key_{name} ON idempotency_key ((answer ->> '{name}')) "
            f"WHERE answer ->> '{name}' IS NOT NULL"
        )
