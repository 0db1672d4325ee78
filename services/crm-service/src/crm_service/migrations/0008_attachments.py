"""attachments of cases, and positions in mailboxes"""

from alembic import op

revision = "0008"
down_revision = "0007"

STATEMENTS = (
    """
    CREATE TABLE attachments (
        id uuid PRIMARY KEY,
        case_id uuid NOT NULL,
        mail_id uuid,
        name text NOT NULL,
        media_type text NOT NULL,
        internal boolean NOT NULL,
        side text NOT NULL,
        who text,
        size bigint,
        sha256 bytea,
        begun_at timestamptz NOT NULL,
        stored_at timestamptz
    )
    """,
    "CREATE INDEX attachments_case ON attachments (case_id, id)",
    "CREATE INDEX attachments_begun ON attachments (begun_at) WHERE stored_at IS NULL",
    """
    CREATE TABLE attachment_chunks (
        attachment_id uuid NOT NULL,
        number bigint NOT NULL,
        content bytea NOT NULL,
        PRIMARY KEY (attachment_id, number)
    )
    """,
    "ALTER TABLE attachment_chunks ALTER COLUMN content SET STORAGE EXTERNAL",  # most files are compressed already
    "CREATE TABLE imap_positions (mailbox text PRIMARY KEY, validity bigint NOT NULL, uid bigint NOT NULL, "
    "at timestamptz NOT NULL)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
