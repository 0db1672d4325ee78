"""calls: functions that insert orders, and that apply inventory's answers, in one round trip"""

from alembic import op

revision = "0006"
down_revision = "0005"

PARAMETERS = """
    ids uuid[], partners text[], refs text[], fingerprints bytea[], customers text[], documents jsonb[],
    histories jsonb[], successors uuid[], quantities jsonb[], at timestamptz
"""
ARGUMENTS = "ids, partners, refs, fingerprints, customers, documents, histories, successors, quantities, at"

STATEMENTS = (
    f"""
    CREATE FUNCTION orders_insert({PARAMETERS}) RETURNS int LANGUAGE plpgsql AS $$
    DECLARE
        inserted int;
    BEGIN
        WITH placed AS (
            INSERT INTO orders (id, partner, reference, fingerprint, customer_id, document, history, replaces,
                                base_quantities, status, version, reservation_sequence, placed_at)
            SELECT id, partner, reference, fingerprint, customer_id, document, history, replaces,
                   base_quantities, 'placed', 1, 0, at
            FROM unnest(ids, partners, refs, fingerprints, customers, documents, histories, successors, quantities)
                 AS new (id, partner, reference, fingerprint, customer_id, document, history, replaces, base_quantities)
            ON CONFLICT (partner, reference, replaces) DO NOTHING
            RETURNING partner, id
        )
        INSERT INTO order_changes (partner, order_id) SELECT partner, id FROM placed;
        GET DIAGNOSTICS inserted = ROW_COUNT;
        RETURN inserted;
    END $$
    """,
    f"""
    CREATE FUNCTION orders_insert_all({PARAMETERS}) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        IF orders_insert({ARGUMENTS}) < cardinality(ids) THEN
            RAISE EXCEPTION 'an order exists already' USING ERRCODE = 'CD001';
        END IF;
    END $$
    """,
    # The locks are taken in the order of the ids, as by every unit with several orders. Without the setting, a plan
    # made while the table was small would read all of it.
    """
    CREATE FUNCTION orders_update(
        ids uuid[], read_versions bigint[], read_sequences bigint[], statuses text[], versions bigint[],
        sequences bigint[], decided timestamptz[], waits jsonb[], additions jsonb[],
        waiting_ids uuid[], items text[], partners text[], since_times timestamptz[]
    ) RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
    DECLARE
        changed int;
    BEGIN
        PERFORM FROM orders WHERE id = ANY(ids) ORDER BY id FOR UPDATE;
        WITH updated AS (
            UPDATE orders SET status = new.status, version = new.version, decided_at = new.decided_at,
                              reservation_sequence = new.sequence, waiting = new.waiting,
                              history = orders.history || new.entries
            FROM unnest(ids, read_versions, read_sequences, statuses, versions, sequences, decided, waits, additions)
                 AS new (id, read_version, read_sequence, status, version, sequence, decided_at, waiting, entries)
            WHERE orders.id = new.id AND orders.version = new.read_version
              AND orders.reservation_sequence = new.read_sequence AND orders.id = ANY(ids)
            RETURNING orders.partner, orders.id, new.entries
        ), noted AS (
            INSERT INTO order_changes (partner, order_id) SELECT partner, id FROM updated WHERE entries <> '[]'
            ON CONFLICT DO NOTHING
        )
        SELECT count(*) INTO changed FROM updated;
        IF changed < cardinality(ids) THEN
            RAISE EXCEPTION 'an order has changed' USING ERRCODE = 'CD001';
        END IF;
        DELETE FROM waiting_items WHERE order_id = ANY(ids);
        IF cardinality(waiting_ids) > 0 THEN
            INSERT INTO waiting_items (order_id, item_id, partner, since)
            SELECT * FROM unnest(waiting_ids, items, partners, since_times);
        END IF;
    END $$
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
