"""The third kind of subscription: keep whole records of every topic, readable events or not."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final, Protocol

from crossdock_chassis.broker import Broker
from crossdock_chassis.database.errors import is_transient
from crossdock_chassis.database.unit import Database, Unit
from crossdock_chassis.deadlines import abandon, foreign_cancellation_is_an_error
from crossdock_chassis.messaging import clients
from crossdock_chassis.messaging.aside import Record, mirrors
from crossdock_chassis.messaging.breaker import SystemFault, reason_of
from crossdock_chassis.messaging.consumer import Consumer
from crossdock_chassis.messaging.inbox import Decoded, Inbox, VersionUnknown
from crossdock_chassis.messaging.reactions import Subscription
from crossdock_events import CATALOGUE

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 60.0
TROUBLE_SECONDS: Final = 2.0


class Keep(Protocol):
    async def __call__(self, unit: Unit, records: Sequence[Record], *, again: bool) -> object:
        """Store the records of a batch, each whole, in the order of their offsets within a partition.

        It must be able to store any record, because a record that it refuses stops the log. `again` is set in the
        second attempt for a batch: then it must leave out the records that are stored already.
        """


class NotKept(SystemFault):
    """The handler of a log failed twice. Nothing of the batch is kept, and it is tried again later."""

    def __init__(self, group: str, error: Exception) -> None:
        Exception.__init__(self, f"{group} cannot keep records, which is a fault of our own: {reason_of(error)}")


def subscription_of(service: str, also: Sequence[str] = ()) -> Subscription:
    return Subscription(f"{service}.log", "log", (), CATALOGUE, also=also)


class LogInbox(Inbox):
    """Pass whole records to one handler. No record is poison, and none is a repeat: the positions are the guard."""

    def __init__(self, subscription: Subscription, keep: Keep) -> None:
        super().__init__(subscription)
        self._keep = keep

    def refuses(self, record: Record) -> VersionUnknown | None:
        return None

    def decode(self, records: Sequence[Record]) -> Decoded:
        return Decoded([], [])

    async def take(
        self,
        unit: Unit,
        records: Sequence[Record],
        *,
        careful: bool,
        untried: Exception | None = None,
        decoded: Decoded | None = None,
    ) -> None:
        """Keep the records. Raise NotKept if the second attempt fails too, so that the group waits and retries."""
        try:
            await self._keep(unit, records, again=careful)
        except Exception as error:
            if not careful or is_transient(error):
                raise
            raise NotKept(self.subscription.group, error) from error


class LogReader:
    """The part that reads the topics of the catalogue, and the dead-letter topics of all services.

    It looks for new dead-letter topics once a minute, because a service that is deployed later adds its own.
    """

    def __init__(self, database: Database, kafka: Broker, service: str, keep: Keep) -> None:
        self._database, self._kafka, self._service, self._keep = database, kafka, service, keep
        self._consumer: Consumer | None = None
        self._looked = time.monotonic()

    @property
    def ready(self) -> bool:
        return self._consumer is not None and self._consumer.ready

    @property
    def progressed(self) -> float:
        return self._looked if self._consumer is None else max(self._looked, self._consumer.progressed)

    async def run(self, stopping: asyncio.Event) -> None:
        stop = asyncio.create_task(stopping.wait())
        try:
            while not stopping.is_set():
                also = await self._also()
                if also is None:
                    await asyncio.wait([stop], timeout=TROUBLE_SECONDS)
                else:
                    await self._read(also, stop)
        finally:
            abandon(stop)

    async def _read(self, also: Sequence[str], stop: "asyncio.Task[bool]") -> None:
        """Keep records until the process stops or the topics have changed."""
        subscription = subscription_of(self._service, also)
        inbox = LogInbox(subscription, self._keep)
        self._consumer = Consumer(self._database, self._kafka, subscription, inbox)
        ending = asyncio.Event()
        reading = asyncio.create_task(self._consumer.run(ending))
        try:
            while not stop.done() and not reading.done():
                await asyncio.wait([stop, reading], timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if not stop.done() and not reading.done() and await self._also() not in (None, also):
                    break
            ending.set()
            await reading
        finally:
            abandon(reading)
            self._consumer = None
            self._looked = time.monotonic()

    async def _also(self) -> Sequence[str] | None:
        """Return the dead-letter topics that exist, None if Kafka does not answer."""
        own = {topic.name for topic in CATALOGUE.topics()}
        try:
            with foreign_cancellation_is_an_error():
                found = await clients.topics_of(self._kafka)
        except clients.KAFKA_TROUBLE as error:
            log.warning("cannot list the topics of Kafka: %s: %s", type(error).__name__, error)
            return None
        return sorted(topic for topic in found if mirrors(topic, own))
