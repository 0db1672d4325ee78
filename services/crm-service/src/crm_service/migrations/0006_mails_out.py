"""kinds and outcomes of mails out, addresses that get none, and templates"""

from alembic import op

revision = "0006"
down_revision = "0005"

STATEMENTS = (
    "ALTER TABLE mails ADD COLUMN kind text, ADD COLUMN handed_at timestamptz, ADD COLUMN html text",
    "UPDATE mails SET kind = 'answer' WHERE direction = 'out'",
    "CREATE INDEX mails_state ON mails (state, id)",
    "CREATE INDEX mails_outcome ON mails (state, reason) WHERE direction = 'out'",
    "CREATE INDEX mails_acknowledged ON mails (lower(recipient), at) WHERE kind = 'acknowledgement'",
    """
    CREATE TABLE suppressions (
        address bytea NOT NULL,
        scope text NOT NULL,
        reason text NOT NULL,
        at timestamptz NOT NULL,
        PRIMARY KEY (address, scope)
    )
    """,
    """
    CREATE TABLE templates (
        name text NOT NULL,
        locale text NOT NULL,
        subject text NOT NULL,
        text text NOT NULL,
        changed_at timestamptz NOT NULL,
        PRIMARY KEY (name, locale)
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
