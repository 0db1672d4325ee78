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
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
