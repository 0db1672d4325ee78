"""The body of the first request under an idempotency key, so that the answer to another body names the difference"""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("ALTER TABLE idempotency_key ADD COLUMN document bytea")
