"""The five faults. Each is undone by `restore`, and ends by itself if the drill is killed."""

import asyncio
import time
from contextlib import suppress
from functools import partial
from typing import Final

import asyncpg
from aiokafka import AIOKafkaProducer

from crossdock_cli.errors import CommandError
from crossdock_cli.progress import runnable
from crossdock_cli.waiting import in_thread, wait_until
from crossdock_events import Message
from crossdock_events.orders import OrderCancelled, OrderEvent
from crossdock_local.drills.company import ANALYTICS, INVENTORY, SECONDS, Company
from crossdock_local.drills.engine import Fault, Remedy, Sign
from crossdock_local.stack import Stack

LIMIT_SECONDS: Final = 1_500.0
"""The longest time that a fault stays if the drill neither ends nor dies, for example because it was stopped."""
TICK_SECONDS: Final = 1.0
MOST_ORDERS: Final = 60
TOPIC: Final = OrderEvent.topic.name
SESSION: Final = "crossdock drill lag"


class Drill:
    """What the faults share."""

    beside = False
    shown_within = 60.0
    cleared_within = 60.0

    def __init__(self, name: str, stack: Stack) -> None:
        self.name, self._stack = name, stack
        self._company = Company(stack, name)
        self._next_order = 0.0

    def prepare(self) -> None:
        self._company.stock(MOST_ORDERS)

    def tick(self) -> None:
        """Place an order now and then. A refusal is no failure of the drill, because something is broken."""
        if time.monotonic() < self._next_order or len(self._company.orders) >= MOST_ORDERS:
            return
        self._next_order = time.monotonic() + TICK_SECONDS
        with suppress(CommandError):
            self._company.place(1)

    def restore(self) -> None:
        return None

    def tidy(self) -> None:
        self._company.tidy()


class Stockout(Drill):
    """An order for an item of which there is nothing."""

    UNITS = 5
    received = False

    @property
    def signs(self) -> tuple[Sign, ...]:
        return (Sign("backordered", INVENTORY, self._company.item),)

    @property
    def remedy(self) -> Remedy:
        item = self._company.item
        return Remedy(
            f"Stock → {item} → Receive {self.UNITS} units",
            runnable(f"crossdock receive {item} {self.UNITS} --location drill"),
            "docs/drills.md#stockout",
        )

    def prepare(self) -> None:
        self._company.stock(0)

    def inject(self) -> str:
        self._company.place(self.UNITS)
        return f"Ordered {self.UNITS} units of {self._company.item}, of which there are none."

    def tick(self) -> None:
        return None

    def apply(self) -> None:
        self._company.receive(self.UNITS)


class Poison(Drill):
    """A record that no service can read, with the key of an order that has a later event."""

    beside = True
    signs = (Sign("dead_letters", INVENTORY), Sign("key_parked", INVENTORY))

    def __init__(self, name: str, stack: Stack) -> None:
        super().__init__(name, stack)
        self.place: tuple[str, int, int] | None = None
        self._order = ""

    @property
    def remedy(self) -> Remedy:
        return Remedy(
            f"Dead letters → the one with the key {self._order} → Discard, in each service that lists it",
            "curl -X POST …/v1/dead-letters/{id}:discard",
            "docs/runbooks/dead-letters.md",
        )

    def inject(self) -> str:
        self._order = self._company.place(1)
        if not self._company.await_status(self._order, "confirmed"):
            raise CommandError("The order of the drill was not confirmed, so nothing was broken: is a consumer behind?")
        headers = {
            "ce_specversion": b"1.0",
            "ce_type": OrderCancelled.ce_type.encode(),
            "crossdock_drill": self._company.item.encode(),
        }
        message = Message(TOPIC, self._order.encode(), b"not an event: made by crossdock drill", headers)
        self.place = in_thread(lambda: _send(self._stack.kafka, message))
        self._company.cancel(self._order)  # this event waits behind the record
        return f"Wrote a record that cannot be read to {TOPIC}, and cancelled its order behind it."

    def tick(self) -> None:
        return None

    def apply(self) -> None:
        for service in (INVENTORY, ANALYTICS):
            for letter in self._company.letters(service, self._order):
                self._company.discard(service, letter)

    def restore(self) -> None:
        """Discard what is left. Without the wait, a letter that is stored after this would stay."""
        if self.place is not None:
            wait_until(self._is_read, SECONDS)
            self.apply()

    def _is_read(self) -> bool:
        """Return whether both services have gone past the record."""
        assert self.place is not None
        place = self.place
        return all(in_thread(partial(_past, self._stack.dsn(each), place)) for each in (INVENTORY, ANALYTICS))


class Stopped(Drill):
    """A process that was killed and is held back from its supervisor."""

    def __init__(self, name: str, stack: Stack, process: str, sign: Sign, runbook: str) -> None:
        super().__init__(name, stack)
        self._process, self.signs, self._runbook = process, (sign,), runbook

    @property
    def remedy(self) -> Remedy:
        return Remedy("(a process is started in the terminal)", runnable("crossdock up"), self._runbook)

    def inject(self) -> str:
        handle = self._stack.process(self._process)
        self._stack.holds.put(self._process, f"crossdock drill {self.name}", LIMIT_SECONDS)
        handle.kill()
        if handle.alive:
            raise CommandError(f"{self._process} could not be ended.")
        return f"Killed {self._process}, and its supervisor does not restart it."

    def apply(self) -> None:
        self._stack.up()

    def restore(self) -> None:
        """Start the process if this drill still holds it back."""
        hold = self._stack.holds.of(self._process)
        if hold is None or not hold.mine:
            return
        try:
            handle = self._stack.process(self._process)
            handle.start()
            handle.wait_ready()
        finally:
            self._stack.holds.drop(self._process)


class Lag(Drill):
    """A forgotten transaction that locks the positions of a consumer, so that it handles nothing."""

    signs = (Sign("consumer_behind", INVENTORY, INVENTORY),)

    def __init__(self, name: str, stack: Stack) -> None:
        super().__init__(name, stack)
        self._loop: asyncio.Runner | None = None
        self._session: asyncpg.Connection | None = None

    @property
    def remedy(self) -> Remedy:
        query = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{SESSION}'"
        return Remedy(
            "(a session of the database is ended there)", f'psql -c "{query}"', "docs/runbooks/consumer-behind.md"
        )

    def inject(self) -> str:
        self._loop = asyncio.Runner()
        self._session = self._loop.run(_forgotten(self._stack.dsn(INVENTORY)))
        return f"A session of {INVENTORY}'s database locks the positions of its consumer."

    def apply(self) -> None:
        in_thread(lambda: _terminate(self._stack.dsn(INVENTORY)))

    def restore(self) -> None:
        if self._loop is None:
            return
        if self._session is not None:
            session, self._session = self._session, None
            session.terminate()
        self._loop.close()
        self._loop = None


def of(kind: str, stack: Stack) -> Fault:
    """Return the fault of this name."""
    worker = f"{INVENTORY}.{'all' if stack.together else 'worker'}"
    match kind:
        case "poison":
            return Poison(kind, stack)
        case "stockout":
            return Stockout(kind, stack)
        case "lag":
            return Lag(kind, stack)
        case "broker":
            return Stopped(kind, stack, "kafka", Sign("broker_away", None), "docs/runbooks/outbox-old.md")
        case "worker":
            dead = Sign("service_silent" if stack.together else "process_dead", INVENTORY)
            return Stopped(kind, stack, worker, dead, "docs/runbooks/process-down.md")
        case _:
            raise CommandError(f"There is no drill {kind!r}.")


async def _send(kafka: str, message: Message) -> tuple[str, int, int]:
    async with AIOKafkaProducer(bootstrap_servers=kafka, acks="all") as producer:
        done = await producer.send_and_wait(
            message.topic, message.value, key=message.key, headers=list(message.headers.items())
        )
    return message.topic, done.partition, done.offset


async def _past(dsn: str, place: tuple[str, int, int]) -> bool:
    """Return whether every group of the service that reads the topic is past the record."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        lowest = await connection.fetchval(
            "SELECT min(next) FROM consumer_position WHERE topic = $1 AND partition = $2", *place[:2], timeout=10
        )
    finally:
        await connection.close(timeout=5)
    return lowest is None or int(lowest) > place[2]


async def _forgotten(dsn: str) -> asyncpg.Connection:
    """Open a transaction that locks the positions. It ends with this process, and at the latest after LIMIT_SECONDS."""
    limit = {"application_name": SESSION, "idle_in_transaction_session_timeout": f"{LIMIT_SECONDS:.0f}s"}
    connection: asyncpg.Connection = await asyncpg.connect(dsn, timeout=10, server_settings=limit)
    await connection.execute("BEGIN")
    await connection.execute("SET LOCAL lock_timeout = '10s'")
    await connection.execute(
        "SELECT FROM consumer_position WHERE consumer_group = $1 ORDER BY topic, partition FOR UPDATE", INVENTORY
    )
    return connection


async def _terminate(dsn: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", SESSION, timeout=10
        )
    finally:
        await connection.close(timeout=5)
