"""Measure decoding and inbox: the chassis's consumer beside a bare Kafka client, on the same records."""

from bench.bench import Bench
from bench.helper import Helper
from bench.results import Row
from bench.statistics import middle


def measure(bench: Bench) -> None:
    scale, opened = bench.scale, bench.opened
    bench.warm()  # also puts records into the topic
    bench.stage(f"the consumer beside a bare client: {scale.repeats} times {scale.consumed:,} records each")
    bare, ours = [], []
    with Helper("bench.consuming") as helper:
        for number in range(scale.repeats):
            job = {
                "dsn": opened.spare,
                "kafka": opened.stack.kafka,
                "count": scale.consumed,
                "group": f"bench-{number}",
            }
            bare.append(helper.ask(job | {"bare": True}))
            ours.append(helper.ask(job | {"bare": False}))
    note = f"{middle([each['cpu'] for each in ours]) * 1e6:.0f} µs a record in the consumer"
    bench.add(
        Row("Bare getmany", [each["rate"] for each in bare], "records/s"),
        Row("Consumer, decode and inbox", [each["rate"] for each in ours], "records/s", note=note),
        Row(
            "Consumer ÷ bare getmany",
            [one["rate"] / other["rate"] for one, other in zip(ours, bare, strict=True)],
            "times",
        ),
    )
