"""calls: functions that hold stock for orders and mark changed heads, and one that reserves in one round trip"""

from alembic import op

revision = "0010"
down_revision = "0009"

# - `orders` to `waits` have an entry per order: its id, the cause of the movement, its priority, whether it waits. So
#   do `placed` and `partials`: when the order was placed, and whether it is partial.
# - `numbers` to `quantities` have an entry per part of a line. `numbers` is the place of its order in `orders`.
# - Position, requested and reserved are null if the line is already written.
# - Location and quantity are null if the part gets no stock.
# - The next four are those of `stock_mark`.
#
# `= ANY(changed)` repeats a join condition, so that a plan made while the table was empty uses the key.
HOLD = """
    orders uuid[], movement_causes uuid[], priorities smallint[], waits boolean[],
    numbers int[], line_ids text[], line_items text[], positions int[], requests bigint[], reserves bigint[],
    places text[], quantities bigint[],
    changed text[], once boolean[], kind_lists text[], event_causes text[],
    at_time timestamptz, placed timestamptz[], partials boolean[]
"""
HOLD_ARGUMENTS = """
    orders, movement_causes, priorities, waits, numbers, line_ids, line_items, positions, requests, reserves, places,
    quantities, changed, once, kind_lists, event_causes, at_time, placed, partials
"""


def hold(name: str, more: str) -> str:
    """Return a function that writes lines, allocations, movements and levels, and then marks the heads."""
    return f"""
    CREATE FUNCTION {name}({HOLD}) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        WITH part AS (
            SELECT orders[number] AS order_id, movement_causes[number] AS cause, priorities[number] AS priority,
                   placed[number] AS placed_at, partials[number] AS partial,
                   CASE WHEN waits[number] THEN requested - reserved ELSE 0 END AS waiting,
                   line_id, item_id, position, requested, reserved, location_id, quantity
            FROM unnest(numbers, line_ids, line_items, positions, requests, reserves, places, quantities)
                 AS part (number, line_id, item_id, position, requested, reserved, location_id, quantity)
        ), line AS (
            INSERT INTO reservation_lines
                (order_id, line_id, position, item_id, requested, reserved, waiting, priority, placed_at, partial)
            SELECT order_id, line_id, position, item_id, requested, reserved, waiting, priority, placed_at, partial
            FROM part WHERE position IS NOT NULL
        ), held AS (
            INSERT INTO allocations (order_id, line_id, item_id, location_id, quantity)
            SELECT order_id, line_id, item_id, location_id, quantity FROM part WHERE quantity IS NOT NULL {more}
        ), moved AS (
            INSERT INTO movements (item_id, location_id, on_hand, reserved, kind, reference, line_id, cause, at)
            SELECT item_id, location_id, 0, quantity, 'reservation', order_id::text, line_id, cause, at_time
            FROM part WHERE quantity IS NOT NULL
        )
        UPDATE levels SET reserved = levels.reserved + promise.units
        FROM (
            SELECT item_id, location_id, sum(quantity)::bigint AS units
            FROM part WHERE quantity IS NOT NULL GROUP BY item_id, location_id
        ) AS promise
        WHERE levels.item_id = promise.item_id AND levels.location_id = promise.location_id
          AND levels.item_id = ANY(changed);
        PERFORM stock_mark(changed, once, kind_lists, event_causes);
    END $$
    """


# `= ANY` repeats join conditions here too. `waited_for` is one value for all items. The first line found ends the
# search, and even a poor plan makes only one scan. ORDER BY uses the index. EXISTS would scan the table instead if the
# planner expects few rows.
def look(name: str, planning: str) -> str:
    """Return a function that reads everything that decides new orders for some items."""
    return f"""
    CREATE FUNCTION {name}(text[]) RETURNS TABLE (
        item_id text, version bigint, sequence bigint, causes text[], discontinued boolean, location_id text, rank int,
        on_hand bigint, reserved bigint, waited_for boolean
    ) LANGUAGE sql STABLE {planning} AS $$
        SELECT item.item_id, head.version, head.sequence, head.causes, item.status <> 'active' AS discontinued,
               level.location_id, location.rank, level.on_hand, level.reserved,
               (
                   SELECT item_id FROM reservation_lines
                   WHERE item_id = ANY($1::text[]) AND waiting > 0 ORDER BY item_id LIMIT 1
               ) IS NOT NULL AS waited_for
        FROM items AS item
        JOIN stock_heads AS head ON head.item_id = item.item_id AND head.item_id = ANY($1::text[])
        LEFT JOIN levels AS level ON level.item_id = item.item_id AND level.item_id = ANY($1::text[])
        LEFT JOIN locations AS location USING (location_id)
        WHERE item.item_id = ANY($1::text[])
    $$
    """


STATEMENTS = (
    look("reservations_look", ""),
    look("reservations_look_many", "SET plan_cache_mode = force_custom_plan"),
    # An item whose event is published at once leaves the set of changed items. Any other item enters the set.
    """
    CREATE FUNCTION stock_mark(items text[], once boolean[], kind_lists text[], event_causes text[])
    RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO changed_items (item_ids)
        SELECT array_agg(item_id) FROM stock_heads JOIN unnest(items, once) AS head (item_id, at_once) USING (item_id)
        WHERE NOT at_once AND causes IS NULL AND item_id = ANY(items) HAVING count(*) > 0;
        IF FOUND THEN
            PERFORM pg_notify('job', 'levels');
        END IF;
        UPDATE stock_heads
        SET version = version + 1,
            sequence = sequence + at_once::int,
            causes = CASE WHEN at_once THEN NULL
                          WHEN causes IS NULL THEN string_to_array(kinds, ',')
                          WHEN causes @> string_to_array(kinds, ',') THEN causes
                          ELSE causes || string_to_array(kinds, ',') END,
            cause = CASE WHEN NOT at_once THEN coalesce(stock_heads.cause, head.cause) END
        FROM unnest(items, once, kind_lists, event_causes) AS head (item_id, at_once, kinds, cause)
        WHERE stock_heads.item_id = head.item_id AND stock_heads.item_id = ANY(items);
    END $$
    """,
    # The search for an impossible conflict costs a fifth of the statement.
    hold("reservations_hold", ""),
    hold(
        "reservations_hold_more",
        "ON CONFLICT (order_id, line_id, location_id) "
        "DO UPDATE SET quantity = allocations.quantity + excluded.quantity",
    ),
    # Reservations before heads: the global lock order. A sequence is null if the item's event is not published now.
    f"""
    CREATE FUNCTION reservations_reserve(
        {HOLD}, statuses text[], sequences bigint[], correlations uuid[], seen_items text[], seen_versions bigint[],
        seen_sequences bigint[]
    ) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
        same int;
    BEGIN
        INSERT INTO reservations
            (order_id, status, sequence, priority, partial, placed_at, correlation_id, changed_at)
        SELECT order_id, status, sequence, priority, partial, placed_at, correlation_id, at_time
        FROM unnest(orders, statuses, sequences, priorities, partials, placed, correlations)
             AS new (order_id, status, sequence, priority, partial, placed_at, correlation_id)
        ORDER BY order_id ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS same = ROW_COUNT;
        IF same < cardinality(orders) THEN
            RAISE EXCEPTION 'an order was decided before' USING ERRCODE = 'CD001';
        END IF;
        SELECT count(*) INTO same
        FROM (
            SELECT item_id, version, sequence FROM stock_heads WHERE item_id = ANY(seen_items)
            ORDER BY item_id FOR UPDATE
        ) AS head
        JOIN unnest(seen_items, seen_versions, seen_sequences) AS seen (item_id, version, sequence) USING (item_id)
        WHERE head.version = seen.version AND head.sequence = coalesce(seen.sequence, head.sequence);
        IF same < cardinality(seen_items) THEN
            RAISE EXCEPTION 'a level has changed' USING ERRCODE = 'CD001';
        END IF;
        IF (
            SELECT item_id FROM items
            WHERE item_id = ANY(seen_items) AND status <> 'active' ORDER BY item_id LIMIT 1
        ) IS NOT NULL OR (
            SELECT item_id FROM reservation_lines
            WHERE item_id = ANY(seen_items) AND waiting > 0 ORDER BY item_id LIMIT 1
        ) IS NOT NULL THEN
            RAISE EXCEPTION 'an item is discontinued, or orders wait for it' USING ERRCODE = 'CD001';
        END IF;
        PERFORM reservations_hold({HOLD_ARGUMENTS});
    END $$
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
