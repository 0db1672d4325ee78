"""Dead letters by group and state, so that a gauge counts a bounded number of them"""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute("CREATE INDEX dead_letter_state ON dead_letter (consumer_group, state)")
