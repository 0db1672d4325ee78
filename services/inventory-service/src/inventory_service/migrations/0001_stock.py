"""items, locations, levels and their ledger, reservations, the release queue, documents"""

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = (
    """
    CREATE TABLE items (
        item_id text PRIMARY KEY,
        unit_of_measure text NOT NULL,
        category text,
        status text NOT NULL CONSTRAINT items_status CHECK (status IN ('active', 'discontinued')),
        description text,
        sequence bigint NOT NULL,
        registered_at timestamptz NOT NULL,
        changed_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE locations (
        location_id text PRIMARY KEY,
        rank int NOT NULL,
        name text NOT NULL,
        country char(2),
        version bigint NOT NULL,
        changed_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE stock_heads (
        item_id text PRIMARY KEY REFERENCES items,
        sequence bigint NOT NULL DEFAULT 0
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE levels (
        item_id text NOT NULL REFERENCES stock_heads,
        location_id text NOT NULL REFERENCES locations,
        on_hand bigint NOT NULL,
        reserved bigint NOT NULL,
        PRIMARY KEY (item_id, location_id),
        CONSTRAINT levels_reserved_is_there CHECK (0 <= reserved AND reserved <= on_hand)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE movements (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        item_id text NOT NULL,
        location_id text NOT NULL,
        on_hand bigint NOT NULL,
        reserved bigint NOT NULL,
        kind text NOT NULL,
        reference text NOT NULL,
        line_id text,
        reason text,
        cause uuid NOT NULL,
        at timestamptz NOT NULL,
        CONSTRAINT movements_move CHECK (on_hand <> 0 OR reserved <> 0)
    )
    """,
    "CREATE INDEX movements_item ON movements (item_id, id)",
    "CREATE INDEX movements_reference ON movements (reference)",
    """
    CREATE FUNCTION movements_are_for_ever() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the ledger is never changed: correct it by another movement'
            USING ERRCODE = 'restrict_violation';
    END
    $$
    """,
    """
    CREATE TRIGGER movements_are_for_ever BEFORE UPDATE OR DELETE OR TRUNCATE ON movements
        FOR EACH STATEMENT EXECUTE FUNCTION movements_are_for_ever()
    """,
    """
    CREATE TABLE reservations (
        order_id uuid PRIMARY KEY,
        status text NOT NULL
            CONSTRAINT reservations_status CHECK (status IN ('open', 'waiting', 'released', 'rejected')),
        sequence bigint NOT NULL,
        priority smallint,
        partial boolean NOT NULL,
        placed_at timestamptz,
        correlation_id uuid NOT NULL,
        changed_at timestamptz NOT NULL
    ) WITH (fillfactor = 80)
    """,
    """
    CREATE INDEX reservations_waiting ON reservations (priority DESC, placed_at, order_id)
        WHERE status = 'waiting'
    """,
    """
    CREATE TABLE reservation_lines (
        order_id uuid NOT NULL,
        line_id text NOT NULL,
        position int NOT NULL,
        item_id text NOT NULL,
        requested bigint NOT NULL,
        reserved bigint NOT NULL,
        waiting bigint NOT NULL,
        priority smallint NOT NULL,
        PRIMARY KEY (order_id, line_id),
        CONSTRAINT reservation_lines_reserved CHECK (0 <= reserved AND reserved <= requested),
        CONSTRAINT reservation_lines_waiting CHECK (waiting IN (0, requested - reserved))
    ) WITH (fillfactor = 80)
    """,
    """
    CREATE INDEX reservation_lines_waiting_for ON reservation_lines (item_id, priority) INCLUDE (waiting)
        WHERE waiting > 0
    """,
    """
    CREATE TABLE allocations (
        order_id uuid NOT NULL,
        line_id text NOT NULL,
        location_id text NOT NULL,
        item_id text NOT NULL,
        quantity bigint NOT NULL CONSTRAINT allocations_quantity CHECK (quantity > 0),
        PRIMARY KEY (order_id, line_id, location_id)
    )
    """,
    """
    CREATE TABLE release_queue (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        item_id text NOT NULL,
        queued_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE documents (
        id uuid PRIMARY KEY,
        kind text NOT NULL,
        partner text NOT NULL,
        reference text NOT NULL,
        body jsonb NOT NULL,
        recorded_at timestamptz NOT NULL,
        CONSTRAINT documents_reference UNIQUE (kind, partner, reference)
    )
    """,
    """
    CREATE TABLE opening_stock (
        reference text NOT NULL,
        item_id text NOT NULL,
        location_id text NOT NULL,
        quantity bigint NOT NULL,
        recorded_at timestamptz NOT NULL,
        PRIMARY KEY (reference, item_id, location_id)
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
