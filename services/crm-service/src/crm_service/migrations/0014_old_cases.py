"""old cases: their texts, mails and files are erased so long after their last change"""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.execute("ALTER TABLE cases ADD COLUMN erased_at timestamptz")
    op.execute(
        """
        CREATE INDEX cases_to_erase ON cases (changed_at)
        WHERE NOT (status IN ('new', 'open', 'waiting', 'reopened')) AND (erased_at IS NULL OR erased_at < changed_at)
        """
    )
