"""imports: the files that clients upload, their rows until they are applied, and the errors of rows"""

from alembic import op

revision = "0017"
down_revision = "0016"

# Rows and pieces have no foreign key: checking it would cost more than the COPY. A job deletes them.
STATEMENTS = (
    """
    CREATE TABLE import_file (
        id uuid PRIMARY KEY REFERENCES job (id) ON DELETE CASCADE,
        kind text COLLATE "C" NOT NULL,
        partner text NOT NULL,
        sha256 bytea NOT NULL,
        bytes bigint NOT NULL,
        arguments json NOT NULL,
        dry_run boolean NOT NULL,
        correlation_id uuid NOT NULL,
        traceparent text,
        data text NOT NULL DEFAULT 'kept' CHECK (data IN ('kept', 'dropping', 'gone'))
    )
    """,
    "CREATE INDEX import_file_partner ON import_file (partner, id)",
    "CREATE INDEX import_file_same ON import_file (sha256)",
    "CREATE INDEX import_file_data ON import_file (data, id) WHERE data <> 'gone'",
    """
    CREATE TABLE import_piece (
        import_id uuid NOT NULL,
        number int NOT NULL,
        received_at timestamptz NOT NULL DEFAULT now(),
        content bytea STORAGE EXTERNAL NOT NULL,
        PRIMARY KEY (import_id, number)
    )
    """,
    """
    CREATE TABLE import_row (
        import_id uuid NOT NULL,
        number bigint NOT NULL,
        key uuid NOT NULL,
        cells json NOT NULL,
        PRIMARY KEY (import_id, number)
    )
    """,
    "CREATE INDEX import_row_key ON import_row (import_id, key, number)",
    """
    CREATE TABLE import_error (
        import_id uuid NOT NULL REFERENCES import_file (id) ON DELETE CASCADE,
        ordinal int NOT NULL,
        number bigint NOT NULL,
        field text,
        detail text NOT NULL,
        PRIMARY KEY (import_id, ordinal)
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
