"""calls: functions that check and write in one round trip what an optimistic unit has decided

Each statement of a PL/pgSQL function has a snapshot of its own, so "lock, then read" holds inside a function too.
CD001 means that something is no longer as the unit has read or assumed it.
"""

from alembic import op

revision = "0018"
down_revision = "0017"

STATEMENTS = (
    """
    CREATE FUNCTION outbox_append(
        event_ids uuid[], topics text[], keys bytea[], bodies bytea[], heads json[], part_limit int, payload text
    ) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        WITH appended AS (
            INSERT INTO outbox (event_id, topic, key, value, headers)
            SELECT event_id, topic, key, value, headers
            FROM unnest(event_ids, topics, keys, bodies, heads)
                 WITH ORDINALITY AS new (event_id, topic, key, value, headers, position)
            ORDER BY position
            RETURNING id
        )
        INSERT INTO outbox_pending (ids)
        SELECT array_agg(id ORDER BY id)
        FROM (SELECT id, (row_number() OVER (ORDER BY id) - 1) / part_limit AS part FROM appended) AS numbered
        GROUP BY part ORDER BY part;
        PERFORM pg_notify('outbox', payload), set_config('lock_timeout', '0', true);
    END $$
    """,
    """
    CREATE FUNCTION idempotency_answer(
        partners text[], routes text[], names text[], fingerprints bytea[], documents bytea[], answers json[]
    ) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
        claimed int;
    BEGIN
        INSERT INTO idempotency_key (partner, route, key, fingerprint, document, answer)
        SELECT * FROM unnest(partners, routes, names, fingerprints, documents, answers)
                      AS new (partner, route, key, fingerprint, document, answer)
        ORDER BY partner, route, key ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS claimed = ROW_COUNT;
        IF claimed < cardinality(names) THEN
            RAISE EXCEPTION 'an idempotency key was used before' USING ERRCODE = 'CD001';
        END IF;
    END $$
    """,
    """
    CREATE FUNCTION consumer_take(
        consumer text, topics text[], partitions int[], expected bigint[], following bigint[],
        key_topics text[], keys bytea[], event_ids uuid[]
    ) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
        done int;
    BEGIN
        UPDATE consumer_position AS position SET next = new.next
        FROM unnest(topics, partitions, expected, following) AS new (topic, partition, expected, next)
        WHERE (position.consumer_group, position.topic, position.partition) = (consumer, new.topic, new.partition)
          AND position.next = new.expected;
        GET DIAGNOSTICS done = ROW_COUNT;
        IF done < cardinality(topics) THEN
            RAISE EXCEPTION 'another member has handled these records' USING ERRCODE = 'CD001';
        END IF;
        IF EXISTS (
            SELECT FROM parked_key
            WHERE consumer_group = consumer AND (topic, key) IN (SELECT * FROM unnest(key_topics, keys))
        ) THEN
            RAISE EXCEPTION 'a key is parked' USING ERRCODE = 'CD001';
        END IF;
        INSERT INTO inbox (event_id) SELECT id FROM unnest(event_ids) AS id ORDER BY id ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS done = ROW_COUNT;
        IF done < cardinality(event_ids) THEN
            RAISE EXCEPTION 'an event was handled before' USING ERRCODE = 'CD001';
        END IF;
    END $$
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
