"""the sums of the ledger up to a mark, so that a comparison reads only later movements"""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    """
    CREATE TABLE ledger_sums (
        item_id text NOT NULL,
        location_id text NOT NULL,
        on_hand bigint NOT NULL,
        reserved bigint NOT NULL,
        PRIMARY KEY (item_id, location_id)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE ledger_mark (
        one boolean PRIMARY KEY DEFAULT true CONSTRAINT ledger_mark_is_one CHECK (one),
        folded_to bigint NOT NULL
    )
    """,
    "INSERT INTO ledger_mark (folded_to) VALUES (0)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
