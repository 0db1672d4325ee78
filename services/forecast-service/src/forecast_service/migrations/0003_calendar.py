"""the calendar: countries whose holidays count, and the company's own days"""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("CREATE TABLE calendar_countries (name text PRIMARY KEY)")
    op.execute("CREATE TABLE calendar_days (day date PRIMARY KEY, name text NOT NULL, kind text NOT NULL)")
