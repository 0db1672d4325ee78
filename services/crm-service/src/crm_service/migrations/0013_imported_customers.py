"""imported customers: what each import created and changed, so that it can be undone"""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE imported_customers (
            import_id uuid NOT NULL,
            customer_id uuid NOT NULL,
            version bigint NOT NULL,
            created boolean NOT NULL,
            outcome text,
            PRIMARY KEY (import_id, customer_id, version)
        )
        """
    )
