import asyncio
import json
from contextlib import suppress
from typing import Annotated

import typer
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from crossdock_cli import installation, output
from crossdock_cli.broker import broker
from crossdock_cli.errors import CommandError
from crossdock_events import CATALOGUE, Envelope, Malformed, Message


def tail(
    topic: Annotated[str | None, typer.Argument(help="orders or crossdock.orders.v1. Default: all topics.")] = None,
    beginning: Annotated[bool, typer.Option("--beginning", help="Start at the first event.")] = False,
) -> None:
    """Print events as they are published, until Ctrl-C."""
    topics = sorted(each.name for each in CATALOGUE.topics())
    if topic is not None:
        wanted = [each for each in topics if topic in (each, each.removeprefix("crossdock.").rpartition(".")[0])]
        if not wanted:
            raise CommandError(f"There is no topic {topic!r}; there is: {', '.join(topics)}.")
        topics = wanted
    with suppress(KeyboardInterrupt):
        asyncio.run(_tail(installation.current().kafka, output.console(), topics, beginning))


async def _tail(bootstrap: str, console: Console, topics: list[str], beginning: bool) -> None:
    # Without a group, the consumer commits no offsets and takes no partition from a service.
    consumer = AIOKafkaConsumer(
        **broker(bootstrap).options,
        enable_auto_commit=False,
        auto_offset_reset="earliest" if beginning else "latest",
    )
    consumer.subscribe(topics)
    try:
        await consumer.start()
    except KafkaError as error:
        await consumer.stop()
        raise CommandError(f"Kafka at {bootstrap} does not answer: is everything up?") from error
    try:
        console.print(f"[dim]reading {', '.join(topics)}; press Ctrl-C to stop[/dim]")
        async for record in consumer:
            console.print(_line(record), soft_wrap=True)
    finally:
        await consumer.stop()


def _line(record: "ConsumerRecord[bytes, bytes]") -> Text:
    message = Message.from_record(record.topic, record.key, record.value, record.headers)
    decoded = CATALOGUE.decode(message)
    if isinstance(decoded, Malformed):
        return Text(f"{record.topic} {record.partition}/{record.offset}: {decoded.reason}", style="red")
    if not isinstance(decoded, Envelope):
        return Text(f"{record.topic} {decoded.type}: not in this build's catalogue", style="yellow")
    data = json.dumps(decoded.event.model_dump(mode="json", exclude_none=True), separators=(", ", ": "))
    return Text.from_markup(
        f"[dim]{decoded.time.astimezone():%H:%M:%S.%f}[/dim] [bold]{type(decoded.event).__name__}[/bold] "
        f"{escape(decoded.event.key)} [dim]#{decoded.sequence}[/dim] {escape(data)}"
    )
