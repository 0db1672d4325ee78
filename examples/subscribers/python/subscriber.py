"""Follow the orders topic with confluent-kafka and the CloudEvents SDK. See ../README.md for the rules it keeps."""

import os
import signal
import sys
from pathlib import Path

from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from confluent_kafka import Consumer, Message

TOPIC = os.environ.get("CROSSDOCK_TOPIC", "crossdock.orders.v1")
HANDLED = {f"crossdock.Order{done}" for done in ("Placed", "Confirmed", "Backordered", "Rejected", "Cancelled")}
VERSION = "v1"


class Journal:
    """The effects, one line each. The line is also what repeats are found by, so both are stored together."""

    def __init__(self, path: Path) -> None:
        self.last: dict[str, int] = {}
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]  # a killed process can leave half a line
        for line in whole.decode().splitlines():
            key, sequence, *_ = line.split("\t")
            self.last[key] = int(sequence)
        self._file = path.open("ab")
        self._file.truncate(len(whole))

    def append(self, lines: list[str]) -> None:
        self._file.write("".join(f"{line}\n" for line in lines).encode())
        self._file.flush()
        os.fsync(self._file.fileno())


def handle(record: Message, journal: Journal) -> str | None:
    """Return the line of an event, or None if there is nothing to do."""
    place = f"{record.topic()}/{record.partition()}/{record.offset()}"
    try:
        event = from_kafka_event(KafkaMessage(dict(record.headers() or ()), record.key(), record.value() or b""))
        key, kind, order = event.get_subject(), event.get_type(), event.get_data()
        sequence = int(event.get_extension("sequence"))
        if not isinstance(order, dict):
            raise ValueError("the data is no object")
    except Exception as error:
        print(f"skipped {place}: no CloudEvent: {error}", file=sys.stderr)
        return None
    name, _, version = kind.rpartition(".")
    if name not in HANDLED:
        return None
    if version != VERSION:
        sys.exit(f"stopped at {place}: {kind} is newer than this program")
    if sequence <= journal.last.get(key, 0):
        return None
    journal.last[key] = sequence
    return "\t".join((key, str(sequence), kind, order["reference"]))


def main() -> None:
    stopping = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.append(True))
    journal = Journal(Path(os.environ.get("JOURNAL", "orders.journal")))
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ.get("CROSSDOCK_KAFKA", "127.0.0.1:8492"),
            "group.id": os.environ.get("GROUP", "my-subscriber"),
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 10_000,  # a killed member's partitions go to another member after this time
        }
    )
    consumer.subscribe([TOPIC])
    try:
        while not stopping:
            records = consumer.consume(500, timeout=0.5)
            if errors := [record.error() for record in records if record.error()]:
                print(f"retrying: {errors[0]}", file=sys.stderr)
            arrived = [record for record in records if not record.error()]
            lines = [line for record in arrived if (line := handle(record, journal)) is not None]
            journal.append(lines)
            if arrived:
                consumer.commit(asynchronous=False)  # after the effects: a killed program gets the records again
            for line in lines:
                print(line, flush=True)
    finally:
        consumer.close()  # leaves the group, so that another member takes over at once


if __name__ == "__main__":
    main()
