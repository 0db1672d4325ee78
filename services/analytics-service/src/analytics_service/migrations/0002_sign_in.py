"""sessions of people at the console"""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    """
    CREATE TABLE console_session (
        id bytea PRIMARY KEY,
        subject text NOT NULL,
        name text NOT NULL,
        scopes text[] NOT NULL,
        access bytea NOT NULL,
        refresh bytea,
        identity bytea NOT NULL,
        access_expires_at timestamptz NOT NULL,
        started_at timestamptz NOT NULL,
        used_at timestamptz NOT NULL,
        ends_at timestamptz NOT NULL,
        version bigint NOT NULL DEFAULT 0,
        refreshing_until timestamptz
    )
    """,
    "CREATE INDEX console_session_of_person ON console_session (subject, started_at)",
    "CREATE INDEX console_session_ends ON console_session (ends_at)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
