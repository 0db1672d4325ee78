"""Edits by hand of what carries events, each with the checks of `crossdock verify` that report it."""

from tampering import ORPHAN, Tamper

from crossdock_cli.verify import Violation, delivery
from crossdock_events.orders import OrderEvent

DELIVERY_TAMPERINGS: dict[str, tuple[Tamper, set[Violation]]] = {
    "an event is still to be sent": (
        lambda c: c.orders(
            "INSERT INTO outbox_pending (ids) SELECT array_agg(id) FROM outbox WHERE key = $1",
            str(c.confirmed).encode(),
        ),
        {delivery.LOST},
    ),
    "an event was marked and never sent": (
        lambda c: c.orders(
            "INSERT INTO outbox (event_id, topic, key, value, headers) "
            "SELECT $2::uuid, topic, key, value, headers FROM outbox WHERE key = $1 ORDER BY id LIMIT 1",
            str(c.confirmed).encode(),
            ORPHAN,
        ),
        {delivery.LOST},
    ),
    "an event was committed twice": (
        lambda c: c.orders(
            "INSERT INTO outbox (event_id, topic, key, value, headers) "
            "SELECT event_id, topic, key, value, headers FROM outbox WHERE key = $1 ORDER BY id LIMIT 1",
            str(c.confirmed).encode(),
        ),
        {delivery.COMMITTED_TWICE},
    ),
    "an event is on Kafka as something else": (
        lambda c: c.orders("UPDATE outbox SET value = '{}' WHERE key = $1", str(c.confirmed).encode()),
        {delivery.ALTERED},
    ),
    "an outbox row is dropped": (
        lambda c: c.orders(
            "DELETE FROM outbox WHERE id = (SELECT max(id) FROM outbox WHERE key = $1)", str(c.confirmed).encode()
        ),
        {delivery.NEVER_COMMITTED},
    ),
    "an event was passed over": (
        lambda c: c.inventory(
            "DELETE FROM inbox WHERE event_id = $1", c.log.by_key(OrderEvent.topic.name)[str(c.confirmed)][0].id
        ),
        {delivery.PASSED_OVER},
    ),
    "an event was handled that is not there": (
        lambda c: c.inventory("INSERT INTO inbox (event_id) VALUES ($1::uuid)", ORPHAN),
        {delivery.HANDLED_NOT_THERE},
    ),
    "a position is beyond the end": (
        lambda c: c.inventory("UPDATE consumer_position SET next = next + 1000 WHERE partition = 3"),
        {delivery.BEYOND_END},
    ),
    "a key is parked for nothing": (
        lambda c: c.inventory(
            "INSERT INTO parked_key (consumer_group, topic, key) VALUES ('inventory-service', $1, 'k')",
            OrderEvent.topic.name,
        ),
        {delivery.PARKED_APART},
    ),
    "a dead letter is of no record": (
        lambda c: c.inventory(
            'INSERT INTO dead_letter (consumer_group, topic, partition, "offset", value, headers, state, reason, '
            "fingerprint) VALUES ('inventory-service', $1, 0, 1000000, 'x', '{}', 'poison', 'x', 'x')",
            OrderEvent.topic.name,
        ),
        {delivery.NO_SUCH_RECORD, delivery.NO_MIRROR, delivery.NOT_THE_POISON},
    ),
}
