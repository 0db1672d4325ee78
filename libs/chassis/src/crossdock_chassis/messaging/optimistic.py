"""Try a batch of a reaction group in an optimistic unit, which takes two round trips instead of ten."""

import logging
from collections.abc import Sequence

from crossdock_chassis.database.errors import OutcomeUnknown, Overtaken
from crossdock_chassis.database.unit import Database, Unit
from crossdock_chassis.messaging.inbox import Decoded, Inbox
from crossdock_chassis.observability import metrics
from crossdock_events import Envelope, Event

log = logging.getLogger(__name__)

LOCK_SECONDS = 1.0
ATTEMPTS = 3
SMALL = 50
"""A batch of at most so many events is tried again if another unit was faster. A larger one would meet the next."""


def suits(inbox: Inbox, decoded: Decoded) -> bool:
    """Return whether an optimistic unit may handle a batch: one reaction that can, and nothing to set aside."""
    items = decoded.items
    if not items or decoded.malformed or inbox.subscription.kind != "reaction":
        return False
    if inbox.breaker.tolerated or inbox.breaker.waits:
        return False
    kind = type(items[0].envelope.event)
    return (
        all(type(item.envelope.event) is kind for item in items)
        and all(each.optimistic for each in inbox.subscription.reactions if issubclass(kind, each.event))
        and len({item.envelope.id for item in items}) == len(items)
    )


async def take(
    database: Database, inbox: Inbox, decoded: Decoded, positions: Sequence[Sequence[object]]
) -> Sequence[Envelope[Event]] | None:
    """Handle a batch in an optimistic unit, and return the events that it has published.

    Return None if nothing was done, so that an ordinary unit is needed. `positions` has topics, partitions, and the
    positions before the batch and after it. Raise OutcomeUnknown.
    """
    group = inbox.subscription.group
    left = ATTEMPTS if len(decoded.items) <= SMALL else 1
    while True:
        left -= 1
        try:
            async with database.optimistic(lock_timeout=LOCK_SECONDS) as unit:
                await _take(unit, inbox, decoded, positions)
        except OutcomeUnknown:
            raise
        except Exception as error:  # an ordinary unit finds the fault, and sets aside what is at fault
            metrics.OPTIMISTIC.labels(group, "moved").inc()
            log.debug("%s could not work without locks: %s: %s", group, type(error).__name__, error)
            if not left or not isinstance(error, Overtaken):
                return None
        else:
            metrics.OPTIMISTIC.labels(group, "done").inc()
            inbox.breaker.handled(item.envelope.event.ce_type for item in decoded.items)
            return unit.published


async def _take(unit: Unit, inbox: Inbox, decoded: Decoded, positions: Sequence[Sequence[object]]) -> None:
    keys = sorted({item.aggregate for item in decoded.items if item.aggregate[1] is not None})
    unit.call(
        "consumer_take",
        inbox.subscription.group,
        *positions,
        [topic for topic, _ in keys],
        [key for _, key in keys],
        [item.envelope.id for item in decoded.items],
    )
    await inbox.react(unit, decoded.items)
