"""Measure the relay alone, on a database with many published rows and an old snapshot."""

from bench.bench import Bench
from bench.helper import Helper
from bench.results import Row
from crossdock_events import TopicSpec

TOPIC = "bench.relay"
PARTITIONS = 12


def measure(bench: Bench) -> None:
    scale, opened = bench.scale, bench.opened
    bench.stage(f"the relay: {scale.repeats} times {scale.relayed:,} rows, behind {scale.published:,} published rows")
    opened.stack.servers.topics.ensure([TopicSpec(TOPIC, PARTITIONS)])
    with Helper("bench.relaying") as helper:
        job = {"dsn": opened.spare, "kafka": opened.stack.kafka, "topic": TOPIC, "published": scale.published}
        found = helper.ask(job | {"counts": [scale.relayed] * scale.repeats})
    note = f"{scale.published:,} published rows, an old snapshot open; {found['cpu'] * 1e6:.0f} µs a row in the relay"
    bench.add(Row("Relay", found["rates"], "rows/s", note=note))
