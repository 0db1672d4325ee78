"""the accuracy of forecasts, as it was measured and published"""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE accuracy_progress (
            one boolean PRIMARY KEY DEFAULT true CHECK (one),
            day date NOT NULL,
            after uuid
        )
        """
    )
    op.execute(
        """
        CREATE TABLE series_accuracy (
            series_id uuid PRIMARY KEY,
            version bigint NOT NULL,
            direction text NOT NULL,
            errors double precision[] NOT NULL
        ) WITH (fillfactor = 50)
        """
    )
