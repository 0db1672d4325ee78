"""effects: mail, webhooks and other calls that a unit requested"""

from alembic import op

revision = "0003"
down_revision = "0002"

# While an effect is claimed, `due_at` is the end of the lease: the same index finds rows whose retry is due and rows
# whose worker died. `position` orders the effects of a key; a redrive draws a new one.
STATEMENTS = (
    """
    CREATE TABLE effect (
        id uuid PRIMARY KEY,
        position bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
        kind text COLLATE "C" NOT NULL,
        target text COLLATE "C" NOT NULL,
        key text COLLATE "C",
        payload json NOT NULL,
        traceparent text,
        state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'given_up', 'discarded')),
        attempts int NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL DEFAULT now(),
        pending_since timestamptz NOT NULL DEFAULT now(),
        due_at timestamptz NOT NULL DEFAULT now(),
        claimed_by uuid,
        finished_at timestamptz,
        reason text,
        result json,
        resolutions json NOT NULL DEFAULT '[]',
        CHECK ((state = 'pending') = (finished_at IS NULL))
    )
    """,
    "CREATE INDEX effect_due ON effect (kind, target, due_at) WHERE state = 'pending'",
    """
    CREATE INDEX effect_line ON effect (kind, target, key, position) WHERE state = 'pending' AND key IS NOT NULL
    """,
    "CREATE INDEX effect_waiting ON effect (kind, pending_since) WHERE state = 'pending'",
    "CREATE INDEX effect_given_up ON effect (id) WHERE state = 'given_up'",
    "CREATE INDEX effect_finished ON effect (finished_at) WHERE state IN ('done', 'discarded')",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
