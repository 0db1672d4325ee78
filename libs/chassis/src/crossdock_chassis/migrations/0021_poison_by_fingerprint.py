"""Poison events by fingerprint, so that the list of causes reads neither resolved nor parked events"""

from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.execute("CREATE INDEX dead_letter_poison ON dead_letter (fingerprint, id) WHERE state = 'poison'")
