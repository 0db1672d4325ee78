"""rules that open cases from the trouble of orders"""

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = (
    """
    CREATE TABLE case_rules (
        name text PRIMARY KEY,
        trouble text NOT NULL,
        after_seconds bigint NOT NULL,
        kind text NOT NULL,
        severity text NOT NULL,
        category text,
        subject text NOT NULL,
        notice text NOT NULL,
        made_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE order_troubles (
        order_id uuid NOT NULL,
        trouble text NOT NULL,
        since timestamptz NOT NULL,
        PRIMARY KEY (order_id, trouble)
    )
    """,
    """
    CREATE TABLE rule_watches (
        rule text NOT NULL,
        order_id uuid NOT NULL,
        since timestamptz NOT NULL,
        due_at timestamptz NOT NULL,
        PRIMARY KEY (rule, order_id)
    )
    """,
    "CREATE INDEX rule_watches_due ON rule_watches (due_at)",
    "CREATE INDEX rule_watches_order ON rule_watches (order_id)",
    """
    CREATE TABLE rule_cases (
        rule text NOT NULL,
        order_id uuid NOT NULL,
        case_id uuid NOT NULL,
        suppressed text,
        opened_at timestamptz NOT NULL,
        PRIMARY KEY (rule, order_id)
    )
    """,
    "CREATE UNIQUE INDEX rule_cases_case ON rule_cases (case_id)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
