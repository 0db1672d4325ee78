import sys
from datetime import UTC, datetime
from uuid import UUID

from crossdock_chassis import on
from crossdock_chassis.messaging.aside import Record
from crossdock_chassis.messaging.inbox import Inbox
from crossdock_chassis.messaging.reactions import Subscription
from crossdock_events import Catalogue, Cause, Envelope, Event, Message, Topic


class ParcelEvent(Event, topic=Topic("crossdock.parcels.v1", key="parcel_id", owner="order-service")):
    parcel_id: UUID


class ParcelWeighedV1(ParcelEvent, type="crossdock.ParcelWeighed.v1", carries="state"):
    """In kilograms."""

    kilograms: int

    def upcast(self) -> Event:
        return ParcelWeighed(parcel_id=self.parcel_id, grams=1000 * self.kilograms)


class ParcelWeighed(ParcelEvent, type="crossdock.ParcelWeighed.v2", carries="state"):
    """In grams."""

    grams: int


async def weigh(unit: object, envelopes: object) -> None: ...


SUBSCRIPTION = Subscription("group", "reaction", [on(ParcelWeighed, weigh)], Catalogue(sys.modules[__name__]))


def record(ce_type: str) -> Record:
    event = ParcelWeighedV1(parcel_id=UUID(int=1), kilograms=2)
    message = Envelope(event, UUID(int=2), "s", datetime.now(UTC), 1, Cause(UUID(int=3))).encode()
    headers = {**message.headers, "ce_type": ce_type.encode()}
    return Record(Message(message.topic, message.key, message.value, headers), 0, 0, 0.0)


def test_older_event_version_is_read_and_newer_one_refused() -> None:
    inbox = Inbox(SUBSCRIPTION)
    assert inbox.refuses(record("crossdock.ParcelWeighed.v1")) is None
    assert inbox.refuses(record("crossdock.ParcelWeighed.v3")) is not None
    assert inbox.refuses(record("crossdock.ParcelLost.v9")) is None
    items, malformed = inbox.decode([record("crossdock.ParcelWeighed.v1")])
    assert malformed == [] and [item.envelope.event for item in items] == [
        ParcelWeighed(parcel_id=UUID(int=1), grams=2000)
    ]
