"""cases, their history, and what they concern"""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    """
    CREATE TABLE cases (
        id uuid PRIMARY KEY,
        number bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
        kind text NOT NULL,
        customer_id uuid NOT NULL,
        partner text,
        status text NOT NULL,
        waiting_for text,
        severity text NOT NULL,
        category text,
        subject text NOT NULL,
        channel text NOT NULL,
        follows uuid,
        assignee text,
        root_cause text,
        version bigint NOT NULL,
        entries bigint NOT NULL,
        opened_at timestamptz NOT NULL,
        changed_at timestamptz NOT NULL,
        resolved_at timestamptz
    ) WITH (fillfactor = 80)
    """,
    "CREATE UNIQUE INDEX cases_number ON cases (number)",
    "CREATE INDEX cases_customer ON cases (customer_id, id)",
    "CREATE INDEX cases_partner ON cases (partner, id)",
    """
    CREATE TABLE case_entries (
        case_id uuid NOT NULL,
        number bigint NOT NULL,
        at timestamptz NOT NULL,
        did text NOT NULL,
        status text NOT NULL,
        waiting_for text,
        side text NOT NULL,
        who text,
        body text,
        mail_id uuid,
        PRIMARY KEY (case_id, number)
    )
    """,
    """
    CREATE TABLE case_ties (
        case_id uuid NOT NULL,
        order_id uuid NOT NULL,
        line_id text NOT NULL,
        quantity bigint,
        PRIMARY KEY (case_id, order_id, line_id)
    )
    """,
    "CREATE INDEX case_ties_order ON case_ties (order_id)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
