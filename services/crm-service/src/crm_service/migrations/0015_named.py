"""the addresses that mails name which cannot be read"""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.execute("ALTER TABLE mails ADD COLUMN named text[]")
    op.execute("CREATE INDEX mails_nameless ON mails (id) WHERE state = 'unreadable' AND named IS NULL")
