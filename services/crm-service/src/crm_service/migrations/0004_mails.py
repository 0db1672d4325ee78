"""mails, as they came in and go out"""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = (
    """
    CREATE TABLE mails (
        id uuid PRIMARY KEY,
        direction text NOT NULL,
        state text NOT NULL,
        reason text,
        digest bytea,
        message_id text,
        "references" text[] NOT NULL DEFAULT '{}',
        sender text,
        recipient text NOT NULL,
        case_id uuid,
        raw bytea NOT NULL,
        at timestamptz NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX mails_digest ON mails (digest)",
    "CREATE INDEX mails_message ON mails (message_id)",
    "CREATE INDEX mails_case ON mails (case_id, at)",
    "CREATE INDEX mails_stored ON mails (at, id) WHERE state = 'stored'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
