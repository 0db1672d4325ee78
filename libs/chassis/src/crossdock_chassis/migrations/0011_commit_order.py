"""The generation of commit positions: see `database/commit_order.py`, which creates the functions"""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE commit_generation (
            one boolean PRIMARY KEY DEFAULT true CHECK (one),
            generation int NOT NULL,
            settled int NOT NULL,
            cluster text NOT NULL
        )
        """
    )
    op.execute("INSERT INTO commit_generation (generation, settled, cluster) VALUES (0, 0, '')")
