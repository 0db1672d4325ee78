"""operator actions: who did what, and why. The audits of effects, limits and dead letters move there"""

from alembic import op

revision = "0019"
down_revision = "0018"

STATEMENTS = (
    """
    CREATE TABLE operator_action (
        id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
        at timestamptz NOT NULL DEFAULT now(),
        who text NOT NULL,
        client text NOT NULL,
        partner text,
        action text COLLATE "C" NOT NULL,
        target text COLLATE "C" NOT NULL,
        why text,
        before json,
        after json
    )
    """,
    """
    INSERT INTO operator_action (at, who, client, action, target, why)
    SELECT (entry ->> 'at')::timestamptz, entry ->> 'by', entry ->> 'by', 'effect:' || (entry ->> 'action'),
           '/v1/effects/' || effect.id, entry ->> 'reason'
    FROM effect CROSS JOIN json_array_elements(resolutions) AS entry
    """,
    """
    INSERT INTO operator_action (at, who, client, action, target, before, after)
    SELECT changed_at, changed_by, changed_by, CASE WHEN rate IS NULL THEN 'limit:remove' ELSE 'limit:set' END,
           format('/v1/limits/%s/%s', route_group, partner),
           lag(document) OVER (PARTITION BY partner, route_group ORDER BY id),
           CASE WHEN rate IS NULL THEN json_build_object('partner', partner, 'route_group', route_group)
                ELSE document END
    FROM (
        SELECT *, json_build_object('partner', partner, 'route_group', route_group, 'rate', rate, 'burst', burst)
                  AS document
        FROM rate_limit
    ) AS change
    ORDER BY id
    """,
    """
    INSERT INTO operator_action (at, who, client, action, target, why)
    SELECT resolved_at, resolution ->> 'by', resolution ->> 'by', 'dead-letter:' || (resolution ->> 'action'),
           '/v1/dead-letters/' || id, resolution ->> 'reason'
    FROM dead_letter
    WHERE resolution ->> 'by' IS NOT NULL AND resolution ->> 'job' IS NULL AND resolution ->> 'behind' IS NULL
      AND resolution ->> 'stop' IS NULL
    ORDER BY id
    """,
    "CREATE INDEX operator_action_target ON operator_action (target, id)",
    "CREATE INDEX operator_action_action ON operator_action (action, id)",
    "CREATE INDEX operator_action_who ON operator_action (who, id)",
    "CREATE INDEX operator_action_at ON operator_action (at)",
    "ALTER TABLE effect DROP COLUMN resolutions",
    # the limits that hold now; their history is in operator_action
    """
    DELETE FROM rate_limit AS old WHERE rate IS NULL OR EXISTS (
        SELECT FROM rate_limit AS newer
        WHERE (newer.partner, newer.route_group) = (old.partner, old.route_group) AND newer.id > old.id
    )
    """,
    "DROP INDEX rate_limit_latest",
    """
    ALTER TABLE rate_limit DROP COLUMN id, ALTER COLUMN rate SET NOT NULL, ALTER COLUMN burst SET NOT NULL,
        ADD PRIMARY KEY (partner, route_group)
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
