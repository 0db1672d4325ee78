"""the ledger in commit order"""

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = (
    "ALTER TABLE movements ADD COLUMN changed_in bigint NOT NULL DEFAULT commit_position()",
    "CREATE INDEX movements_changes ON movements (changed_in, id)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
