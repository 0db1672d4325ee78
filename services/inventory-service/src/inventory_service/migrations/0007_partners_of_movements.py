"""the partner of each movement of a document, so that a document can be compared with its movements"""

from alembic import op

revision = "0007"
down_revision = "0006"

STATEMENTS = (
    "ALTER TABLE movements ADD COLUMN partner text",
    "ALTER TABLE movements DISABLE TRIGGER movements_are_for_ever",
    """
    UPDATE movements SET partner = document.partner FROM documents AS document
    WHERE (movements.kind, movements.reference, movements.at)
        = (document.kind, document.reference, document.recorded_at)
    """,
    "ALTER TABLE movements ENABLE TRIGGER movements_are_for_ever",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
